"""What stands in the way of runs that follow each other: said once, and again when it changed."""

from collections.abc import Sequence
from pathlib import Path


class Notices:
    """The problems that were said, each until a run that looks there again no longer has it."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[Path, ...]] = {}  # problem: where the run looked; (): all over

    def fresh(self, problems: Sequence[str], paths: Sequence[Path]) -> tuple[str, ...]:
        """Return those of a run over `paths` (none: all that the library knows) to say now."""
        self._said = {
            problem: where
            for problem, where in self._said.items()
            if problem in problems or not _covers(paths, where)
        }
        fresh = tuple(problem for problem in problems if problem not in self._said)
        self._said.update(dict.fromkeys(fresh, tuple(paths)))
        return fresh


def _covers(paths: Sequence[Path], where: Sequence[Path]) -> bool:
    """Whether a run over these paths sees all that another one saw."""
    if not paths:
        return True
    return bool(where) and all(any(map(place.is_relative_to, paths)) for place in where)
