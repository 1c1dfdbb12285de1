"""INSERT with ON CONFLICT, which SQLAlchemy has for each dialect of its own."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from operator import itemgetter
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


@cache
def put_new(dialect: str, into: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT of the rows whose keys are not there yet, the same object each time."""
    return INSERTS[dialect](into).on_conflict_do_nothing()


@cache
def put_changed(
    dialect: str, into: type[Base], key: tuple[str, ...], columns: tuple[str, ...]
) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that changes these columns where the key is there already, the same object
    each time.
    """
    put = INSERTS[dialect](into)
    changed = {name: put.excluded[name] for name in columns}
    return put.on_conflict_do_update(index_elements=key, set_=changed)


def put_all(
    connection: Connection,
    put: sqlite.Insert | postgresql.Insert,
    rows: Sequence[dict[str, Any]],
) -> None:
    """Insert rows with the same columns, no two of which have the same key. Quicker if `put` is the
    same object each time.
    """
    if connection.dialect.name != "postgresql":
        # SQLAlchemy's own way makes a dictionary and a list of each row: half of a commit's time.
        text, values = _by_place(put, tuple(rows[0]))
        connection.exec_driver_sql(text, [values(row) for row in rows])
        return
    # One statement with an array for each column: a tenth of the work of one for each row.
    names = list(rows[0])
    kinds = {name: postgresql.ARRAY(put.table.c[name].type) for name in names}
    columns = [func.unnest(bindparam(name, type_=kinds[name])) for name in names]
    arrays = {name: [row[name] for row in rows] for name in names}
    connection.execute(put.from_select(names, select(*columns)), arrays)


@lru_cache(32)
def _by_place(
    put: sqlite.Insert | postgresql.Insert, names: tuple[str, ...]
) -> tuple[str, Callable[[dict[str, Any]], tuple[Any, ...]]]:
    """Return a statement with a "?" for each value, and what takes them from a row, in their order.
    Their types are those that SQLite's driver takes as they are.
    """
    compiled = put.compile(dialect=sqlite.dialect(paramstyle="qmark"), column_keys=names)
    assert compiled.positiontup and {*compiled.positiontup} == {*names}
    return str(compiled), itemgetter(*compiled.positiontup)
