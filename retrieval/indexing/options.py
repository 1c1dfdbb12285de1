"""`IndexOptions`: the options of an index run, for Python and the command line."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from retrieval.decoding.limits import MAX_MOMENTS, MAX_PIXELS
from retrieval.errors import InvalidValue
from retrieval.exclusions import check_patterns
from retrieval.models.devices import DeviceChoice, check_device, check_precision, several_devices
from retrieval.paths import StrPath
from retrieval.records import MAX_INTEGER
from retrieval.sources.options import parsed
from retrieval.values import check_kind, check_path, check_whole, texts
from retrieval.vectors.opening import check_store

if TYPE_CHECKING:
    from clipmodel.torch_backend.image_encoder import Precision
    from retrieval.indexing.cluster.placement import Cluster

RAY = r"local|auto|(ray://)?[^\s/:\[\]]+:\d+|(ray://)?\[[0-9a-f:]+\]:\d+"


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
    devices: str | Sequence[str]
    precision: "Precision"
    vectors: str | None
    storage_options: Mapping[str, str] | Sequence[str]
    url_column: str | None
    caption_column: str | None
    per_host: int | None
    allow_private: bool | None
    ray: str | None
    ray_gpus: float


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
    devices: str | Sequence[str] = ()  # several at once: "cuda:0,cuda:1"; empty: `device` alone
    precision: "Precision" = "auto"  # of the encoder
    # From now on, search in "milvus://host:19530/name", a "file.db", or the file here: "local".
    vectors: str | None = None
    storage_options: Mapping[str, str] | Sequence[str] = ()  # of addresses: {"endpoint_url": …}
    # Of lists of addresses, remembered for each; None: as before, or as in `ListOptions`.
    url_column: str | None = None
    caption_column: str | None = None
    # Of lists, and of addresses of http and https; remembered for each.
    per_host: int | None = None  # requests at a time to one host
    allow_private: bool | None = None  # fetch from addresses that are not public as well
    ray: str | None = None  # a Ray cluster: "local", "auto" or HOST:PORT; None: this machine
    ray_gpus: float = 1.0  # for each encoder of a Ray cluster; 0.5: two of them share a GPU

    def __post_init__(self) -> None:
        for name, least in (
            ("workers", 0),
            ("batch_size", 1),
            ("max_pixels", 1),
            ("per_host", 1),
            ("max_moments", 1),
        ):
            if (value := getattr(self, name)) is not None:
                check_whole(name, value, least, MAX_INTEGER)
        check_precision(self.precision)
        for name in ("again", "also", "videos", "pairs"):
            check_kind(name, getattr(self, name), bool, "True or False")
        if self.also and self.model is None:
            raise InvalidValue("also needs a model; name the one to add")
        if self.model is not None:
            check_path(self.model)
            if not os.fspath(self.model):
                raise InvalidValue("the model's name is empty; see `retrieve models`")
        check_device(self.device)
        object.__setattr__(self, "devices", several_devices(self.devices))
        if self.device and self.devices:
            raise InvalidValue("--device and --devices cannot be combined; list all in --devices")
        if self.vectors is not None:
            check_kind("vectors", self.vectors, str, "a str")
            check_store(self.vectors)
        given = self.storage_options
        pairs = [f"{n}={v}" for n, v in given.items()] if isinstance(given, Mapping) else given
        object.__setattr__(self, "storage_options", texts("storage_options", pairs))
        parsed(self.storage_options)
        self._check_ray()
        exclude = texts("exclude", self.exclude)
        check_patterns(exclude)
        # The class is frozen; the validated value is always a tuple.
        object.__setattr__(self, "exclude", exclude)

    def of_lists(self) -> dict[str, object]:
        """Return what was told of lists of addresses, by the fields of `ListOptions`."""
        names = ("url_column", "caption_column", "per_host", "allow_private")
        return {name: held for name in names if (held := getattr(self, name)) is not None}

    def of_web(self) -> list[str]:
        """Return what was told of addresses of http and https, as storage options."""
        told = {"per_host": self.per_host, "allow_private": self.allow_private}
        return [f"{name}={str(held).lower()}" for name, held in told.items() if held is not None]

    def _check_ray(self) -> None:
        if self.ray is None:
            return
        if not re.fullmatch(RAY, self.ray):
            raise InvalidValue(
                f"{self.ray!r} is not the address of a Ray cluster; use HOST:PORT, auto or local "
                "(paths go before --ray)"
            )
        if self.workers == 0:
            raise InvalidValue("nodes of a Ray cluster decode in processes; use --workers 1")
        if self.devices or ":" in (self.device or ""):
            said = ",".join(self.devices) or self.device
            raise InvalidValue(f"Ray chooses the GPUs; use --device cuda, not {said}")
        gpus = self.ray_gpus
        if not gpus > 0 or (gpus > 1 and gpus != int(gpus)):
            raise InvalidValue(f"an encoder takes a part of a GPU or whole ones, not {gpus:g}")

    @property
    def cluster(self) -> "Cluster | None":
        """The cluster that decodes and encodes, or None for this machine."""
        from retrieval.indexing.cluster.placement import Cluster

        return Cluster(self.ray, self.device, self.ray_gpus) if self.ray else None

    @property
    def moving(self) -> Moving:
        """How to treat what moves or has pages."""
        return Moving(self.max_moments, self.videos, self.pairs)

    @property
    def needs_torch(self) -> bool:
        """Return whether the encoder must be torch's, even for a few pictures."""
        return bool(self.device or self.devices) or self.precision != "auto"

    def on(self, choice: DeviceChoice) -> "IndexOptions":
        """Return these options with a library's device and precision where none is given."""
        device = self.device if self.device or self.devices else choice.device
        precision = choice.precision if self.precision == "auto" else self.precision
        return replace(self, device=device, precision=precision)
