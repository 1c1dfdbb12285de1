"""What the user typed, or handed over in Python → a `Query` that is known to make sense."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import InvalidQuery, PathNotFound
from retrieval.scan import picture_extensions

if TYPE_CHECKING:
    import PIL.Image

    Asked = str | Path | PIL.Image.Image | NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Words:
    """Pictures that look like these words say."""

    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """Pictures like this one: a file, or a picture in memory."""

    picture: "Path | PIL.Image.Image"


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """Pictures near this embedding."""

    values: NDArray[np.float32]  # (D,), unit L2 norm


Query = Words | Example | Vector


def parse(asked: "Asked") -> Query:
    """A str is words, a Path or a Pillow image an example, a float array (D,) a vector.

    Raises InvalidQuery.
    """
    if isinstance(asked, str):
        return _words(asked)
    if isinstance(asked, Path) or _is_picture(asked):
        return Example(asked)  # type: ignore[arg-type]  # mypy does not see _is_picture
    if isinstance(asked, np.ndarray):
        return _vector(asked)
    kind = type(asked).__name__
    raise InvalidQuery(
        f"cannot search for a {kind}; give a str, a Path, a Pillow image, a float array (D,), "
        "or a list of these"
    )


def typed(words: Sequence[str]) -> str | Path:
    """What the arguments of the command line mean: a picture's path, or else words.

    A single argument that names an existing file, or ends as pictures do (.jpg), is a picture;
    so is a path whose blanks were not quoted. Raises InvalidQuery, PathNotFound.
    """
    joined = " ".join(words)
    if _is_file(joined):
        return Path(joined)
    if len(words) == 1 and _named_as_picture(joined):
        raise PathNotFound(f"no such picture: {joined}")
    if pictures := [word for word in words if _named_as_picture(word) and _is_file(word)]:
        others = "several pictures" if len(pictures) == len(words) else f"{pictures[0]} and words"
        raise InvalidQuery(f"cannot search for {others} at once; ask with one picture, or in words")
    return joined


def _words(text: str) -> Words:
    if not (text := text.strip()):
        raise InvalidQuery("the query is empty; say in a few words what the picture shows")
    # Lone surrogates: bytes of the command line that are no UTF-8, and no tokenizer takes them.
    return Words(text.encode("utf-8", "replace").decode("utf-8"))


def _vector(values: NDArray[np.floating[Any]]) -> Vector:
    if values.ndim != 1 or not len(values) or values.dtype.kind != "f":
        shape = f"{values.dtype} array of shape {values.shape}"
        raise InvalidQuery(
            f"a vector is a float array of shape (D,), not a {shape}; for several, give a list"
        )
    exact = values.astype(np.float64)
    length = float(np.linalg.norm(exact))
    if not np.isfinite(length) or length == 0:
        raise InvalidQuery("a vector must be finite, and not all zeros")
    return Vector((exact / length).astype(np.float32))


def _is_picture(asked: object) -> bool:
    """Whoever has a Pillow image has imported Pillow: a search in words need not."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(asked, pillow.Image)


def _named_as_picture(word: str) -> bool:
    return os.fsencode(os.path.splitext(word)[1]).lower() in picture_extensions()


def _is_file(word: str) -> bool:
    try:
        return os.path.isfile(word)
    except ValueError:  # a NUL byte
        return False
