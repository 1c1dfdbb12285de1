"""INSERT with ON CONFLICT, which SQLAlchemy has for each dialect of its own."""

from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import Insert

from retrieval.catalog.schema import Base


def insert(connection: Connection, into: type[Base]) -> Insert:
    """Return an INSERT into a table, in the dialect of this connection's database."""
    return Insert(into)
