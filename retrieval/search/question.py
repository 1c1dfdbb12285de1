"""A query in its final form, whichever way it was entered: weighted terms, and filters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clipmodel.config import Resize
from retrieval.filters import Filters

if TYPE_CHECKING:
    import PIL.Image


class Address(NamedTuple):
    """The address of a picture to search with."""

    url: str


class ImageId(NamedTuple):
    """A picture of the library to search with, by its number."""

    id: int


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPicture:
    """A picture to search with that a worker process has read and decoded."""

    digest: bytes  # of its file
    pixels: Mapping[Resize, NDArray[np.uint8]]  # (S, S, 3), as each of the models wants them


@dataclass(frozen=True, slots=True)
class Words:
    """A description: find pictures that look like it."""

    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """An example picture: find similar ones. It is a file, the bytes of one, an address, a picture
    of the library, or an image in memory.
    """

    picture: "Path | bytes | Address | ImageId | PreparedPicture | PIL.Image.Image"


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """An embedding: find pictures near it."""

    values: NDArray[np.float32]  # (D,), unit L2 norm


@dataclass(frozen=True, slots=True)
class Term:
    """Part of a weighted sum. A negative weight subtracts."""

    weight: float
    of: Words | Example | Vector


@dataclass(frozen=True, slots=True)
class Mix:
    """A sum of terms: find pictures near it, normalised."""

    terms: tuple[Term, ...]


Query = Words | Example | Vector | Mix


@dataclass(frozen=True, slots=True)
class Question:
    """A query, and the filters that its matches must pass."""

    query: Query
    filters: Filters = field(default_factory=Filters)
    notes: tuple[str, ...] = field(default=(), compare=False)  # about what may have been meant

    def among(self, filters: Filters) -> "Question":
        """Return the question with these filters added. Raises InvalidQuery."""
        return Question(self.query, self.filters.with_(filters), self.notes)
