"""The tables of a catalog. migrations.py brings older ones to this form.

Readers do not import this: SQLAlchemy takes 0.3 s to import, half of a cold search, so `reading.py`
uses the standard library's sqlite3. A test keeps the two in agreement.

An image has moments (a page, a frame, a second of a video), numbered from 0. A still picture has
only moment 0, and no row for it. Vector stores name a moment by one integer (vector_ids.py);
the id of a first moment is that of its image, and an index file from before there were moments
stays valid. The moments of an image are written in one transaction, so a store still lacks exactly
the images above the greatest one that it contains. Moments, once written, stay as they are: the
vectors of every model are of the same ones.
"""

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

FAILED_FILES = ("failure_code", "root_id", "path")  # the columns of the index of failed files
# Images to be read again.
UNDESCRIBED = "difference_hash IS NULL OR taken_from IS NULL OR decoding IS NULL"
UNWATCHED = "moment_count IS NULL"  # images that may have further moments


class Base(DeclarativeBase):
    type_annotation_map = {
        bytes: LargeBinary,
        int: BigInteger().with_variant(Integer, "sqlite"),
        # Compared as SQLite does, by bytes.
        str: String().with_variant(String(collation="C"), "postgresql"),
    }


def _partial(name: str, *columns: str, where: str) -> Index:
    """Return an index of some rows."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class ModelRow(Base):
    """A model with embeddings in this catalog. Searches use the current one."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    dim: Mapped[int]
    precision: Mapped[str]
    is_current: Mapped[bool]
    keeps_up: Mapped[bool] = mapped_column(server_default=false())  # encodes what is new as well
    bank: Mapped[str | None]  # measured all its embeddings (a digest); NULL: not all are measured


class RootRow(Base):
    """A folder that the user named or, if not `entire`, a folder of named files; or the address of
    such a place elsewhere, such as s3://bucket/holiday.
    """

    __tablename__ = "roots"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[bytes] = mapped_column(unique=True)  # absolute, or relative to the library
    entire: Mapped[bool]
    exclude: Mapped[str | None]  # JSON: globs to exclude; NULL: none
    options: Mapped[str | None]  # JSON: how to reach an address, without secrets; NULL: none


class ImageRow(Base):
    """An image: one distinct content. Ids ascend and are never reused; the index relies on that."""

    __tablename__ = "images"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)  # blake2b-128 of the file's bytes
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str]
    taken_at: Mapped[str | None]  # ISO 8601
    difference_hash: Mapped[bytes | None]  # see difference_hash.py; NULL: not computed yet
    is_truncated: Mapped[bool | None]  # its file ends too early
    decoding: Mapped[int | None]  # version that its pixels were decoded by; NULL: an older one
    taken_from: Mapped[str | None]  # a `TakenFrom`; NULL: its metadata are yet to be read
    rating: Mapped[int | None]  # -1: rejected, 0 to 5; NULL: not rated
    duration: Mapped[float | None]  # seconds, of a video
    moment_count: Mapped[int | None]  # NULL: nobody has looked for further moments yet

    __table_args__ = (
        _partial("undescribed_images", "id", where=UNDESCRIBED),
        _partial("unwatched_images", "id", where=UNWATCHED),
        {"sqlite_autoincrement": True},
    )


class ShotRow(Base):
    """Camera, settings and place of an image; no row if it was indexed by version 1."""

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
    """A file: its image, or why there is none. No rowid, since the key is half of the row."""

    __tablename__ = "files"

    root_id: Mapped[int] = mapped_column(
        ForeignKey("roots.id", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[bytes] = mapped_column(primary_key=True)  # relative to the root, '/'-separated
    size: Mapped[int]
    mtime_ns: Mapped[int]
    image_id: Mapped[int | None] = mapped_column(ForeignKey("images.id"))
    failure: Mapped[str | None]  # a sentence for users; programs use the code
    failure_code: Mapped[str | None]  # a `FailureCode`
    failure_limit: Mapped[int | None]  # the pixels that were allowed, if it had more
    ctime_ns: Mapped[int | None]  # when the inode last changed; NULL: not known yet
    inode: Mapped[int | None]  # as a signed integer of 64 bits; of a shard's member: its offset
    version: Mapped[str | None]  # ETag or the like, of what lies at an address

    __table_args__ = (
        Index("files_of_image", "image_id"),
        _partial("failed_files", *FAILED_FILES, where="failure_code IS NOT NULL"),
        {"sqlite_with_rowid": False},
    )


class MomentRow(Base):
    """A moment of a video, or of an image that has several. Without rows there is moment 0."""

    __tablename__ = "moments"

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    moment: Mapped[int] = mapped_column(primary_key=True)  # numbered from 0, in order
    unit: Mapped[str]  # "page", "frame" or "second"
    position: Mapped[float]  # page or frame, from 0, or seconds from the start

    __table_args__ = ({"sqlite_with_rowid": False},)


class TextRow(Base):
    """Text found in an image, or describing it."""

    __tablename__ = "texts"

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
    moment: Mapped[int]
    kind: Mapped[str]  # "title", "caption", "keyword", "person"; "shown": read from the picture
    source: Mapped[str]  # "exif", "xmp", "iptc", "sidecar", "takeout", ...
    language: Mapped[str | None]  # BCP 47; NULL: not known
    text: Mapped[str]

    __table_args__ = (Index("texts_of_image", "image_id"),)


class CompanionRow(Base):
    """A file that belongs to a picture in its folder, as the last scan found it."""

    __tablename__ = "companions"

    root_id: Mapped[int] = mapped_column(
        ForeignKey("roots.id", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[bytes] = mapped_column(primary_key=True)  # relative to the root, as `main`
    main: Mapped[bytes]  # the picture
    kind: Mapped[str]  # a `CompanionKind`
    size: Mapped[int]
    mtime_ns: Mapped[int]
    is_picture: Mapped[bool]  # it is in `files` as well
    image_id: Mapped[int | None]  # the image that a sidecar's facts were added to; NULL: none yet

    __table_args__ = (
        Index("companions_of_picture", "root_id", "main"),
        _partial("paired_pictures", "root_id", "path", where="is_picture"),
        {"sqlite_with_rowid": False},
    )


class LeftOutRow(Base):
    """How many files or folders of one kind the last scan left out of a folder."""

    __tablename__ = "left_out"

    root_id: Mapped[int] = mapped_column(
        ForeignKey("roots.id", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[bytes] = mapped_column(primary_key=True)  # of the folder, ending in "/"; or empty
    kind: Mapped[str] = mapped_column(primary_key=True)  # see decoding/kinds/names.py
    extension: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]

    __table_args__ = ({"sqlite_with_rowid": False},)


class ContainerRow(Base):
    """A file whose members are pictures, such as a tar shard, as a run has read it to its end."""

    __tablename__ = "containers"

    root_id: Mapped[int] = mapped_column(
        ForeignKey("roots.id", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[bytes] = mapped_column(primary_key=True)  # relative to the root
    kind: Mapped[str]  # a `ContainerKind`
    size: Mapped[int]
    mtime_ns: Mapped[int]
    ctime_ns: Mapped[int]
    options: Mapped[str | None]  # JSON: how to read it; NULL: as usual

    __table_args__ = ({"sqlite_with_rowid": False},)


class EmbeddingRow(Base):
    """A vector (float16, little-endian, unit L2 norm) and its hubness, if measured.

    The unique key is an index of its own, so that counting reads no blobs. The image comes first in
    it, so that the embeddings of a dropped image are found. Several models can have embeddings.
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


class SettingRow(Base):
    """A setting of the library that every program which opens it should find."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class OutboxRow(Base):
    """An image that changed since a vector store beside the catalog took its news (outbox.py)."""

    __tablename__ = "outbox"

    seq: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int]  # it may be gone

    __table_args__ = (Index("outbox_images", "image_id"), {"sqlite_autoincrement": True})
