"""The nouns of the application, in the order in which a picture passes through them."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.exclusions import Exclusions
from retrieval.wording import clock


@dataclass(frozen=True, slots=True)
class Root:
    """A folder to index entirely, or only for single files in it that were named."""

    id: int
    path: Path  # absolute, with symbolic links resolved
    entire: bool  # False: only the files that were named, one by one
    exclusions: Exclusions = field(default=Exclusions())
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # to reach an address


class Found(NamedTuple):
    """A file found by the scan. `path` is relative to the root, in bytes, '/'-separated.

    A tuple, since a rescan creates one for each of perhaps a million files.
    """

    path: bytes
    size: int
    mtime_ns: int
    ctime_ns: int  # of the inode's last change, which no program can set
    inode: int


MAX_INTEGER = (1 << 63) - 1  # the largest integer of a catalog
MIN_INTEGER = -MAX_INTEGER
NO_MTIME = MIN_INTEGER - 1  # replaces a time; no file has it, so the file counts as changed


def fitting(number: float) -> int:
    """Return a number from elsewhere as an integer that fits into the catalog; 0 for NaN."""
    return 0 if math.isnan(number) else int(min(max(number, MIN_INTEGER), MAX_INTEGER))


def found_at(path: bytes, status: os.stat_result) -> Found:
    """Describe a file by the system's status, with numbers that fit into the catalog.

    File systems have times far beyond the year 2262, where 64 bits of nanoseconds end, and inode
    numbers of 64 bits without a sign, or of 128.
    """
    mtime_ns, ctime_ns, inode = status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    least, most = MIN_INTEGER, MAX_INTEGER
    if not (least <= mtime_ns <= most and least <= ctime_ns <= most and inode <= most):
        mtime_ns, ctime_ns = fitting(mtime_ns), fitting(ctime_ns)
        inode = (inode - NO_MTIME) % (1 << 64) + NO_MTIME  # the same 64 bits, with a sign
    return Found(path, status.st_size, mtime_ns, ctime_ns, inode)


class KnownFile(NamedTuple):
    """A file as it was when it was indexed."""

    path: Path  # absolute
    size: int
    mtime_ns: int
    ctime_ns: int | None  # None: not recorded then
    inode: int | None  # as a signed integer of 64 bits; of a member, its offset
    container: Path | None = None  # the file that it is a member of


class Shot(NamedTuple):
    """How and where a picture was taken according to its EXIF; None for missing facts."""

    camera: str | None = None  # maker and model
    lens: str | None = None
    latitude: float | None = None  # degrees north; given with the longitude or not at all
    longitude: float | None = None  # degrees east
    exposure: float | None = None  # seconds
    aperture: float | None = None  # f-number
    iso: int | None = None
    focal_length: float | None = None  # millimetres


# Where a date comes from, the most trusted first: EXIF's DateTimeOriginal, DateTimeDigitized and
# GPS clock, XMP, IPTC, EXIF's DateTime; then what lies beside the picture: an XMP sidecar, the JSON
# of Google Takeout; then the file's name, and its time.
TakenFrom = Literal[
    "original", "digitized", "gps", "xmp", "iptc", "modified", "sidecar", "takeout", "name", "file"
]
TextKind = Literal["title", "caption", "keyword", "person", "url"]


class Wording(NamedTuple):
    """A text that describes a picture, and where it was found: "exif", "xmp", "iptc", ..."""

    kind: TextKind
    text: str
    source: str


class Facts(NamedTuple):
    """What a picture's metadata, or a sidecar, say about it; None for missing facts."""

    taken_at: datetime | None = None  # with a UTC offset if known, else in local time
    taken_from: TakenFrom = "file"  # "file": no date was found
    latitude: float | None = None  # degrees north; given with the longitude or not at all
    longitude: float | None = None  # degrees east
    rating: int | None = None  # -1: rejected, 0: none, 1 to 5
    wordings: tuple[Wording, ...] = ()


Unit = Literal["page", "frame", "second"]


class Moment(NamedTuple):
    """A moment of an image: a page or frame, from 0, or seconds from the start of a video."""

    number: int  # from 0
    unit: Unit
    position: float

    def __str__(self) -> str:
        """Return it for people: "1:23", "page 2"; pages and frames count from 1."""
        return (
            clock(self.position)
            if self.unit == "second"
            else f"{self.unit} {self.position + 1:.0f}"
        )


class Frame(NamedTuple):
    """A moment of an image, prepared for the encoder."""

    moment: Moment
    pixels: NDArray[np.uint8]  # (S, S, 3) RGB


class Decoded(NamedTuple):
    """A picture prepared for the encoder, with the facts in its file."""

    pixels: NDArray[np.uint8]  # (S, S, 3) RGB, resized and cropped for the model
    width: int  # pixels, as displayed (orientation applied)
    height: int
    format: str  # Pillow's name: "JPEG", "PNG", ...
    facts: Facts = Facts()
    shot: Shot = Shot()
    difference_hash: bytes | None = None  # of the whole picture (difference_hash.py)
    is_truncated: bool = False  # the file ends too early; what is there was read
    # Every moment of a video, or of a picture that has several; the first one's pixels are above.
    frames: tuple[Frame, ...] = ()
    duration: float | None = None  # seconds, of a video

    @property
    def taken_at(self) -> datetime | None:
        return self.facts.taken_at


@dataclass(frozen=True, slots=True)
class Image:
    """A distinct content of files: many files may hold one image."""

    id: int
    width: int
    height: int
    format: str
    taken_at: datetime | None
    paths: tuple[Path, ...] = field(default=())  # every copy, absolute, sorted
    modified_at: datetime | None = None  # the oldest of the copies, in local time
    shot: Shot | None = None  # None: its EXIF has not been read yet
    taken_from: TakenFrom = "file"
    rating: int | None = None  # as in `Facts`
    is_truncated: bool = False  # its file ends too early
    duration: float | None = None  # seconds, of a video

    @property
    def date(self) -> datetime:
        """The local time when it was taken, else the file's time; for sorting."""
        date = self.taken_at or self.modified_at or datetime.min
        return date.replace(tzinfo=None)


class NewImage(NamedTuple):
    """A content that is new to the catalog."""

    digest: bytes
    width: int
    height: int
    format: str
    taken_at: str | None  # ISO 8601
    shot: Shot | None = None  # None: not read
    difference_hash: bytes | None = None
    taken_from: TakenFrom | None = None  # None: not read
    rating: int | None = None
    wordings: tuple[Wording, ...] = ()
    is_truncated: bool = False
    decoding: int | None = None  # the version that its pixels were decoded by
    duration: float | None = None  # seconds, of a video
    moments: tuple[Moment, ...] = ()  # of a video, or if there are several


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a file holds no picture: a code for programs, and a sentence for people."""

    code: FailureCode
    reason: str
    limit: int | None = None  # the number of pixels allowed, if it has more

    @classmethod
    def of(cls, error: UnreadablePicture) -> "Failure":
        return cls(error.code, str(error), error.limit)


class FileState(NamedTuple):
    """The current content of a file: the image with this digest, or none because of a failure."""

    root_id: int
    path: bytes
    size: int
    mtime_ns: int
    digest: bytes | None
    failure: Failure | None
    ctime_ns: int | None = None  # None: not known
    inode: int | None = None
    version: str | None = None  # of what lies at an address


CompanionKind = Literal[
    "raw", "live", "sidecar", "takeout", "edits", "thumbnail", "finder", "backup"
]


class Companion(NamedTuple):
    """A file that belongs to a picture in the same folder, told by its name."""

    path: bytes  # relative to the root, as `main`
    main: bytes  # the picture
    kind: CompanionKind
    size: int
    mtime_ns: int
    is_picture: bool = False  # it is indexed as well, as a raw file beside its JPEG


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Files, or folders, that a scan left out."""

    kind: str  # of decoding/kinds/names.py
    extension: str  # lower-case, with the dot; empty where it does not matter
    count: int


@dataclass(frozen=True, slots=True)
class Vectors:
    """A model's vectors of some images."""

    model_id: int
    # digest -> (D,), unit L2 norm; or (M, D), of each moment
    of: Mapping[bytes, NDArray[np.float32]]
    hubness: Mapping[bytes, NDArray[np.float32]] = field(default_factory=dict)  # -> (2,) or (M, 2)


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that could not be read, and why."""

    path: Path
    reason: str
    code: FailureCode


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model that encoded (part of) the library. `digest` names its weights."""

    id: int
    name: str
    digest: str
    dim: int
    precision: str  # the coarsest that some of its vectors were encoded in: "fp32", "bf16", ...
    bank: str | None = None  # the query bank that all its vectors were measured with
    keeps_up: bool = False  # encodes new pictures though it is not current


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of files, images and failures in a library."""

    files: int
    images: int
    embedded: int  # images with an embedding of the current model
    failures: int
    per_root: Mapping[int, int]  # root id -> files


class Progress(NamedTuple):
    """The progress of an index run. `total` grows until the scan is complete."""

    done: int  # files
    total: int
    encoded: int  # images that went through the model


class Underway(NamedTuple):
    """An index run in progress, in this process or another."""

    done: int  # as in Progress
    total: int
    encoded: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of an index run, in files. `seconds` is wall-clock time."""

    new: int = 0  # with a new content
    changed: int = 0  # known, but now with another content
    moved: int = 0  # new paths of contents whose old paths no longer exist
    copied: int = 0  # new paths of contents that also exist elsewhere
    removed: int = 0  # paths that no longer exist, except moved ones
    failed: int = 0
    unchanged: int = 0
    encoded: int = 0  # images that went through the model
    dropped: int = 0  # read, but not kept, as they were not encoded yet; counted nowhere else
    companions: int = 0  # files beside pictures that are not indexed themselves
    left_out: tuple[LeftOut, ...] = ()  # what is not read, by kind and extension
    seconds: float = 0.0
    interrupted: bool = False
    problems: tuple[str, ...] = ()  # what could not be done, and what to do about it


@dataclass(frozen=True, slots=True)
class Match:
    """One result of a search."""

    path: Path  # a copy that exists, or the first known one if none does
    score: float  # cosine similarity
    image: Image
    relevance: float | None = None  # probability that it shows the words; None: unknown
    moments: tuple[Moment, ...] = ()  # that match, best first; empty for a still picture
    companions: tuple[Path, ...] = ()  # raw file, Live Photo, sidecars: files that belong to it
