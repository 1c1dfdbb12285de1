"""The choice of a library's model: the one asked for, the current one, or the best available."""

import os
import platform
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from clipmodel import errors, pretrained
from clipmodel.errors import ClipModelError, DownloadError, ModelNotFound
from retrieval.errors import ModelMismatch, ModelUnavailable, TooManyOpenFiles
from retrieval.paths import with_home
from retrieval.records import ModelRecord
from retrieval.values import check_path

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
    from clipmodel.torch_backend.image_encoder import ImageEncoder, Precision

VARIABLE = "RETRIEVE_MODEL"
DEFAULT = "ViT-B/32"
BUNDLED = "tiny"  # part of the package, so always available

Name = str | os.PathLike[str]
State = Literal["bundled", "cached", "needs download", "missing"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A line of `retrieve models`."""

    name: str
    state: State
    dim: int | None  # of its embeddings; None if the weights are missing
    is_default: bool  # used for new libraries, if it can be downloaded
    is_current: bool  # the library's current model


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
    """Return the model for a new library: $RETRIEVE_MODEL, else ViT-B/32, else (with a warning)
    the bundled one.
    """
    if asked := os.environ.get(VARIABLE):
        return find(asked)
    try:
        return _resolve(DEFAULT)
    except DownloadError as error:
        import logging

        logging.getLogger("retrieval").warning(
            f"using the small bundled model {BUNDLED!r} instead of {DEFAULT}: {error}. "
            f"To switch later: retrieve index --model {DEFAULT}"
        )
    return find(BUNDLED)


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
        if name == record.name and name not in pretrained.ALIASES:
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


def known(current: ModelRecord | None) -> list[KnownModel]:
    """List every model that has a name, and the default and current ones if they are files."""
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
    except errors.TooManyOpenFiles as error:  # not a fault of the model
        raise TooManyOpenFiles(str(error)) from error
    if _is_named(name):
        return model
    # An absolute path, so that the library finds its model again from any folder.
    return replace(model, name=os.path.abspath(with_home(name)))


def _is_named(name: Name) -> bool:
    if os.fspath(name).startswith(pretrained.OPENCLIP):
        return True
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
