"""Peak memory of `retrieve index`, all processes together, for few files and for many."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.inputs import small_photos
from benchmarks.libraries import SMALL, random_model
from benchmarks.report import Row
from benchmarks.timing import retrieve

COUNTS = (1_000, 20_000)


def run(folder: Path, quick: bool) -> Iterator[Row]:
    model = random_model(folder / "model", SMALL).path
    for count in (500, 2_000) if quick else COUNTS:
        photos, library = folder / f"photos-{count}", folder / f"library-{count}"
        small_photos(photos, count)
        ran = retrieve("index", photos, "--model", model, "--library", library)
        yield {
            "files": count,
            "own MB, all processes": ran.own / 1e6 if ran.own else None,
            "resident MB, main process": ran.resident / 1e6 if ran.resident else None,
            "seconds": ran.seconds,
        }
