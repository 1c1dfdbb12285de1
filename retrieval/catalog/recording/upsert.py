"""INSERT with ON CONFLICT, which SQLAlchemy has for each dialect of its own."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from retrieval.catalog.schema import Base

INSERTS: dict[str, type[sqlite.Insert] | type[postgresql.Insert]] = {
    "sqlite": sqlite.Insert,
    "postgresql": postgresql.Insert,
}


def insert(connection: Connection, into: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT into a table, in the dialect of this connection's database."""
    return INSERTS[connection.dialect.name](into)


def put_all(
    connection: Connection,
    put: sqlite.Insert | postgresql.Insert,
    rows: Sequence[dict[str, Any]],
) -> None:
    """Insert rows with the same columns, no two of which have the same key."""
    if connection.dialect.name != "postgresql":
        connection.execute(put, rows)
        return
    # One statement with an array for each column: a tenth of the work of one for each row.
    names = list(rows[0])
    kinds = {name: postgresql.ARRAY(put.table.c[name].type) for name in names}
    columns = [func.unnest(bindparam(name, type_=kinds[name])) for name in names]
    arrays = {name: [row[name] for row in rows] for name in names}
    connection.execute(put.from_select(names, select(*columns)), arrays)
