"""The choice of a library's model: the one asked for, the current one, or the best available."""

import os
import platform
from dataclasses import replace
from typing import TYPE_CHECKING

from clipmodel import errors, pretrained
from clipmodel.errors import ClipModelError, DownloadError, ModelNotFound
from retrieval.errors import ModelMismatch, ModelUnavailable, TooManyOpenFiles
from retrieval.paths import with_home
from retrieval.records import ModelRecord
from retrieval.values import check_path

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder

VARIABLE = "RETRIEVE_MODEL"
DEFAULT = "datacomp-b32-256"  # docs/models.md says why
FORMER_DEFAULT = "ViT-B/32"  # may be on a machine that has no network
BUNDLED = "tiny"  # part of the package, so always available

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
