"""A library on a mount that may only be read, while its owner writes: right answers or a reason."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.torture.readers import search_while_writing
from tests.torture.tally import Tally


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    tally = Tally("a mount that may only be read, and a writer: searches")
    if not read_while_writing(folder, seed, 3.0 if quick else 60.0, tally):
        tally.note = "none may be mounted here"
    yield tally


def read_while_writing(folder: Path, seed: int, seconds: float, tally: Tally) -> bool:
    """Readers know the library by the mount alone; False where there can be none."""
    (folder / "library").mkdir(parents=True)
    with read_only(folder / "library", folder / "mounted") as mounted:
        if mounted:
            search_while_writing(folder, seed, seconds, tally, seen=mounted)
    return mounted is not None


@contextmanager
def read_only(folder: Path, place: Path) -> Iterator[Path | None]:
    """A folder at another place, where nobody can write to it; None where we may mount nothing."""
    place.mkdir()
    is_bound = mount("--bind", str(folder), str(place))
    try:
        is_so = is_bound and mount("-o", "remount,bind,ro", str(place))
        yield place if is_so else None
    finally:
        if is_bound:
            subprocess.run(["umount", str(place)], check=True)


def mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
    except OSError:  # there is no such program
        return False
