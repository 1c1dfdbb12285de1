"""Changes to what is known of other files: companions, and the counts of what is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, delete, select

from retrieval.catalog.queries.other_files import FolderCount
from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording.facts import unread
from retrieval.catalog.recording.upsert import insert, put_all
from retrieval.catalog.schema import CompanionRow, LeftOutRow
from retrieval.records import Companion


@dataclass(slots=True)
class Differences:
    """What a scan of a root found that the catalog does not know, and the other way round."""

    root_id: int
    gone: list[bytes] = field(default_factory=list)  # paths of companions
    companions: list[Companion] = field(default_factory=list)  # new or changed
    zero: list[FolderCount] = field(default_factory=list)  # counts that are no more
    counts: dict[FolderCount, int] = field(default_factory=dict)  # new or changed

    def __bool__(self) -> bool:
        return bool(self.gone or self.companions or self.zero or self.counts)


def record(catalog: Catalog, differences: Differences) -> None:
    """Write them. The image of a sidecar that changed or is gone is read again by this run."""
    root_id = differences.root_id
    paths = [*differences.gone, *(each.path for each in differences.companions)]
    with catalog.transaction() as connection:
        unread(connection, _images(connection, root_id, paths))
        _drop_companions(connection, root_id, paths)
        _drop_counts(connection, root_id, [*differences.zero, *differences.counts])
        _add(connection, root_id, differences.companions, differences.counts)


def _images(connection: Connection, root_id: int, paths: Sequence[bytes]) -> list[int]:
    """Return the images that have facts from these sidecars."""
    found = select(CompanionRow.image_id).where(
        CompanionRow.root_id == root_id, CompanionRow.path == bindparam("at")
    )
    ids = (connection.execute(found, {"at": path}).scalar_one_or_none() for path in paths)
    return sorted({id for id in ids if id is not None})


def _drop_companions(connection: Connection, root_id: int, paths: Sequence[bytes]) -> None:
    this = (CompanionRow.root_id == root_id) & (CompanionRow.path == bindparam("at"))
    if paths:
        connection.execute(delete(CompanionRow).where(this), [{"at": path} for path in paths])


def _drop_counts(connection: Connection, root_id: int, counts: Sequence[FolderCount]) -> None:
    this = (
        (LeftOutRow.root_id == root_id)
        & (LeftOutRow.path == bindparam("at"))
        & (LeftOutRow.kind == bindparam("of"))
        & (LeftOutRow.extension == bindparam("end"))
    )
    rows = [{"at": path, "of": kind, "end": extension} for path, kind, extension in counts]
    if rows:
        connection.execute(delete(LeftOutRow).where(this), rows)


def _add(
    connection: Connection,
    root_id: int,
    companions: Sequence[Companion],
    counts: Mapping[FolderCount, int],
) -> None:
    if companions:
        rows = [{"root_id": root_id, "image_id": None, **each._asdict()} for each in companions]
        put_all(connection, insert(connection, CompanionRow), rows)
    if counts:
        left = [
            {"root_id": root_id, "path": path, "kind": kind, "extension": extension, "count": count}
            for (path, kind, extension), count in counts.items()
        ]
        put_all(connection, insert(connection, LeftOutRow), left)
