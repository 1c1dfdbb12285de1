"""The tables of a catalog, and how an older one becomes today's.

Who only reads imports none of this: SQLAlchemy takes 0.3 s to import, half of a cold search, so
`reading.py` reads with the standard library's sqlite3; a test holds the two together.

An image has moments (a page, a frame, a second of a video), numbered from 0; a still picture has
moment 0 alone, and no row says so. Vector stores name a moment by one integer,

    id = image_id + (moment << 40)

so that the ids of first moments are those of their images, as every index file has them: a file
made before there were moments stays valid. An image's moments are written in one transaction;
thus what a store lacks is still all images above the greatest one that it holds, and `id` modulo
2**40 is the image that is found.
"""

import re
from collections.abc import Callable

from sqlalchemy import (
    BLOB,
    Connection,
    ForeignKey,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from retrieval.catalog.sqlite.connection import SCHEMA_VERSION

Migration = Callable[[Connection], None]
FAILED_FILES = ("failure_code", "root_id", "path")  # of an index that holds nothing else
MOVED_AT_ONCE = 10_000  # embeddings of a catalog that is migrated


class Base(DeclarativeBase):
    type_annotation_map = {bytes: BLOB}


class ModelRow(Base):
    """A model whose embeddings are here. Searches use the current one."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    dim: Mapped[int]
    precision: Mapped[str]
    is_current: Mapped[bool]
    bank: Mapped[str | None]  # what all its embeddings were measured with; NULL: not all were


class RootRow(Base):
    """A folder that the user named, or (`entire` false) one of which only files were named."""

    __tablename__ = "roots"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[bytes] = mapped_column(unique=True)  # absolute, or relative to the library
    entire: Mapped[bool]
    exclude: Mapped[str | None]  # JSON: the globs that are left out of it; NULL: none


class ImageRow(Base):
    """One distinct content. Ids ascend and are never used again: the vector index relies on it."""

    __tablename__ = "images"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)  # blake2b-128 of the file's bytes
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str]
    taken_at: Mapped[str | None]  # ISO 8601
    difference_hash: Mapped[bytes | None]  # see difference_hash.py; NULL: not known yet

    __table_args__ = (
        Index("unhashed_images", "id", sqlite_where=text("difference_hash IS NULL")),
        {"sqlite_autoincrement": True},
    )


class ShotRow(Base):
    """How and where an image was taken. One that has no row was indexed before there were any."""

    __tablename__ = "shots"

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    camera: Mapped[str | None]
    lens: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    exposure: Mapped[float | None]
    aperture: Mapped[float | None]
    iso: Mapped[int | None]
    focal_length: Mapped[float | None]


class FileRow(Base):
    """A place: its image, or why there is none. No rowid, since the key is half of the row."""

    __tablename__ = "files"

    root_id: Mapped[int] = mapped_column(
        ForeignKey("roots.id", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[bytes] = mapped_column(primary_key=True)  # relative to the root, '/'-separated
    size: Mapped[int]
    mtime_ns: Mapped[int]
    image_id: Mapped[int | None] = mapped_column(ForeignKey("images.id"))
    failure: Mapped[str | None]  # a sentence; programs decide by the code
    failure_code: Mapped[str | None]  # a `FailureCode`
    failure_limit: Mapped[int | None]  # the pixels that were allowed, of a picture with more
    ctime_ns: Mapped[int | None]  # of the inode's last change; NULL: not known yet
    inode: Mapped[int | None]  # as a signed integer of 64 bits

    __table_args__ = (
        Index("files_of_image", "image_id"),
        Index("failed_files", *FAILED_FILES, sqlite_where=text("failure_code IS NOT NULL")),
        {"sqlite_with_rowid": False},
    )


class MomentRow(Base):
    """A moment of an image that has several. One without rows has moment 0 alone."""

    __tablename__ = "moments"

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    moment: Mapped[int] = mapped_column(primary_key=True)  # from 0, in their order
    unit: Mapped[str]  # "page", "frame" or "second"
    position: Mapped[float]  # which page or frame, from 0, or how many seconds in

    __table_args__ = ({"sqlite_with_rowid": False},)


class TextRow(Base):
    """Text that was found in an image or says something about it."""

    __tablename__ = "texts"

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
    moment: Mapped[int]
    source: Mapped[str]  # who says so: "ocr", "xmp", "filename", ...
    language: Mapped[str | None]  # BCP 47; NULL: not known
    text: Mapped[str]

    __table_args__ = (Index("texts_of_image", "image_id"),)


class EmbeddingRow(Base):
    """A vector: float16, little-endian, unit L2 norm; and how it stands to a query bank.

    The key is an index of its own, beside the rows, so that counting reads no blobs. The image
    comes first in it, so that an image that goes finds its embeddings. Models stay side by side.
    """

    __tablename__ = "embeddings"
    __table_args__ = (UniqueConstraint("image_id", "model_id", "moment"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
    moment: Mapped[int]
    vector: Mapped[bytes]
    bank_mean: Mapped[float | None]
    bank_deviation: Mapped[float | None]


# -- versions ------------------------------------------------------------------------------------


def to_2(connection: Connection) -> None:
    """Room for EXIF and for hubness; the next index run fills it in."""
    Base.metadata.create_all(connection, [Base.metadata.tables["shots"]])
    connection.execute(text("ALTER TABLE models ADD COLUMN bank VARCHAR"))
    connection.execute(text("ALTER TABLE embeddings ADD COLUMN bank_mean FLOAT"))
    connection.execute(text("ALTER TABLE embeddings ADD COLUMN bank_deviation FLOAT"))


def to_3(connection: Connection) -> None:
    """Room for what tells a changed file, a near copy, and what a root leaves out; for moments and
    texts; and a code for each failure.
    """
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
    """Version 2 had sentences alone, and read the code out of them."""
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


SENTENCES = (  # of versions 1 and 2: how they began
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
    """The key of `embeddings` gets a third column, so that the table is written anew: a part at a
    time, so that what was moved leaves its room to what follows.
    """
    connection.execute(text("ALTER TABLE embeddings RENAME TO old_embeddings"))
    tables = [Base.metadata.tables[name] for name in ("moments", "texts", "embeddings")]
    Base.metadata.create_all(connection, tables)
    columns = "id, model_id, image_id, vector, bank_mean, bank_deviation"
    here = "WHERE id > :after AND id <= :last"
    copy = text(  # what points nowhere would be refused
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


# MIGRATIONS[v - 1] turns a catalog of version v into one of version v + 1.
MIGRATIONS: tuple[Migration, ...] = (to_2, to_3)


def upgrade(connection: Connection) -> None:
    """Bring a catalog of any older version, or an empty file, to SCHEMA_VERSION.

    The caller's transaction holds it all: a catalog is never half migrated.
    """
    version = connection.execute(text("PRAGMA user_version")).scalar_one()
    if version == 0:
        Base.metadata.create_all(connection)
    else:
        for migrate in MIGRATIONS[version - 1 :]:
            migrate(connection)
    connection.execute(text(f"PRAGMA user_version = {SCHEMA_VERSION}"))
