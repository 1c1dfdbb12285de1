"""The end of an index run: drop vanished files, and let searches use what was encoded."""

import shlex
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from retrieval.catalog.reading import Catalog
from retrieval.errors import LibraryBusy, VectorsUnavailable
from retrieval.indexing.changes import Changes
from retrieval.models import choice
from retrieval.records import ModelRecord
from retrieval.vectors import index_file
from retrieval.vectors.file_store import FileStore
from retrieval.vectors.opening import address_of, open_store
from retrieval.wording import counted

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder


def prune(catalog: Catalog, changes: Changes) -> None:
    """Drop vanished files. Called after the whole scan, so that a move loses no image."""
    if changes.unidentified:  # indexed by an older version
        from retrieval.catalog import writing

        writing.identify(catalog, changes.unidentified)
    vanished = [(file.root.id, file.path) for file in changes.vanished]
    if vanished or catalog.images.has_orphans():
        from retrieval.catalog import writing  # SQLAlchemy, not needed if nothing changed

        writing.remove_files(catalog, vanished)
        writing.sweep(catalog)


def switch_model(catalog: Catalog, folder: "ModelFolder") -> Iterator[str]:
    """Make the model, which has encoded every image, the one that searches use. Yield notes."""
    current, model = catalog.current_model(), catalog.model(folder.digest)
    if current is None or model is None:
        return
    if model.name != folder.name and choice.is_gone(model.name):
        from retrieval.catalog import writing

        writing.rename_model(catalog, model, folder.name)
        yield f"the weights of {model.name}, which is gone, are now found as {folder.name}"
    if model.digest != current.digest:
        from retrieval.catalog import writing

        writing.switch_model(catalog, model)
        index_file.path_of(catalog, current.digest).unlink(missing_ok=True)
        kept = counted(catalog.embeddings.count(current.id), "vector")
        forget = shlex.join(["retrieve", "forget", "--model", current.name])
        yield (
            f"searches now use {folder.name} instead of {current.name}, whose {kept} are kept; "
            f"`{forget}` drops them"
        )


def keep_up(catalog: Catalog, model: ModelRecord) -> None:
    """Let a model encode new pictures from now on, unless it does so already."""
    if not model.keeps_up and model != catalog.current_model():
        from retrieval.catalog import writing

        writing.keep_up(catalog, model)


def renew_index(
    catalog: Catalog, model: ModelRecord, *, has_news: bool, is_measured_anew: bool
) -> Iterator[str]:
    """Bring the vector index of a model up to date, and remove leftovers of killed runs. Yield
    notes.
    """
    with suppress(LibraryBusy), catalog.database.renewing():  # another run may be at it
        if address_of(catalog):
            if model == catalog.current_model():  # it holds no other; those are scanned
                yield from _renew_store(catalog, model)
        elif is_measured_anew:
            index_file.rebuild(catalog, model)
        elif has_news or not index_file.path_of(catalog, model.digest).exists():
            FileStore(catalog, model).refresh()
        for left in index_file.leftovers(catalog):
            left.unlink(missing_ok=True)


def _renew_store(catalog: Catalog, model: ModelRecord) -> Iterator[str]:
    """Bring the store beside the catalog up to date; one that is down takes the news later."""
    with closing(open_store(catalog, model)) as store:
        try:
            store.refresh()
        except VectorsUnavailable as error:
            waiting = counted(catalog.holdings.count_waiting(), "picture")
            yield f"{error}; {waiting} will be added by the next run that can"


def unread_note(catalog: Catalog, folder: "ModelFolder", unread: list[int]) -> str:
    """Return the note about known images that a model cannot encode because they are unreadable."""
    image = catalog.images.by_id(unread[:1]).get(unread[0])
    first = str(image.paths[0]) if image and image.paths else f"image {unread[0]}"
    return (
        f"{len(unread):,} known pictures cannot be read to encode them with {folder.name} "
        f"(the first: {first}); the library keeps its model until they are readable again "
        "or `retrieve forget` removes them"
    )
