"""`retrieve index` when nothing has changed, against listing and stat alone."""

import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.inputs import small_photos
from benchmarks.libraries import SMALL, filled_from, random_model
from benchmarks.report import Row
from benchmarks.timing import Times, repeat, retrieve

COUNT = 100_000
TIMES = 5


def run(folder: Path, quick: bool) -> Iterator[Row]:
    count = COUNT // 10 if quick else COUNT
    photos, library = folder / "photos", folder / "library"
    small_photos(photos, count)
    filled_from(library, random_model(folder / "model", SMALL), photos)
    command = ("index", photos, "--library", library)
    said = retrieve(*command).output
    assert f"{count:,} unchanged" in said, said
    ours = Times(tuple(retrieve(*command).seconds for _ in range(TIMES)))
    alone = repeat(lambda: stat_all(photos), TIMES)
    yield {
        "files": count,
        "retrieve index s": ours.p50,
        "scandir and stat s": alone.p50,
        "ratio": ours.p50 / alone.p50,
    }


def stat_all(folder: str | Path) -> int:
    """The least that any program must do: list every folder, stat every file."""
    found = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                found += stat_all(entry.path)
            else:
                entry.stat()
                found += 1
    return found
