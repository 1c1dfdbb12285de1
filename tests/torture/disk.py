"""A disk that is full at any point of a run: one line says so, and the next run goes on."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieval.locate import FILE_NAME
from tests.torture.kills import start
from tests.torture.library import Scene, go_on, look_over
from tests.torture.tally import Tally

SEARCHED = 65_536  # bytes that must be free to search: SQLite keeps in a file what readers share


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    scene = Scene(folder)
    chance = random.Random(seed)
    times = 3 if quick else 40
    limited = Tally("files may not grow beyond a size")
    for _ in range(times):
        limit_once(scene, chance, limited)
    yield limited
    full = Tally("a disk of a few hundred kilobytes")
    for _ in range(times):
        if not fill_once(scene, chance, full):
            full.note = "none may be mounted here"
            break
    yield full


def limit_once(scene: Scene, chance: random.Random, tally: Tally) -> None:
    """A run that may write files up to a size, from nothing to more than it needs."""
    tally.tried += 1
    library = scene.copy("library")
    most = chance.randint(1, 4 * (library / FILE_NAME).stat().st_size)
    where = f"{tally.fault}, {most:,} bytes"
    run_into_it(scene, library, {"file_size": most}, tally, where)
    look_over(library, tally, where)
    go_on(library, scene, tally, where)
    shutil.rmtree(library)


def fill_once(scene: Scene, chance: random.Random, tally: Tally) -> bool:
    """A run on a disk with some room, or none; False where no disk may be mounted."""
    with disk(scene.folder / "disk") as mounted:
        if mounted is None:
            return False
        tally.tried += 1
        library = Path(shutil.copytree(scene.before, mounted / "library"))
        used = sum(path.stat().st_size for path in library.iterdir())
        room = chance.randint(0, 600_000)
        resize(mounted, used + room)
        where = f"{tally.fault}, {room:,} bytes free"
        run_into_it(scene, library, {}, tally, where)
        resize(mounted, used + room + SEARCHED)
        look_over(library, tally, f"{where}, and {SEARCHED:,}")
        resize(mounted, 100_000_000)
        look_over(library, tally, where)
        go_on(library, scene, tally, where)
    return True


def run_into_it(
    scene: Scene, library: Path, told: dict[str, Any], tally: Tally, where: str
) -> None:
    with start(scene, library, {"log": str(scene.folder / "log"), **told}, scene.model) as process:
        _, said = process.communicate(timeout=120)
    if process.returncode:
        *notes, last = said.splitlines()  # a note: shared memory is a file, too
        plain = last.startswith("error: cannot ") and len(notes) <= 1
        ended = f"{where}: exit code {process.returncode}: {said}"
        tally.expect(process.returncode == 1 and plain, ended)


@contextmanager
def disk(place: Path) -> Iterator[Path | None]:
    """A disk in memory, where we may mount one."""
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(place)]
    try:
        is_mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        is_mounted = False
    try:
        yield place if is_mounted else None
    finally:
        if is_mounted:
            subprocess.run(["umount", str(place)], check=True)


def resize(place: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)
