"""Search pictures by description or by example picture, on the user's own machine.

    from retrieval import Library

    with Library.open() as library:
        library.index("~/Pictures")
        for match in library.search("a red car"):
            print(f"{match.score:.3f}  {match.path}")

`library` is the interface; `cli` and `web` are built on it, with `output` for what they show.
`locate` and `models` choose the folder and the model of a library. `indexing` (and `watch`, for
changes as they happen) takes pictures from folders through `decoding` and the encoder into the
`catalog` and the `vectors`; `exclusions` tell what it leaves out. `search` goes from a query, with
its `filters`, to matches. `collection` looks after the library as a whole. All of them share
`records` (the nouns), `paths`, `errors`, `notices`, `interrupted` and `spelling`.

Names are imported when they are first used, so that `import retrieval` takes no time: the worker
processes that decode pictures import this package as well.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.catalog.integrity import Problem
    from retrieval.collection.duplicates import Group
    from retrieval.collection.export import Exported
    from retrieval.collection.status import Status
    from retrieval.errors import (
        CatalogDamaged,
        InvalidQuery,
        InvalidValue,
        LibraryBusy,
        LibraryEmpty,
        LibraryNotFound,
        LibraryReadOnly,
        LibraryTooNew,
        ModelMismatch,
        ModelUnavailable,
        PathNotFound,
        PathTaken,
        RetrieveError,
        SourceUnavailable,
        TooManyOpenFiles,
        UnreadablePicture,
        VectorsUnavailable,
    )
    from retrieval.filters import Filters
    from retrieval.indexing.options import IndexOptions
    from retrieval.interrupted import Interrupted
    from retrieval.library import Library
    from retrieval.models.devices import DeviceChoice
    from retrieval.records import Failed, Image, LeftOut, Match, Progress, Shot, Summary
    from retrieval.search.options import SearchOptions
    from retrieval.search.tags import Tagged

    __version__: str

__all__ = [
    "CatalogDamaged",
    "DeviceChoice",
    "Exported",
    "Failed",
    "Filters",
    "Group",
    "Image",
    "IndexOptions",
    "Interrupted",
    "InvalidQuery",
    "InvalidValue",
    "LeftOut",
    "Library",
    "LibraryBusy",
    "LibraryEmpty",
    "LibraryNotFound",
    "LibraryReadOnly",
    "LibraryTooNew",
    "Match",
    "ModelMismatch",
    "ModelUnavailable",
    "PathNotFound",
    "PathTaken",
    "Problem",
    "Progress",
    "RetrieveError",
    "SearchOptions",
    "Shot",
    "SourceUnavailable",
    "Status",
    "Summary",
    "Tagged",
    "TooManyOpenFiles",
    "UnreadablePicture",
    "VectorsUnavailable",
    "__version__",
]

_HOME = {
    **dict.fromkeys(
        ("Failed", "Image", "LeftOut", "Match", "Progress", "Shot", "Summary"), "records"
    ),
    "Interrupted": "interrupted",
    "Exported": "collection.export",
    "Filters": "filters",
    "Group": "collection.duplicates",
    "DeviceChoice": "models.devices",
    "IndexOptions": "indexing.options",
    "Library": "library",
    "Problem": "collection.check",
    "SearchOptions": "search.options",
    "Status": "collection.status",
    "Tagged": "search.tags",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("retrieve-pictures")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"retrieval.{_HOME.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
