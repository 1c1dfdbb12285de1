"""Changes to roots: adding, forgetting and relocating them, one transaction each."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection, LargeBinary, delete, func, select, text, update

from retrieval.catalog import thumbnail_cache
from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording.upsert import insert
from retrieval.catalog.schema import Base, FileRow, RootRow
from retrieval.catalog.writing import drop_unheld
from retrieval.errors import PathNotFound
from retrieval.exclusions import Exclusions
from retrieval.paths import place, relative, spellings
from retrieval.records import Root
from retrieval.sources import options
from retrieval.sources.options import Options
from retrieval.spelling import respelled

OF_FOLDERS = {  # columns that are paths
    "companions": ("path", "main"),
    "left_out": ("path",),
    "containers": ("path",),
}

MOVING = b"\0"  # before the path of a row on its way to another place; no name contains it


def place_root(catalog: Catalog, path: Path, entire: bool) -> Root:
    """Return the root at `path`, added if new; roots below an entire root become part of it."""
    with catalog.transaction() as connection:
        return _place_root(catalog, connection, path, entire)


def remember(catalog: Catalog, root: Root, how: Options) -> None:
    """Write how to reach a root, without secrets."""
    with catalog.transaction() as connection:
        here = update(RootRow).where(RootRow.id == root.id)
        connection.execute(here.values(options=options.stored(how)))


def exclude(catalog: Catalog, changed: Mapping[int, Exclusions]) -> None:
    """Write the exclusions of roots, by id."""
    with catalog.transaction() as connection:
        for root_id, held in changed.items():
            _exclude(connection, root_id, held)


def forget(catalog: Catalog, path: Path) -> int:
    """Drop a root, or everything known at or under `path`; return the number of files.

    A path that still exists inside a remaining root is excluded from it. Pictures without a file
    are dropped too. Raises PathNotFound, LibraryBusy, LibraryReadOnly.
    """
    with catalog.database.exclusive():
        known = known_at(catalog, path)
        with catalog.transaction() as connection:
            files = sum(_forget(catalog, connection, root, inside) for root, inside in known)
            gone = drop_unheld(connection)
    thumbnail_cache.forget(catalog.local_folder, gone)
    return files


def relocate(catalog: Catalog, old: Path, new: Path) -> int:
    """Record that the folder or file at `old` is now at `new`; return the number of its files.

    `old` may be a root, a folder with roots below it, or a path inside a root. The files are not
    looked for there: see collection/relocate.py. Raises PathNotFound, LibraryBusy, LibraryReadOnly.
    """
    target = Path(os.path.realpath(new))
    with catalog.database.exclusive():
        known = known_at(catalog, old)
        with catalog.transaction() as connection:
            files = 0
            for root, inside in known:
                if inside:
                    files += _move_part(catalog, connection, root, inside, target)
                else:
                    goal = place(target, root_below(old, root))
                    files += _move_root(catalog, connection, root, goal)
            drop_unheld(connection)
    return files


def follow(catalog: Catalog, old: Path, new: Path) -> int:
    """Rename the root at `old` to `new`, another path of the same folder; return its file count."""
    with catalog.transaction() as connection:
        for root in _roots(catalog, connection):
            if root.path == old:
                return _move_root(catalog, connection, root, new)
    return 0  # it became part of another root that was followed earlier


def known_at(catalog: Catalog, path: Path) -> list[tuple[Root, bytes]]:
    """Return the roots at or below `path` (with b""), or those that contain it, and where."""
    known: dict[int, tuple[Root, list[bytes]]] = {}
    for spelling in spellings(path):
        for root in catalog.places.around(spelling):
            inside = relative(root.path, spelling)
            if not inside:
                known[root.id] = (root, [b""])
            elif root.id not in known:
                spelled = catalog.places.known_as(root.id, inside)
                if catalog.files.has_any(root.id, spelled[0]):
                    known[root.id] = (root, spelled)
    if not known:
        raise PathNotFound(f"{path} is not in the library; `retrieve status` lists the folders")
    return [(root, inside) for root, places in known.values() for inside in places]


def root_below(old: Path, root: Root) -> bytes:
    """Return the path of a root relative to `old`, which is or contains it."""
    found = (relative(spelling, root.path) for spelling in spellings(old))
    return next(each for each in found if each is not None)


def _forget(catalog: Catalog, connection: Connection, root: Root, inside: bytes) -> int:
    here, values = _at(root, inside)
    files = connection.execute(text(f"DELETE FROM files WHERE {here}"), values).rowcount
    for table in OF_FOLDERS:
        connection.execute(text(f"DELETE FROM {table} WHERE {here}"), values)
    if not inside:
        connection.execute(delete(RootRow).where(RootRow.id == root.id))
    elif root.entire and (place(root.path, inside).exists() or not root.path.is_dir()):
        held = _root(catalog, connection, root.id).exclusions
        _exclude(connection, root.id, held.with_forgotten(inside))
    return files


def _exclude(connection: Connection, root_id: int, held: Exclusions) -> None:
    here = update(RootRow).where(RootRow.id == root_id)
    connection.execute(here.values(exclude=held.stored()))


def _place_root(catalog: Catalog, connection: Connection, path: Path, entire: bool) -> Root:
    stored = _stored(catalog, path)
    placed = insert(connection, RootRow).values(path=stored, entire=entire)
    widened = placed.on_conflict_do_update(
        index_elements=["path"], set_={"entire": RootRow.entire | placed.excluded.entire}
    )
    id, entire = connection.execute(widened.returning(RootRow.id, RootRow.entire)).one()
    root = Root(id, path, entire)
    _absorb(catalog, connection, root)
    return root


def _absorb(catalog: Catalog, connection: Connection, root: Root) -> None:
    """Make the roots at or below the path of `root` part of it."""
    for other in _roots(catalog, connection):
        # On a file system that ignores case, a root renamed only in case is found by its old name.
        inside = relative(root.path, respelled(other.path, root.path))
        if other.id != root.id and (inside == b"" or (root.entire and inside)):
            _move(connection, (other, b""), (root, inside or b""))
            held = _root(catalog, connection, root.id).exclusions
            moved = other.exclusions.moved(b"", inside or b"")
            _exclude(connection, root.id, held.and_(moved))
            connection.execute(delete(RootRow).where(RootRow.id == other.id))


def _move_root(catalog: Catalog, connection: Connection, root: Root, path: Path) -> int:
    """Move the files of `root` below `path`; return how many there are."""
    for other in _roots(catalog, connection):
        inside = relative(other.path, path)
        if other.entire and other.id != root.id and inside is not None:
            files = _move(connection, (root, b""), (other, inside))
            held = other.exclusions.and_(root.exclusions.moved(b"", inside))
            _exclude(connection, other.id, held.with_named(inside))
            connection.execute(delete(RootRow).where(RootRow.id == root.id))
            return files
    moved = Root(root.id, path, root.entire)
    _absorb(catalog, connection, moved)
    at = update(RootRow).where(RootRow.id == root.id)
    connection.execute(at.values(path=_stored(catalog, path)))
    counted = select(func.count()).select_from(FileRow).where(FileRow.root_id == root.id)
    return connection.execute(counted).scalar_one()


def _move_part(
    catalog: Catalog, connection: Connection, root: Root, inside: bytes, path: Path
) -> int:
    """Move the files of `root` at `inside` to `path`, into the root there; return how many."""
    for other in _roots(catalog, connection):
        below = relative(other.path, path)
        if other.entire and below is not None:
            return _move_between(catalog, connection, (root, inside), (other, below))
    folder = path if path.is_dir() else path.parent
    goal = _place_root(catalog, connection, folder, entire=path.is_dir())
    below = relative(folder, path) or b""
    return _move_between(catalog, connection, (root, inside), (goal, below))


def _move_between(
    catalog: Catalog, connection: Connection, source: tuple[Root, bytes], goal: tuple[Root, bytes]
) -> int:
    """Move files, and the exclusions among them; return how many files."""
    (root, inside), (other, below) = source, goal
    moved = root.exclusions.moved(inside, below, is_same_root=root.id == other.id)
    _exclude(connection, root.id, root.exclusions.without(inside))
    if other.entire:
        held = _root(catalog, connection, other.id).exclusions.and_(moved)
        _exclude(connection, other.id, held.with_named(below))
    return _move(connection, source, goal)


def _move(connection: Connection, source: tuple[Root, bytes], goal: tuple[Root, bytes]) -> int:
    """Give files at or below a (root, relative path) another root and folder; return how many."""
    (root, inside), (other, below) = source, goal
    here, values = _at(root, inside)
    # What follows `inside` begins with a slash, what follows the root itself does not.
    prefix = below + b"/" if below and not inside else below
    skip = len(inside) + 1 if inside and not below else len(inside)
    values = {**values, "other": other.id, "prefix": MOVING + prefix, "skip": skip}
    for table, columns in OF_FOLDERS.items():
        _move_rows(connection, table, columns, here, values)
    return _move_rows(connection, "files", ("path",), here, values)


def _move_rows(
    connection: Connection, name: str, columns: Sequence[str], here: str, values: dict[str, object]
) -> int:
    """Move the rows of a table; they replace those that are at the new places already."""
    table = Base.metadata.tables[name]
    kind = LargeBinary().compile(dialect=connection.dialect)
    keys = [column.name for column in table.primary_key if column.name not in ("root_id", "path")]
    to = ", ".join(
        # The root's own folder is an empty path.
        f"{column} = CAST({start} || coalesce(substr({column}, :skip + 1), '') AS {kind})"
        for column, start in zip(columns, (":prefix", "substr(:prefix, 2)"), strict=False)
    )
    on_the_way = "root_id = :other AND path >= :moving AND path < :after"
    theirs = ", ".join(["path", *keys])
    ours = ", ".join(["substr(path, 2)", *keys])
    values = {**values, "moving": MOVING, "after": b"\1"}
    moved = connection.execute(
        text(f"UPDATE {name} SET root_id = :other, {to} WHERE {here}"), values
    )
    for statement in (
        f"DELETE FROM {name} WHERE root_id = :other AND ({theirs}) IN "
        f"(SELECT {ours} FROM {name} WHERE {on_the_way})",
        f"UPDATE {name} SET path = substr(path, 2) WHERE {on_the_way}",
    ):
        connection.execute(text(statement), values)
    return moved.rowcount


def _at(root: Root, inside: bytes) -> tuple[str, dict[str, object]]:
    """Return an SQL condition for the files of `root` at or below `inside`, with its parameters."""
    condition = "root_id = :root"
    if inside:
        condition += " AND (path = :inside OR (path >= :low AND path < :high))"
    low, high = inside + b"/", inside + b"0"  # "0" follows "/"
    return condition, {"root": root.id, "inside": inside, "low": low, "high": high}


def _roots(catalog: Catalog, connection: Connection) -> list[Root]:
    """Return the roots as this transaction sees them."""
    columns = RootRow.id, RootRow.path, RootRow.entire, RootRow.exclude, RootRow.options
    return [catalog.root_of(*row) for row in connection.execute(select(*columns))]


def _root(catalog: Catalog, connection: Connection, root_id: int) -> Root:
    return next(root for root in _roots(catalog, connection) if root.id == root_id)


def _stored(catalog: Catalog, path: Path) -> bytes:
    """Return a root's path as stored: relative to the library if the root contains it, so that both
    can move together.
    """
    base = catalog.database.base
    if base and base.is_relative_to(path):
        return os.fsencode(os.path.relpath(path, base))
    return os.fsencode(path)
