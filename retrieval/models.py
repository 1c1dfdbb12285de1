"""The choice of a library's model: the one asked for, the current one, or the best available; and
of the device that encodes with it: the one asked for, $RETRIEVE_DEVICE, or the best there is.
"""

import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from clipmodel import errors, pretrained
from clipmodel.errors import ClipModelError, DownloadError, ModelNotFound
from clipmodel.hub.licences import RESEARCH, Licence
from clipmodel.hub.names import by_name
from retrieval.errors import InvalidValue, ModelMismatch, ModelUnavailable, TooManyOpenFiles
from retrieval.paths import with_home
from retrieval.records import ModelRecord
from retrieval.values import check_path, texts

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
    from clipmodel.torch_backend.image_encoder import ImageEncoder, Precision

VARIABLE, DEVICE_VARIABLE = "RETRIEVE_MODEL", "RETRIEVE_DEVICE"
DEFAULT = "datacomp-b32-256"  # docs/models.md says why
FORMER_DEFAULT = "ViT-B/32"  # may be on a machine that has no network
BUNDLED = "tiny"  # part of the package, so always available
DEVICE = r"(cpu|cuda|mps|xpu)(:\d+)?"
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

Name = str | os.PathLike[str]


def find(name: Name) -> "ModelFolder":
    """Return the weights with this name or at this path, downloading them if necessary. Raises
    ModelUnavailable.
    """
    try:
        return _resolve(name)
    except ClipModelError as error:
        raise ModelUnavailable(str(error)) from error


def here(model: "ModelFolder") -> "ModelFolder":
    """Return this machine's copy of a model that perhaps another machine opened. Raises
    ModelUnavailable, ModelMismatch.
    """
    if model.path.exists():
        return model
    found = find(model.name)
    if found.digest != model.digest:
        raise ModelMismatch(
            f"{model.name!r} has other weights on {platform.node()} ({found.digest[:12]}) than on "
            f"the machine that runs `retrieve index` ({model.digest[:12]}); give both the same"
        )
    return found


def default() -> "ModelFolder":
    """Return the model for a new library: $RETRIEVE_MODEL, else the default, else (with a warning)
    what is on this machine: the former default, or the bundled one.
    """
    if asked := os.environ.get(VARIABLE):
        return find(asked)
    try:
        return _resolve(DEFAULT)
    except (DownloadError, ModelNotFound) as error:
        import logging

        instead = FORMER_DEFAULT if pretrained.is_cached(FORMER_DEFAULT) else BUNDLED
        what = "the small bundled model " if instead == BUNDLED else ""
        logging.getLogger("retrieval").warning(
            f"using {what}{instead!r} instead of {DEFAULT}: {error}; "
            f"to switch later, run `retrieve index --model {DEFAULT}`"
        )
    return find(instead)


def of_library(record: ModelRecord) -> "ModelFolder":
    """Return the weights that encoded a library. Raises ModelUnavailable, ModelMismatch."""
    remedy = "or encode the library with another model: retrieve index --model NAME"
    try:
        model = _resolve(record.name)
    except ModelNotFound as error:
        raise ModelUnavailable(
            f"the library's model {record.name} is gone; if it has moved, run "
            "`retrieve index --model NEW`, which encodes nothing again"
        ) from error
    except ClipModelError as error:
        raise ModelUnavailable(
            f"the library needs the weights of {record.name!r}: {error}; {remedy}"
        ) from error
    if model.digest != record.digest and record.name in pretrained.ALIASES:
        raise ModelMismatch(
            f"the library was encoded by an earlier {record.name!r}, which is no longer part of "
            f"this program; encode it again with the new one, which finds more: "
            f"retrieve index --model {record.name}"
        )
    if model.digest != record.digest:
        raise ModelMismatch(
            f"{record.name!r} has different weights here ({model.digest[:12]}) from those that "
            f"encoded the library ({record.digest[:12]}); restore them, {remedy}"
        )
    return model


def to_index(asked: Name | None, record: ModelRecord | None) -> "ModelFolder":
    """Return the model asked for, else the library's (by its record), else the default."""
    if asked:
        return find(asked)
    return of_library(record) if record else default()


def is_same(record: ModelRecord, name: Name) -> bool:
    """Return whether `name` means the weights of the record. Downloads nothing."""
    check_path(name)
    try:
        known = pretrained.meant(os.fspath(name)) or name
        if known == record.name and known not in pretrained.ALIASES:
            return True
        return _resolve(name, download=False).digest == record.digest
    except ClipModelError:
        return False


def better_than(name: str) -> str | None:
    """Return the model to recommend in place of a small one that is bundled, else None."""
    return DEFAULT if name in pretrained.bundled_models() else None


def is_gone(name: str) -> bool:
    """Return whether a model's name is a path at which there is nothing any more."""
    return not _is_named(name) and not os.path.exists(name)


def _resolve(name: Name, *, download: bool = True) -> "ModelFolder":
    try:
        model = pretrained.resolve(os.fspath(name), download=download)
    except errors.TooManyOpenFiles as error:  # not a fault of the model
        raise TooManyOpenFiles(str(error)) from error
    if _is_named(name):
        return model
    # An absolute path, so that the library finds its model again from any folder.
    return replace(model, name=os.path.abspath(with_home(name)))


def _is_named(name: Name) -> bool:
    return pretrained.meant(os.fspath(name)) is not None


# --- the models that have a name ---

State = Literal["bundled", "cached", "needs download", "missing"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A line of `retrieve models`. None: not known, or not published."""

    name: str
    state: State
    is_default: bool  # used for new libraries, if it can be fetched
    is_current: bool  # the library's current model
    family: str | None = None
    bytes: int | None = None  # about what is fetched
    image_size: int | None = None  # pixels per side
    dim: int | None = None  # of its embeddings
    languages: str | None = None
    licence: str | None = None
    commercial: bool | None = None  # whether the licence allows commercial use
    flickr: float | None = None  # R@1 of pictures by text, of 1
    coco: float | None = None
    speed: float | None = None  # images a second of the last long index run here


def known(current: ModelRecord | None) -> list[KnownModel]:
    """List every model that has a name, and the default and current ones if they are files."""
    chosen = os.environ.get(VARIABLE) or DEFAULT
    chosen = pretrained.meant(chosen) or chosen
    used = current.name if current else None
    measured = speeds()
    found = []
    for name in dict.fromkeys([BUNDLED, *by_name(), chosen, used]):
        if name:
            line = KnownModel(name, _state(name), name == chosen, name == used)
            found.append(_with_facts(line, measured))
    return found


def _with_facts(line: KnownModel, measured: dict[str, float]) -> KnownModel:
    here = _opened(line.name) if line.state in ("bundled", "cached") else None
    line = replace(line, speed=measured.get(here.digest) if here else None)
    if (facts := by_name().get(line.name)) is not None:
        return replace(
            _licensed(line, facts.licence),
            family=facts.family,
            bytes=facts.bytes,
            image_size=facts.image_size,
            dim=facts.embed_dim,
            languages=facts.languages,
            flickr=facts.flickr,
            coco=facts.coco,
        )
    if line.state == "bundled":
        line = replace(_licensed(line, RESEARCH), family="tiny", languages="English")
    if here is None:
        return line
    return replace(line, image_size=here.config.vision.image_size, dim=here.config.embed_dim)


def _licensed(line: KnownModel, licence: Licence | None) -> KnownModel:
    if licence is None:
        return line
    return replace(line, licence=licence.name, commercial=licence.commercial)


def _state(name: str) -> State:
    if name in pretrained.bundled_models():
        return "bundled"
    if pretrained.is_cached(name) or os.path.exists(with_home(name)):
        return "cached"
    return "needs download" if pretrained.meant(name) else "missing"


def _opened(name: str) -> "ModelFolder | None":
    """Return a model that is on this machine, if it can be opened."""
    try:
        return pretrained.resolve(name, download=False)
    except ClipModelError:
        return None


# --- how quick a model is on this machine ---

LEAST_MEASURED = 100  # pictures; a shorter run measures its start
_SPEEDS = "speeds.json"  # in the folder of models: images a second, by the digest of the weights


def speeds() -> dict[str, float]:
    """Return images a second of the last long index run with each model, by digest."""
    import json

    try:
        held = json.loads((pretrained.models_folder() / _SPEEDS).read_text("utf-8"))
        return {str(digest): float(rate) for digest, rate in held.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember_speed(digest: str, encoded: int, seconds: float) -> None:
    """Note how quick an index run was, decoding included, unless it was short."""
    import json

    if encoded < LEAST_MEASURED or not seconds:
        return
    held = speeds() | {digest: round(encoded / seconds, 1)}
    folder = pretrained.models_folder()
    part = folder / f"{_SPEEDS}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(held), "utf-8")
        part.replace(folder / _SPEEDS)
    except OSError:  # a note, of no use to this run
        return


# Operations that two or three cores do in NumPy while torch loads its tower.
OPERATIONS_MEANWHILE = 200e9
OPERATIONS_IF_IMPORTED = 40e9  # if torch itself is imported already
MAX_IN_NUMPY = 64  # pictures, for any model; no more are read before the first is encoded


def most_in_numpy(folder: "ModelFolder") -> int:
    """Return how many pictures NumPy encodes before torch would have done so; at least 1."""
    is_imported = "torch" in sys.modules
    meanwhile = OPERATIONS_IF_IMPORTED if is_imported else OPERATIONS_MEANWHILE
    return min(max(1, int(meanwhile / folder.config.vision.operations)), MAX_IN_NUMPY)


def in_numpy(folder: "ModelFolder") -> "NumpyImageEncoder":
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder

    return NumpyImageEncoder(folder)


def in_torch(
    folder: "ModelFolder", device: str | None = None, precision: "Precision" = "auto"
) -> "ImageEncoder":
    from clipmodel.torch_backend.image_encoder import ImageEncoder

    return ImageEncoder(folder, device=device, precision=precision)


# -- devices -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """Where to encode, and how exactly. Raises InvalidValue for an invalid value."""

    device: str | None = None  # "cpu", "cuda", "cuda:1", "mps"; None: not asked for
    precision: "Precision" = "auto"

    def __post_init__(self) -> None:
        check_device(self.device)
        check_precision(self.precision)

    @property
    def needs_torch(self) -> bool:
        """Return whether the encoder must be torch's, even for a few pictures."""
        return self.device is not None or self.precision != "auto"


def device_or_default(device: str | None) -> str | None:
    """Return the device asked for, else $RETRIEVE_DEVICE; None: the machine's best. Raises
    InvalidValue.
    """
    if device is not None or not (held := os.environ.get(DEVICE_VARIABLE)):
        return device
    try:
        check_device(held)
    except InvalidValue as error:
        raise InvalidValue(f"${DEVICE_VARIABLE}: {error}") from error
    return held


def check_device(device: str | None) -> None:
    if device is not None and not re.fullmatch(DEVICE, str(device)):
        raise InvalidValue(f"{device!r} is not a valid device; use cpu, cuda, cuda:1, mps or xpu")


def check_precision(precision: str) -> None:
    if precision not in PRECISIONS:
        raise InvalidValue(
            f"the precision must be one of {', '.join(PRECISIONS)}, not {precision!r}"
        )


ANY = DeviceChoice()


def several_devices(devices: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names in "cuda:0,cuda:1", or in a list of names. Raises InvalidValue."""
    listed = devices.split(",") if isinstance(devices, str) and devices else devices
    found = tuple(name.strip() for name in texts("devices", listed or ()))
    for name in found:
        check_device(name)
    return found


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device of this machine, as `retrieve devices` shows it."""

    name: str  # "cpu", "cuda:0", "mps"
    title: str  # the product's; empty if the device cannot be used
    memory: int | None  # bytes
    free: int | None  # bytes of it that nothing uses now
    precision: str | None  # that "auto" means
    batch_size: int | None  # pictures under way at once
    is_default: bool
    reason: str | None  # why it cannot be used
    remedy: str | None


def known_devices() -> list[KnownDevice]:
    """Return the devices of this machine, each tried with a small product. Imports torch."""
    from clipmodel.torch_backend.devices import devices

    chosen = device_or_default(None)
    found = list[KnownDevice]()
    for each in devices():
        held = asdict(each)
        fault = held.pop("fault") or {"reason": None, "remedy": None}
        if chosen:
            held["is_default"] = each.fault is None and each.name in (chosen, f"{chosen}:0")
        found.append(KnownDevice(**held, reason=fault["reason"], remedy=fault["remedy"]))
    return found
