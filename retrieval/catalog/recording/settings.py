"""Settings of a library: short texts by name, which every program that opens it finds."""

from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert

from retrieval.catalog.reading import Catalog
from retrieval.catalog.schema import SettingRow


def put(catalog: Catalog, values: Mapping[str, str | None]) -> None:
    """Write settings in one transaction; None removes one."""
    with catalog.transaction() as connection:
        put_in(connection, values)


def put_in(connection: Connection, values: Mapping[str, str | None]) -> None:
    """Write settings in the caller's transaction."""
    connection.execute(delete(SettingRow).where(SettingRow.name.in_(list(values))))
    rows = [{"name": name, "value": value} for name, value in values.items() if value is not None]
    if rows:
        connection.execute(insert(SettingRow), rows)
