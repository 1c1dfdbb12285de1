"""Sidecars: XMP files and Google's JSON give their pictures the facts that these lack."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from retrieval.catalog.reading import Catalog
from retrieval.decoding.content import read
from retrieval.decoding.metadata.takeout import facts_of_takeout
from retrieval.decoding.metadata.xmp import MAX_BYTES, Xmp
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.indexing.recorder import ROWS_PER_COMMIT
from retrieval.paths import place
from retrieval.records import Facts

Read = tuple[int, bytes, int, Facts | None]  # root id and path of a sidecar, its image, its facts


def read_sidecars(catalog: Catalog) -> Iterator[None]:
    """Read the sidecars that are new or changed, or whose picture has a new content."""
    if not (due := catalog.other_files.due()):
        return
    from retrieval.catalog.recording import facts  # SQLAlchemy, not needed if nothing changed

    roots = {root.id: root.path for root in catalog.roots()}
    done: list[Read] = []
    for root_id, path, kind, image_id in due:
        with suppress(OSError):  # it has just gone, or its disk failed: the next run tries again
            done.append((root_id, path, image_id, _facts(place(roots[root_id], path), kind)))
        if len(done) >= ROWS_PER_COMMIT:
            facts.supplement(catalog, done)
            done = []
        yield
    facts.supplement(catalog, done)


def _facts(path: Path, kind: str) -> Facts | None:
    """Return the facts of a sidecar; None if it is not what its name says. Raises OSError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        data = read(path)
    except UnreadablePicture as error:
        if error.code is FailureCode.UNREADABLE:
            raise OSError(str(error)) from error
        return None
    with suppress(Exception):  # a parser may raise anything for invalid data
        return (
            facts_of_takeout(data) if kind == "takeout" else Xmp(data).facts("sidecar", "sidecar")
        )
    return None
