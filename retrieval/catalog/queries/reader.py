"""The protocol through which queries run their statements."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.records import Root


class Reader(Protocol):
    """Runs SELECT statements, each on a connection of its own. Safe to use from threads."""

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return every row of one SELECT, as tuples."""

    def ids(self, statement: str, parameters: Sequence[Any] = ()) -> NDArray[np.int64]:
        """Return the one column of every row of a SELECT."""

    def number(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Return the one value of a SELECT."""

    def roots(self) -> list[Root]:
        """Return the roots, sorted by path."""
