"""INSERT with ON CONFLICT, which SQLAlchemy has for each dialect of its own."""

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from retrieval.catalog.schema import Base

INSERTS: dict[str, type[sqlite.Insert] | type[postgresql.Insert]] = {
    "sqlite": sqlite.Insert,
    "postgresql": postgresql.Insert,
}


def insert(connection: Connection, into: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT into a table, in the dialect of this connection's database."""
    return INSERTS[connection.dialect.name](into)
