"""The outbox: images that changed since a vector store beside the catalog last took its news.

Triggers write it in the transaction of each change, whichever statement makes it, so that no change
can be missed; they exist only while there is such a store. The store takes a page of images, brings
what it holds of them to what the catalog holds *now*, and then drops the page. If it is interrupted
in between, the page is there again, and taking it twice does no harm.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, text

from retrieval.catalog.database import Trigger
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
        _drop_triggers(catalog, connection)
        for trigger in _triggers():
            for statement in catalog.database.trigger(trigger):
                connection.execute(text(statement))
        connection.execute(delete(OutboxRow))
        connection.execute(text("INSERT INTO outbox (image_id) SELECT id FROM images ORDER BY id"))
        settings.put_in(connection, values)


def end(catalog: Catalog, values: Mapping[str, str | None]) -> None:
    """Watch no longer, empty the outbox, and write settings."""
    with catalog.transaction() as connection:
        _drop_triggers(catalog, connection)
        connection.execute(delete(OutboxRow))
        settings.put_in(connection, values)


def is_watching(catalog: Catalog) -> bool:
    """Return whether all triggers exist: those of a catalog that was recovered are gone."""
    return {trigger.name for trigger in _triggers()} <= catalog.database.names()


def take(catalog: Catalog, limit: int) -> News | None:
    """Return the first page of the outbox; None if it is empty."""
    page = "SELECT seq, image_id FROM outbox ORDER BY seq LIMIT ?"
    rows = catalog.rows(page, (limit,))
    return News([seq for seq, _ in rows], sorted({id for _, id in rows})) if rows else None


def drop(catalog: Catalog, numbers: Sequence[int]) -> None:
    """Drop rows that a store has taken. Those of later changes to the same images stay."""
    with catalog.transaction() as connection:
        connection.execute(delete(OutboxRow).where(OutboxRow.seq.in_(numbers)))


def _triggers() -> Iterator[Trigger]:
    for table, (key, columns) in WATCHED.items():
        new, old = _put(f"NEW.{key}"), _put(f"OLD.{key}")
        if table != "images":  # one that is added or removed has an embedding, too
            yield Trigger(f"outbox_{table}_added", table, "INSERT", (new,))
            yield Trigger(f"outbox_{table}_removed", table, "DELETE", (old,))
        both = (old, new) if key in columns else (old,)
        yield Trigger(f"outbox_{table}_changed", table, "UPDATE", both, columns)


def _put(value: str) -> str:
    return f"INSERT INTO outbox (image_id) SELECT {value} WHERE {value} IS NOT NULL"


def _drop_triggers(catalog: Catalog, connection: Connection) -> None:
    for trigger in _triggers():
        connection.execute(text(catalog.database.without_trigger(trigger.name, trigger.table)))
