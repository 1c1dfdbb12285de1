"""What a library has in PostgreSQL beside the tables of `schema`: its version, and what other
engines know by themselves.

`library` has one row. Each transaction that writes begins with a change of it, so that

- transactions that write come one after the other: ids that ascend are committed in their order,
  and a vector store lacks exactly the images above the greatest one that it contains;
- readers see by its number whether anything has changed.

`stores` has a number for each model, which changes when vectors are added below that greatest image
or measured anew: index files with another number are out of date, on whatever machine they are.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrieval.catalog.conditions import EARTH_KM
from retrieval.catalog.database import SCHEMA_VERSION
from retrieval.errors import InvalidValue, LibraryNotFound

if TYPE_CHECKING:
    from sqlalchemy import Connection

# The schema of the library that the search_path finds first; without one, that of a new library.
SCHEMA = (
    "coalesce((SELECT relnamespace FROM pg_class WHERE oid = to_regclass('library')), "
    "to_regnamespace(quote_ident(current_schema())))"
)
# Other programs may have a table of this name.
IS_THERE = """
SELECT count(*) = 2 FROM pg_attribute
WHERE attrelid = to_regclass('library') AND attname IN ('version', 'changes')
"""
VERSION = "SELECT version FROM library"
BEGIN_WRITING = "UPDATE library SET changes = changes + 1"
CHANGES = "SELECT changes FROM library"
STAMP = "SELECT stamp FROM stores JOIN models ON models.id = model_id WHERE digest = ?"
SIZE = f"""
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relnamespace = {SCHEMA} AND relkind = 'r'
"""
NAMES = f"""
SELECT relname::text FROM pg_class WHERE relnamespace = {SCHEMA}
UNION SELECT tgname::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
WHERE relnamespace = {SCHEMA}
"""

MAKE = f"""
CREATE TABLE library (version integer NOT NULL, changes bigint NOT NULL);
CREATE TABLE stores (
    model_id bigint PRIMARY KEY REFERENCES models ON DELETE CASCADE,
    stamp bigint NOT NULL,
    last_image bigint NOT NULL
);
INSERT INTO library VALUES ({SCHEMA_VERSION}, 0)
"""
# Made again by each upgrade. The stamp begins at random: a file in the cache may be of a database
# of the same address that was dropped.
FUNCTIONS = (
    f"""
CREATE OR REPLACE FUNCTION kilometres(north float8, east float8, other_north float8,
        other_east float8) RETURNS float8 LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT 2 * {EARTH_KM} * asin(least(1, sqrt(sin(radians(other_north - north) / 2) ^ 2
        + cos(radians(north)) * cos(radians(other_north))
        * sin(radians(other_east - east) / 2) ^ 2)))
$$""",
    """
CREATE OR REPLACE FUNCTION vectors_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stores AS held
    SELECT model_id, floor(random() * 4294967296)::bigint << 16, max(image_id)
    FROM added GROUP BY model_id
    ON CONFLICT (model_id) DO UPDATE SET
        stamp = held.stamp + (held.last_image >=
            (SELECT min(image_id) FROM added WHERE model_id = held.model_id))::int,
        last_image = greatest(held.last_image, excluded.last_image);
    RETURN NULL;
END $$""",
    """
CREATE OR REPLACE FUNCTION vectors_measured() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE stores SET stamp = stamp + 1 WHERE model_id = NEW.id;
    RETURN NULL;
END $$""",
    """
CREATE OR REPLACE TRIGGER vectors_added AFTER INSERT ON embeddings
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION vectors_added()""",
    """
CREATE OR REPLACE TRIGGER vectors_measured AFTER UPDATE OF bank ON models FOR EACH ROW
WHEN (OLD.bank IS DISTINCT FROM NEW.bank) EXECUTE FUNCTION vectors_measured()""",
)
MAKING = "SELECT pg_advisory_xact_lock(1919251572, hashtext(current_schema()))"


def upgrade(connection: "Connection", where: str) -> None:
    """Make the tables, or bring them to SCHEMA_VERSION, in the caller's transaction."""
    from retrieval.catalog import migrations, schema

    connection.exec_driver_sql(MAKING)  # another machine may be making them now
    is_made = connection.exec_driver_sql(IS_THERE).scalar_one()
    version = connection.exec_driver_sql(VERSION).scalar_one() if is_made else 0
    if version == SCHEMA_VERSION:
        return
    if not version:
        _refuse_encodings(connection, where)
        _refuse_others(connection, [*schema.Base.metadata.tables, "library", "stores"], where)
    migrations.upgrade(connection, version)
    if not version:
        for statement in MAKE.split(";"):
            connection.exec_driver_sql(statement)
    for statement in FUNCTIONS:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"UPDATE library SET version = {SCHEMA_VERSION}")


def _refuse_encodings(connection: "Connection", where: str) -> None:
    """Raise InvalidValue if the database lacks characters that texts may have."""
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise InvalidValue(
            f"the database at {where} has the encoding {encoding}, not UTF8; make another with "
            "`createdb --encoding UTF8 --template template0`"
        )


def _refuse_others(connection: "Connection", ours: Sequence[str], where: str) -> None:
    """Raise LibraryNotFound if another program has tables with our names, in any schema of the
    search_path: they would be taken for ours.
    """
    visible = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL"
    if (
        taken := connection.exec_driver_sql(f"{visible} ORDER BY name", (list(ours),))
        .scalars()
        .all()
    ):
        raise LibraryNotFound(
            f"{where} has a table {taken[0]} of another program; use another database"
        )
