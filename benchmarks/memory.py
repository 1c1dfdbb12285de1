"""Peak memory of `retrieve index`, all processes together, for few files and for many.

The figures are medians of three runs, which differ by up to a tenth.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

from benchmarks.harness.inputs import small_photos
from benchmarks.harness.libraries import SMALL, random_model
from benchmarks.harness.report import Row
from benchmarks.harness.timing import retrieve

COUNTS = (1_000, 20_000)
ROUNDS = 3


def run(folder: Path, quick: bool) -> Iterator[Row]:
    model = random_model(folder / "model", SMALL).path
    for count in (500, 2_000) if quick else COUNTS:
        photos = folder / f"photos-{count}"
        small_photos(photos, count)
        runs = [
            retrieve("index", photos, "--model", model, "--library", folder / f"{count}-{number}")
            for number in range(1 if quick else ROUNDS)
        ]
        yield {
            "files": count,
            "own MB, all processes": megabytes(ran.own for ran in runs),
            "resident MB, main process": megabytes(ran.resident for ran in runs),
            "seconds": median(ran.seconds for ran in runs),
        }


def megabytes(sizes: Iterable[int | None]) -> float | None:
    """Return the median in megabytes; None if the system does not report memory."""
    known = [size / 1e6 for size in sizes if size]
    return median(known) if known else None
