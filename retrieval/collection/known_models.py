"""The models that have a name, with the facts that help to choose one: `retrieve models`."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clipmodel import pretrained
from clipmodel.errors import ClipModelError
from clipmodel.hub.licences import RESEARCH, Licence
from clipmodel.hub.names import by_name
from retrieval import models
from retrieval.paths import with_home
from retrieval.records import ModelRecord

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder

State = Literal["bundled", "cached", "needs download", "missing"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A line of `retrieve models`. None: not known, or not published."""

    name: str
    state: State
    is_default: bool  # used for new libraries, if it can be fetched
    is_current: bool  # the library's current model
    family: str | None = None
    bytes: int | None = None  # about what is fetched, unless it is here
    image_size: int | None = None  # pixels per side
    dim: int | None = None  # of its embeddings
    languages: str | None = None
    licence: Licence | None = None
    flickr: float | None = None  # R@1 of pictures by text, of 1
    coco: float | None = None
    speed: float | None = None  # images a second of the last long index run here


def known_models(current: ModelRecord | None) -> list[KnownModel]:
    """List every model that has a name, and the default and current ones if they are files."""
    chosen = os.environ.get(models.VARIABLE) or models.DEFAULT
    chosen = pretrained.meant(chosen) or chosen
    used = current.name if current else None
    names = [models.BUNDLED, *by_name(), chosen, used]
    speeds = models.speeds()
    return [
        _described(name, speeds, is_default=name == chosen, is_current=name == used)
        for name in dict.fromkeys(names)
        if name
    ]


def _described(
    name: str, speeds: dict[str, float], *, is_default: bool, is_current: bool
) -> KnownModel:
    state = _state(name)
    found = _here(name) if state in ("bundled", "cached") else None
    digest = found.digest if found else ""
    line = KnownModel(name, state, is_default, is_current, speed=speeds.get(digest))
    if (facts := by_name().get(name)) is not None:
        return KnownModel(
            *(name, state, is_default, is_current, facts.family),
            *(facts.bytes, facts.image_size, facts.embed_dim, facts.languages),
            *(facts.licence, facts.flickr, facts.coco, line.speed),
        )
    if found is None:
        return line
    size, dim = found.config.vision.image_size, found.config.embed_dim
    bundled = state == "bundled"
    return KnownModel(
        *(name, state, is_default, is_current),
        family="tiny" if bundled else None,
        image_size=size,
        dim=dim,
        languages="English" if bundled else None,
        licence=RESEARCH if bundled else None,
        speed=line.speed,
    )


def _state(name: str) -> State:
    if name in pretrained.bundled_models():
        return "bundled"
    if pretrained.is_cached(name) or os.path.exists(with_home(name)):
        return "cached"
    return "needs download" if pretrained.meant(name) else "missing"


def _here(name: str) -> "ModelFolder | None":
    """Return a model that is on this machine, if it can be opened."""
    try:
        return pretrained.resolve(name, download=False)
    except ClipModelError:
        return None
