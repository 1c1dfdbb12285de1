"""The models that have a name, with what is known of each."""

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from clipmodel import pretrained
from clipmodel.errors import ClipModelError
from clipmodel.hub.licences import RESEARCH, Licence
from clipmodel.hub.names import by_name
from retrieval.models.choice import BUNDLED, DEFAULT, VARIABLE
from retrieval.models.speeds import speeds
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
