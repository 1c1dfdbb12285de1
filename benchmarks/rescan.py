"""`retrieve index` over 100,000 known files: none changed, 1% moved, 1% changed; beside rclip.

The limit is what any program must do: list every folder and stat every file. Changed files are
encoded again, by a small model; most of that time goes into importing torch.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

from benchmarks.harness import peers
from benchmarks.harness.inputs import PictureLike, small_photos
from benchmarks.harness.libraries import SMALL, filled_from, random_model
from benchmarks.harness.report import Row
from benchmarks.harness.timing import Times, repeat, retrieve

COUNT = 100_000
EVERY = 100  # one picture in this many is moved, or changed
TIMES = 5


def run(folder: Path, quick: bool) -> Iterator[Row]:
    count = COUNT // 10 if quick else COUNT
    photos, library = folder / "photos", folder / "library"
    small_photos(photos, count)
    filled_from(library, random_model(folder / "model", SMALL), photos)
    least = repeat(lambda: stat_all(photos), TIMES).p50

    def index(said: str) -> float:
        ran = retrieve("index", photos, "--library", library)
        assert said in ran.output, ran.output
        return ran.seconds

    unchanged = Times(tuple(index(f"{count:,} unchanged") for _ in range(TIMES))).p50
    yield row(count, "unchanged", unchanged, least, rescan_rclip(folder / "rclip", photos, count))
    move(every_so_many(photos), folder / "photos" / "moved")
    yield row(count, "1 % moved", index(f"{count // EVERY:,} moved"), least, None)
    change(every_so_many(photos))
    yield row(count, "1 % changed", index(f"{count // EVERY:,} changed"), least, None)


def row(count: int, what: str, ours: float, least: float, theirs: float | None) -> Row:
    return {
        "files": count,
        "what": what,
        "retrieve s": ours,
        "rclip s": theirs,
        "ratio": ours / theirs if theirs else None,
        "limit s": least,
        "times the limit": ours / least,
    }


def rescan_rclip(data: Path, photos: Path, count: int) -> float | None:
    """Time a search by rclip, which looks for changes first, less a look for changes alone."""
    rclip = peers.Rclip.installed(data)
    if rclip is None:
        return None
    rclip.fill(peers.found(photos), (vectors for _, vectors in PictureLike(512).batches(count)))
    both = repeat(lambda: rclip.index(photos), 3).p50
    return both - repeat(lambda: rclip.search("a red car in the snow", photos), 3).p50


def every_so_many(photos: Path) -> list[Path]:
    return sorted(photos.rglob("*.jpg"))[::EVERY]


def move(paths: list[Path], into: Path) -> None:
    into.mkdir()
    for path in paths:
        path.rename(into / path.name)


def change(paths: list[Path]) -> None:
    """Replace each picture by its negative."""
    for path in paths:
        with Image.open(path) as image:
            ImageOps.invert(image).save(path)


def stat_all(folder: str | Path) -> int:
    """Do the least that any program must do: list every folder and stat every file."""
    found = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                found += stat_all(entry.path)
            else:
                entry.stat()
                found += 1
    return found
