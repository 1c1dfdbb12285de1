"""The migrations of a catalog from older versions to the newest."""

import re
from collections.abc import Callable

from sqlalchemy import Connection, text

from retrieval.catalog.schema import FAILED_FILES, UNDESCRIBED, UNWATCHED, Base
from retrieval.records import NO_MTIME

Migration = Callable[[Connection], None]
MOVED_AT_ONCE = 10_000  # embeddings, during a migration


def to_2(connection: Connection) -> None:
    """Add EXIF and hubness; the next index run fills them in."""
    Base.metadata.create_all(connection, [Base.metadata.tables["shots"]])
    connection.execute(text("ALTER TABLE models ADD COLUMN bank VARCHAR"))
    connection.execute(text("ALTER TABLE embeddings ADD COLUMN bank_mean FLOAT"))
    connection.execute(text("ALTER TABLE embeddings ADD COLUMN bank_deviation FLOAT"))


def to_3(connection: Connection) -> None:
    """Add exclusions, difference hashes, ctimes, inodes, moments, texts and failure codes."""
    connection.execute(text("ALTER TABLE roots ADD COLUMN exclude VARCHAR"))
    connection.execute(text("ALTER TABLE images ADD COLUMN difference_hash BLOB"))
    connection.execute(
        text("CREATE INDEX unhashed_images ON images (id) WHERE difference_hash IS NULL")
    )
    connection.execute(text("ALTER TABLE files ADD COLUMN ctime_ns INTEGER"))
    connection.execute(text("ALTER TABLE files ADD COLUMN inode INTEGER"))
    _code_failures(connection)
    _add_moments(connection)


def _code_failures(connection: Connection) -> None:
    """Add the codes of failures; version 2 stored only sentences."""
    connection.execute(text("ALTER TABLE files ADD COLUMN failure_code VARCHAR"))
    connection.execute(text("ALTER TABLE files ADD COLUMN failure_limit INTEGER"))
    failed = text("SELECT DISTINCT failure FROM files WHERE failure IS NOT NULL")
    put = text(
        "UPDATE files SET failure_code = :code, failure_limit = :limit WHERE failure = :said"
    )
    for (said,) in connection.execute(failed).all():
        code, limit = code_of_version_2(said)
        connection.execute(put, {"said": said, "code": code, "limit": limit})
    connection.execute(text("DROP INDEX IF EXISTS failed_files"))
    columns = ", ".join(FAILED_FILES)
    connection.execute(
        text(f"CREATE INDEX failed_files ON files ({columns}) WHERE failure_code IS NOT NULL")
    )


def code_of_version_2(said: str) -> tuple[str, int | None]:
    """Return the code of a failure, and the pixels that were allowed, from its sentence."""
    said = str(said)  # a damaged page may hold anything
    if found := re.fullmatch(r"it has .* pixels, more than ([\d,]+)", said):
        return "too_large", int(found[1].replace(",", ""))
    return next((code for code, begin in SENTENCES if said.startswith(begin)), "damaged"), None


SENTENCES = (  # how those of versions 1 and 2 began
    ("too_large", "it has more pixels than"),
    ("too_many_bytes", "it has "),
    ("empty", "the file is empty"),
    ("not_a_file", "it is not a regular file"),
    ("not_a_picture", "it is not a picture"),
    ("unreadable", "it cannot be read"),
    ("out_of_memory", "it takes more memory"),
    ("timed_out", "decoding it took more than"),
    ("crashed", "decoding it ended the worker"),
)


def _add_moments(connection: Connection) -> None:
    """Add moments and texts, and the moment to the key of `embeddings`.

    That table is written again, in parts, so that each part reuses the space of the one before.
    """
    connection.execute(text("ALTER TABLE embeddings RENAME TO old_embeddings"))
    tables = [Base.metadata.tables[name] for name in ("moments", "texts", "embeddings")]
    Base.metadata.create_all(connection, tables)
    columns = "id, model_id, image_id, vector, bank_mean, bank_deviation"
    here = "WHERE id > :after AND id <= :last"
    copy = text(  # rows with dangling references would be rejected
        f"INSERT OR IGNORE INTO embeddings ({columns}, moment) SELECT {columns}, 0 "
        f"FROM old_embeddings {here} AND image_id IN (SELECT id FROM images) "
        "AND model_id IN (SELECT id FROM models)"
    )
    part = f"SELECT id FROM old_embeddings WHERE id > :after ORDER BY id LIMIT {MOVED_AT_ONCE}"
    upper = text(f"SELECT max(id) FROM ({part})")
    after = -1
    while (last := connection.execute(upper, {"after": after}).scalar_one()) is not None:
        for each in (copy, text(f"DELETE FROM old_embeddings {here}")):
            connection.execute(each, {"after": after, "last": last})
        after = last
    connection.execute(text("DROP TABLE old_embeddings"))


def to_4(connection: Connection) -> None:
    """Add facts and their sources, companions, what is left out, and what decoding came to know:
    profiles, raw files, JPEGs that end too early.

    The next run reads what failed again, and encodes again what looks different.
    """
    columns = {
        "is_truncated": "BOOLEAN",
        "decoding": "INTEGER",
        "taken_from": "VARCHAR",
        "rating": "INTEGER",
    }
    for name, kind in columns.items():
        connection.execute(text(f"ALTER TABLE images ADD COLUMN {name} {kind}"))
    connection.execute(text("DROP INDEX IF EXISTS unhashed_images"))
    connection.execute(text(f"CREATE INDEX undescribed_images ON images (id) WHERE {UNDESCRIBED}"))
    connection.execute(text("DROP TABLE texts"))  # no version before this one wrote any
    tables = [Base.metadata.tables[name] for name in ("texts", "companions", "left_out")]
    Base.metadata.create_all(connection, tables)
    again = "UPDATE files SET mtime_ns = :none WHERE failure_code IN ('damaged', 'not_a_picture')"
    connection.execute(text(again), {"none": NO_MTIME})


def to_5(connection: Connection) -> None:
    """Add addresses with their options, containers such as tar shards, settings, and the outbox of
    a vector store beside the catalog; the durations of videos, and which images may have moments
    that nobody has looked for; and models that keep up.
    """
    column = "keeps_up BOOLEAN NOT NULL DEFAULT 0"
    connection.execute(text(f"ALTER TABLE models ADD COLUMN {column}"))
    connection.execute(text("ALTER TABLE roots ADD COLUMN options VARCHAR"))
    connection.execute(text("ALTER TABLE files ADD COLUMN version VARCHAR"))
    tables = [Base.metadata.tables[name] for name in ("containers", "settings", "outbox")]
    Base.metadata.create_all(connection, tables)
    connection.execute(text("ALTER TABLE images ADD COLUMN duration DOUBLE"))
    connection.execute(text("ALTER TABLE images ADD COLUMN moment_count INTEGER"))
    moving = "('GIF', 'WEBP', 'AVIF', 'PNG', 'TIFF')"  # as this version knows them
    still = f"UPDATE images SET moment_count = 1 WHERE format NOT IN {moving}"
    connection.execute(text(still))
    connection.execute(text(f"CREATE INDEX unwatched_images ON images (id) WHERE {UNWATCHED}"))


# MIGRATIONS[v - 1] turns a catalog of version v into one of version v + 1.
MIGRATIONS: tuple[Migration, ...] = (to_2, to_3, to_4, to_5)


def upgrade(connection: Connection, version: int) -> None:
    """Bring a catalog of an older version (0: one without tables) to the newest.

    It runs in the caller's transaction, so a catalog is never half migrated.
    """
    if version == 0:
        Base.metadata.create_all(connection)
    else:
        for migrate in MIGRATIONS[version - 1 :]:
            migrate(connection)
