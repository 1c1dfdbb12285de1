"""Which model encodes a library: the one it has, the one asked for, or the best that is at hand."""

import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from clipmodel import errors, pretrained
from clipmodel.errors import ClipModelError, DownloadError
from retrieval.errors import ModelMismatch, ModelUnavailable, TooManyOpenFiles
from retrieval.paths import with_home
from retrieval.records import ModelRecord

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
    from clipmodel.torch_backend.image_encoder import ImageEncoder, Precision

VARIABLE = "RETRIEVE_MODEL"
DEFAULT = "ViT-B/32"
BUNDLED = "tiny"  # in the package, so that there is always one

Name = str | os.PathLike[str]
State = Literal["bundled", "cached", "needs download", "missing"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A line of `retrieve models`."""

    name: str
    state: State
    dim: int | None  # of its embeddings; None where the weights are missing
    is_default: bool  # a new library gets it, if it can be fetched
    is_current: bool  # the library has it


def find(name: Name) -> "ModelFolder":
    """The weights of this name, or at this path; fetched if need be. Raises ModelUnavailable."""
    try:
        return _resolve(name)
    except ClipModelError as error:
        raise ModelUnavailable(str(error)) from error


def default() -> "ModelFolder":
    """For a new library: $RETRIEVE_MODEL, else ViT-B/32, else (with a warning) the bundled one."""
    if asked := os.environ.get(VARIABLE):
        return find(asked)
    try:
        return _resolve(DEFAULT)
    except DownloadError as error:
        import logging

        logging.getLogger("retrieval").warning(
            f"using the small model {BUNDLED!r}, not {DEFAULT}: {error}. "
            f"To change to it later: retrieve index --model {DEFAULT}"
        )
    return find(BUNDLED)


def of_library(record: ModelRecord) -> "ModelFolder":
    """The weights that encoded a library. Raises ModelUnavailable, ModelMismatch."""
    remedy = "or encode the library with another model: retrieve index --model NAME"
    try:
        model = _resolve(record.name)
    except ClipModelError as error:
        raise ModelUnavailable(
            f"the library needs the weights of {record.name!r}: {error}; {remedy}"
        ) from error
    if model.digest != record.digest:
        raise ModelMismatch(
            f"{record.name!r} has other weights here ({model.digest[:12]}) than those that encoded "
            f"the library ({record.digest[:12]}); restore them, {remedy}"
        )
    return model


def is_same(record: ModelRecord, name: Name) -> bool:
    """Whether `name` means the weights of the record; fetches nothing."""
    try:
        return name == record.name or _resolve(name, download=False).digest == record.digest
    except ClipModelError:
        return False


def known(current: ModelRecord | None) -> list[KnownModel]:
    """All that have a name, and the default and the current one where they are files instead."""
    chosen = os.environ.get(VARIABLE) or DEFAULT
    used = current.name if current else None
    names = [*pretrained.bundled_models(), *pretrained.available_models(), chosen, used]
    return [
        KnownModel(name, _state(name), _dim(name), name == chosen, name == used)
        for name in dict.fromkeys(names)
        if name
    ]


def _resolve(name: Name, *, download: bool = True) -> "ModelFolder":
    try:
        model = pretrained.resolve(os.fspath(name), download=download)
    except errors.TooManyOpenFiles as error:  # which says nothing about the model
        raise TooManyOpenFiles(str(error)) from error
    if _is_named(name):
        return model
    # A path: a library that holds the model finds it again by that, from wherever it is asked.
    return replace(model, name=os.path.abspath(with_home(name)))


def _is_named(name: Name) -> bool:
    return name in pretrained.bundled_models() or name in pretrained.available_models()


def _state(name: str) -> State:
    if name in pretrained.bundled_models():
        return "bundled"
    if pretrained.is_cached(name) or os.path.exists(with_home(name)):
        return "cached"
    return "needs download" if _is_named(name) else "missing"


def _dim(name: str) -> int | None:
    from clipmodel.hub.registry import REGISTRY

    if entry := REGISTRY.get(name):
        return entry.config.embed_dim
    try:
        return pretrained.resolve(name, download=False).config.embed_dim
    except ClipModelError:
        return None


# Operations that two or three cores do in NumPy until torch has its tower:
MEANWHILE = 200e9
IF_TORCH_IS_THERE = 40e9
MOST = 64  # pictures, however small the model: as many as are looked at before any is encoded


def most_in_numpy(folder: "ModelFolder") -> int:
    """How many pictures are sooner encoded in NumPy; at least 1."""
    meanwhile = IF_TORCH_IS_THERE if "torch" in sys.modules else MEANWHILE
    return min(max(1, int(meanwhile / folder.config.vision.operations)), MOST)


def in_numpy(folder: "ModelFolder") -> "NumpyImageEncoder":
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder

    return NumpyImageEncoder(folder)


def in_torch(
    folder: "ModelFolder", device: str | None = None, precision: "Precision" = "auto"
) -> "ImageEncoder":
    from clipmodel.torch_backend.image_encoder import ImageEncoder

    return ImageEncoder(folder, device=device, precision=precision)
