"""The tables of a catalog, and how an older one becomes today's.

Who only reads imports none of this: SQLAlchemy takes 0.3 s to import, half of a cold search, so
`reading.py` reads with the standard library's sqlite3; a test holds the two together.
"""

from collections.abc import Callable

from sqlalchemy import BLOB, Connection, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from retrieval.catalog.sqlite.connection import SCHEMA_VERSION

Migration = Callable[[Connection], None]


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
    failure: Mapped[str | None]
    ctime_ns: Mapped[int | None]  # of the inode's last change; NULL: not known yet
    inode: Mapped[int | None]  # as a signed integer of 64 bits

    __table_args__ = (
        Index("files_of_image", "image_id"),
        Index("failed_files", "root_id", "path", sqlite_where=text("failure IS NOT NULL")),
        {"sqlite_with_rowid": False},
    )


class EmbeddingRow(Base):
    """A vector: float16, little-endian, unit L2 norm; and how it stands to a query bank.

    The key is an index of its own, beside the rows, so that counting reads no blobs. The image
    comes first in it, so that an image that goes finds its embeddings.
    """

    __tablename__ = "embeddings"
    __table_args__ = (UniqueConstraint("image_id", "model_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
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
    """Room for what tells a changed file, a near copy, and what a root leaves out."""
    connection.execute(text("ALTER TABLE roots ADD COLUMN exclude VARCHAR"))
    connection.execute(text("ALTER TABLE images ADD COLUMN difference_hash BLOB"))
    connection.execute(
        text("CREATE INDEX unhashed_images ON images (id) WHERE difference_hash IS NULL")
    )
    connection.execute(text("ALTER TABLE files ADD COLUMN ctime_ns INTEGER"))
    connection.execute(text("ALTER TABLE files ADD COLUMN inode INTEGER"))


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
