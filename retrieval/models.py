"""Which model encodes a library: the one it has, the one asked for, or the best that is at hand."""

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clipmodel import pretrained
from clipmodel.errors import ClipModelError, DownloadError
from retrieval.errors import ModelMismatch, ModelUnavailable
from retrieval.records import ModelRecord

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder

VARIABLE = "RETRIEVE_MODEL"
DEFAULT = "ViT-B/32"
BUNDLED = "tiny"  # in the package, so that there is always one

log = logging.getLogger("retrieval")

State = Literal["bundled", "cached", "needs download"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A line of `retrieve models`."""

    name: str
    state: State
    dim: int  # of its embeddings
    is_default: bool  # a new library would get it
    is_current: bool  # the library has it


def find(name: str | os.PathLike[str]) -> "ModelFolder":
    """The weights of this name, or at this path; downloaded if need be. Raises ModelUnavailable."""
    try:
        return pretrained.resolve(name)
    except ClipModelError as error:
        raise ModelUnavailable(str(error)) from error


def default() -> "ModelFolder":
    """For a new library: $RETRIEVE_MODEL, else ViT-B/32, else (with a warning) the bundled one."""
    if asked := os.environ.get(VARIABLE):
        return find(asked)
    try:
        return pretrained.resolve(DEFAULT)
    except DownloadError as error:
        log.warning(
            f"using the small model {BUNDLED!r}, since {DEFAULT} could not be fetched ({error}); "
            f"to change to it later: retrieve index --model {DEFAULT}"
        )
    return find(BUNDLED)


def of_library(record: ModelRecord) -> "ModelFolder":
    """The weights that encoded a library. Raises ModelUnavailable, ModelMismatch."""
    remedy = "or encode the library with another model: retrieve index --model NAME"
    try:
        model = pretrained.resolve(record.name)
    except ClipModelError as error:
        raise ModelUnavailable(
            f"this library needs the weights of {record.name!r}: {error}; {remedy}"
        ) from error
    if model.digest != record.digest:
        raise ModelMismatch(
            f"{record.name!r} has other weights here ({model.digest[:12]}) than those that encoded "
            f"the library ({record.digest[:12]}); restore them, {remedy}"
        )
    return model


def is_same(record: ModelRecord, name: str | os.PathLike[str]) -> bool:
    """Whether `name` means the weights of the record; fetches nothing."""
    if os.fspath(name) == record.name:
        return True
    try:
        return pretrained.resolve(name, download=False).digest == record.digest
    except ClipModelError:
        return False
