"""What is asked, whatever it was asked in: terms with weights, and filters."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.filters import Filters

if TYPE_CHECKING:
    import PIL.Image


class Address(NamedTuple):
    """Where a picture to search with is to be fetched from."""

    url: str


class ImageId(NamedTuple):
    """A picture of the library to search with, by its number."""

    id: int


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPicture:
    """A picture to search with that a worker process has read and decoded."""

    digest: bytes  # of its file
    pixels: NDArray[np.uint8]  # (S, S, 3), as the model wants them


@dataclass(frozen=True, slots=True)
class Words:
    """Pictures that look like these words say."""

    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """Pictures like this one: a file, what is in one, where to fetch it, a picture of the library,
    one in memory.
    """

    picture: "Path | bytes | Address | ImageId | PreparedPicture | PIL.Image.Image"


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """Pictures near this embedding."""

    values: NDArray[np.float32]  # (D,), unit L2 norm


@dataclass(frozen=True, slots=True)
class Term:
    """Part of a sum. A weight below zero takes away."""

    weight: float
    of: Words | Example | Vector


@dataclass(frozen=True, slots=True)
class Mix:
    """Pictures near the weighted sum of these, normalised again."""

    terms: tuple[Term, ...]


Query = Words | Example | Vector | Mix


@dataclass(frozen=True, slots=True)
class Question:
    """What to look for, and among which pictures."""

    query: Query
    filters: Filters = field(default_factory=Filters)
    notes: tuple[str, ...] = field(default=(), compare=False)  # on what may have been meant

    def among(self, filters: Filters) -> "Question":
        """Only among pictures that fulfil these as well. Raises InvalidQuery."""
        return Question(self.query, self.filters.with_(filters), self.notes)
