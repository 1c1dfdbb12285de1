"""Problems of successive index runs: each is reported once, and again when it has changed."""

from collections.abc import Sequence
from pathlib import Path


class Notices:
    """The problems reported so far; one is dropped when a run over the same place is free of it."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[Path, ...]] = {}  # problem: where the run looked; (): all over

    def fresh(self, problems: Sequence[str], paths: Sequence[Path]) -> tuple[str, ...]:
        """Return the problems of a run over `paths` (none: the whole library) to report now."""
        self._said = {
            problem: where
            for problem, where in self._said.items()
            if problem in problems or not _covers(paths, where)
        }
        fresh = tuple(problem for problem in problems if problem not in self._said)
        self._said.update(dict.fromkeys(fresh, tuple(paths)))
        return fresh


def _covers(paths: Sequence[Path], where: Sequence[Path]) -> bool:
    """Return whether a run over `paths` sees everything that a run over `where` saw."""
    if not paths:
        return True
    return bool(where) and all(any(map(place.is_relative_to, paths)) for place in where)
