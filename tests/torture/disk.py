"""A disk that is full at any point of a run: one line says so, and the next run goes on."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval.database import FILE_NAME
from tests.torture.kills import start
from tests.torture.library import Scene, go_on, look_over
from tests.torture.tally import Tally


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    scene = Scene(folder)
    tally = Tally("no file may grow beyond a size")
    chance = random.Random(seed)
    for _ in range(3 if quick else 60):
        fill_once(scene, chance, tally)
    yield tally


def fill_once(scene: Scene, chance: random.Random, tally: Tally) -> None:
    """A run that may write files up to a size, from nothing to more than it needs."""
    tally.tried += 1
    library = scene.copy("library")
    most = chance.randint(1, 4 * (library / FILE_NAME).stat().st_size)
    where = f"{tally.fault}, {most:,} bytes"
    told: dict[str, Any] = {"log": str(scene.folder / "log"), "file_size": most}
    with start(scene, library, told, scene.model) as process:
        _, said = process.communicate(timeout=120)
    lines = said.splitlines()
    if process.returncode:
        plain = len(lines) == 1 and lines[0].startswith("error: cannot ")
        tally.expect(process.returncode == 1 and plain, f"{where}: {said}")
    look_over(library, tally, where)
    go_on(library, scene, tally, where)
    shutil.rmtree(library)
