"""Names that people type -> the one name under which a model is known here.

`vit-b/32`, `ViT_B_32` and `siglip2-b32` are such names; so are those of OpenCLIP and of the hub.
"""

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipmodel.hub.published import Published

HUB = "hf:"  # before ORG/NAME, a repository on the Hugging Face hub
OPENCLIP = "open_clip:"  # before ARCH/TAG or ARCH/PATH, as OpenCLIP names them
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = (".bin", ".json", ".pt", ".pth", ".safetensors")
_CLOSE = 0.75  # of 1, as difflib measures
_EXAMPLES = ("tiny", "ViT-B/32", "datacomp-b32-256", "siglip2-b32-256")


@functools.cache
def by_name() -> "dict[str, Published]":
    """Return the published models by their names."""
    from clipmodel.hub.published import PUBLISHED  # sixty records, which most searches do not need

    return {model.name: model for model in PUBLISHED}


def canonical(name: str) -> str | None:
    """Return the published name that `name` means; None if it means none."""
    return name if name in by_name() else _aliases().get(_key(name))


def of_repository(repository: str) -> "Published | None":
    """Return the published model that is fetched from this repository."""
    return next((model for model in by_name().values() if model.repository == repository), None)


def unknown(name: str, others: tuple[str, ...] = ()) -> str:
    """Return the sentence for a name that means nothing. others: known names besides these."""
    import difflib

    shown = {_key(each): each for each in (*by_name(), *others)}
    keys = {**_aliases(), **shown}
    if near := difflib.get_close_matches(_key(name), keys, 1, _CLOSE):
        return f"no model {name!r}; did you mean {keys[near[0]]}?"
    hint = f"; for a repository on the Hugging Face hub, say {HUB}{name}"
    return (
        f"no model {name!r}: it is neither a path nor a name, such as {', '.join(_EXAMPLES)}; "
        f"`retrieve models` lists the names{hint if _is_repository(name) else ''}"
    )


def _is_repository(name: str) -> bool:
    return bool(_REPOSITORY.fullmatch(name)) and not name.endswith(_FILES)


def _key(name: str) -> str:
    """Return what is the same in all spellings of a name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@functools.cache
def _aliases() -> dict[str, str]:
    """Return the names by key. What two models share means neither, unless it is a name."""
    found: dict[str, str] = {}
    for read in (_own, _given, _theirs):
        seen: dict[str, set[str]] = {}
        for model in by_name().values():
            for alias in read(model):
                seen.setdefault(_key(alias), set()).add(model.name)
        for key, names in seen.items():
            if len(names) == 1:
                found.setdefault(key, *names)
    return found


def _own(model: "Published") -> tuple[str, ...]:
    return (model.name,)


def _given(model: "Published") -> tuple[str, ...]:
    return model.aliases


def _theirs(model: "Published") -> tuple[str, ...]:
    """Return what others call it: OpenCLIP's ARCH/TAG and ARCH, and the hub's repository."""
    arch, last = model.openclip.partition("/")[0], model.repository.rpartition("/")[2]
    return tuple(filter(None, (model.openclip, arch, model.repository, last)))
