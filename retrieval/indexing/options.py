"""`IndexOptions`: the options of an index run, for Python and the command line."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from retrieval.decoding.limits import MAX_MOMENTS, MAX_PIXELS
from retrieval.errors import InvalidValue
from retrieval.exclusions import check_patterns
from retrieval.paths import StrPath
from retrieval.records import MAX_INTEGER
from retrieval.sources.options import parsed
from retrieval.values import check_kind, check_path, check_whole, texts
from retrieval.vectors.opening import check_store

if TYPE_CHECKING:
    from clipmodel.torch_backend.image_encoder import Precision

DEVICE = r"(cpu|cuda|mps|xpu)(:\d+)?"
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


class Moving(NamedTuple):
    """How a run treats what moves or has pages."""

    most: int = MAX_MOMENTS  # moments of a file
    videos: bool = True  # False: no new ones
    pairs: bool = True  # False: the film of a Live Photo is a video of its own


MOVING = Moving()


class IndexKeywords(TypedDict, total=False):
    """The fields of `IndexOptions`, as keywords of `Library.index`."""

    model: StrPath | None
    also: bool
    exclude: str | Sequence[str]
    again: bool
    workers: int | None
    batch_size: int | None
    max_pixels: int
    max_moments: int
    videos: bool
    pairs: bool
    device: str | None
    precision: "Precision"
    vectors: str | None
    storage_options: Mapping[str, str] | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOptions:
    """The options of an index run. Raises InvalidValue for an invalid value.

    `exclude` is remembered for each folder and applies to later runs; "none" drops a folder's
    patterns. A `model` other than the library's encodes what it has not encoded yet, and takes over
    once that is done. Without `device` and `precision` the machine decides, and a few pictures are
    encoded in NumPy.
    """

    model: StrPath | None = None  # a name or a path; None: the library's, or the default
    also: bool = False  # keep the library's model, and let this one encode beside it from now on
    exclude: str | Sequence[str] = ()  # globs for names, and for paths below the folder
    again: bool = False  # read files even if their size and time are unchanged
    workers: int | None = None  # processes that decode; 0: decode in this one; None: one per core
    batch_size: int | None = None  # pictures encoded together
    max_pixels: int = MAX_PIXELS  # larger pictures are failures; bounds a worker's memory as well
    max_moments: int = MAX_MOMENTS  # of a video, an animation or a document of several pages
    videos: bool = True  # False: new videos are left out; known ones stay
    pairs: bool = True  # False: the film of a Live Photo is indexed as a video of its own
    device: str | None = None  # "cpu", "cuda", "cuda:1", "mps"
    precision: "Precision" = "auto"  # of the encoder
    # From now on, search in "milvus://host:19530/name", a "file.db", or the file here: "local".
    vectors: str | None = None
    storage_options: Mapping[str, str] | Sequence[str] = ()  # of addresses: {"endpoint_url": …}

    def __post_init__(self) -> None:
        for name, least in (
            ("workers", 0),
            ("batch_size", 1),
            ("max_pixels", 1),
            ("max_moments", 1),
        ):
            if (value := getattr(self, name)) is not None:
                check_whole(name, value, least, MAX_INTEGER)
        if self.precision not in PRECISIONS:
            raise InvalidValue(
                f"the precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}"
            )
        for name in ("again", "also", "videos", "pairs"):
            check_kind(name, getattr(self, name), bool, "True or False")
        if self.also and self.model is None:
            raise InvalidValue("also needs a model; name the one to add")
        if self.model is not None:
            check_path(self.model)
            if not os.fspath(self.model):
                raise InvalidValue("the model's name is empty; see `retrieve models`")
        if self.device is not None and not re.fullmatch(DEVICE, str(self.device)):
            raise InvalidValue(
                f"{self.device!r} is not a valid device; use cpu, cuda, cuda:1, mps or xpu"
            )
        if self.vectors is not None:
            check_kind("vectors", self.vectors, str, "a str")
            check_store(self.vectors)
        given = self.storage_options
        pairs = [f"{n}={v}" for n, v in given.items()] if isinstance(given, Mapping) else given
        object.__setattr__(self, "storage_options", texts("storage_options", pairs))
        parsed(self.storage_options)
        exclude = texts("exclude", self.exclude)
        check_patterns(exclude)
        # The class is frozen; the validated value is always a tuple.
        object.__setattr__(self, "exclude", exclude)

    @property
    def moving(self) -> Moving:
        """How to treat what moves or has pages."""
        return Moving(self.max_moments, self.videos, self.pairs)

    @property
    def needs_torch(self) -> bool:
        """Return whether the encoder must be torch's, even for a few pictures."""
        return self.device is not None or self.precision != "auto"
