"""The outbox: images that changed since a vector store beside the catalog last took its news.

Triggers write it in the transaction of each change, whichever statement makes it, so that no change
can be missed; they exist only while there is such a store. The store takes a page of images, brings
what it holds of them to what the catalog holds *now*, and then drops the page. If it is interrupted
in between, the page is there again, and taking it twice does no harm.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import delete, text

from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording import settings
from retrieval.catalog.schema import OutboxRow

# Tables with what a store holds of an image: their column with its id, and the others that matter.
WATCHED = {
    "embeddings": ("image_id", ("vector", "bank_mean", "bank_deviation")),
    "files": ("image_id", ("root_id", "path", "mtime_ns", "image_id")),
    "images": ("id", ("taken_at", "width", "height", "format")),
    "shots": ("image_id", ("camera", "latitude", "longitude")),
}


class News(NamedTuple):
    """A page of the outbox."""

    numbers: list[int]  # of its rows
    images: list[int]  # sorted, each once


def begin(catalog: Catalog, values: Mapping[str, str | None]) -> None:
    """Put every image into the outbox, watch for changes from now on, and write settings."""
    with catalog.transaction() as connection:
        for statement in (*_dropped(), *_created()):
            connection.execute(text(statement))
        connection.execute(delete(OutboxRow))
        connection.execute(text("INSERT INTO outbox (image_id) SELECT id FROM images ORDER BY id"))
        settings.put_in(connection, values)


def end(catalog: Catalog, values: Mapping[str, str | None]) -> None:
    """Watch no longer, empty the outbox, and write settings."""
    with catalog.transaction() as connection:
        for statement in _dropped():
            connection.execute(text(statement))
        connection.execute(delete(OutboxRow))
        settings.put_in(connection, values)


def is_watching(catalog: Catalog) -> bool:
    """Return whether all triggers exist: those of a catalog that was recovered are gone."""
    found = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'outbox_%'"
    return catalog.number(found) == len(list(_created()))


def take(catalog: Catalog, limit: int) -> News | None:
    """Return the first page of the outbox; None if it is empty."""
    page = "SELECT seq, image_id FROM outbox ORDER BY seq LIMIT ?"
    rows = catalog.rows(page, (limit,))
    return News([seq for seq, _ in rows], sorted({id for _, id in rows})) if rows else None


def drop(catalog: Catalog, numbers: Sequence[int]) -> None:
    """Drop rows that a store has taken. Those of later changes to the same images stay."""
    with catalog.transaction() as connection:
        connection.execute(delete(OutboxRow).where(OutboxRow.seq.in_(numbers)))


def _created() -> Iterator[str]:
    for table, (key, columns) in WATCHED.items():
        changed = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)
        if table != "images":  # one that is added or removed has an embedding, too
            yield _trigger(table, "added", "AFTER INSERT", _put(f"NEW.{key}"))
            yield _trigger(table, "removed", "AFTER DELETE", _put(f"OLD.{key}"))
        both = f"AFTER UPDATE OF {', '.join(columns)}"
        put = _put(f"OLD.{key}") + (_put(f"NEW.{key}") if key in columns else "")
        yield _trigger(table, "changed", both, put, f"WHEN {changed}")
    # A file that is moved onto another replaces it, without a trigger for that.
    here = "root_id = NEW.root_id AND path = NEW.path AND image_id IS NOT NULL"
    put = f"INSERT INTO outbox (image_id) SELECT image_id FROM files WHERE {here};"
    moved = "WHEN OLD.root_id != NEW.root_id OR OLD.path != NEW.path"
    yield _trigger("files", "replaced", "BEFORE UPDATE OF root_id, path", put, moved)


def _trigger(table: str, name: str, event: str, put: str, condition: str = "") -> str:
    return (
        f"CREATE TRIGGER outbox_{table}_{name} {event} ON {table} FOR EACH ROW {condition} "
        f"BEGIN {put} END"
    )


def _put(value: str) -> str:
    return f"INSERT INTO outbox (image_id) SELECT {value} WHERE {value} IS NOT NULL;"


def _dropped() -> Iterator[str]:
    for statement in _created():
        yield f"DROP TRIGGER IF EXISTS {statement.split()[2]}"
