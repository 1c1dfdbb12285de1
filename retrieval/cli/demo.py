"""The demo: paint pictures, index them with the bundled model, and search them."""

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from clipmodel.scenes.painting import paint
from clipmodel.scenes.scene import Part, Scene, imagine
from retrieval import Library
from retrieval.models.choice import BUNDLED
from retrieval.output.captions import answer
from retrieval.output.sheet import save
from retrieval.output.text import printable
from retrieval.records import Match, Progress, Summary

SCENES = 300
SIZE = (480, 360)
FIRST_SEED = 1_000_000  # beyond those of training and evaluation
MAX_MATCHES = 6  # per query
TELL_SECONDS = 5.0  # between two reports of progress
MIN_ANSWERS = 8  # scenes painted for each query, in addition to chance

ASKED: dict[str, Part] = {
    "a red car": ("car", "red"),
    "a house at night": ("house", "night"),
    "a purple balloon": ("balloon", "purple"),
}
ASKED_OF_PHOTOS = ("people outdoors", "a dog", "water", "a car in a street", "a building", "snow")
NEXT = "two cats in the snow", "children playing"  # suggestions for scenes, and for photos

Row = tuple[str, list[Match]]


def run_demo(folder: Path, photos: Path | None, sheet: Path, echo: Callable[[str], None]) -> None:
    """Index painted scenes, or `photos`, into a library in `folder`; search, print, draw `sheet`.

    The library is the demo's own, and `photos` are only read. A second run indexes nothing new.
    Raises the errors of `Library.index` and `Library.search`, and OSError if it cannot write.
    """
    pictures = photos or paint_scenes(folder / "pictures", echo)
    home = folder / ("photos-library" if photos else "library")
    with Library.open(home) as library:
        echo(f"indexing {_shown(pictures)} with the small bundled model {BUNDLED!r}")
        echo(_told(library.index(pictures, model=BUNDLED, progress=_now_and_then(echo))))
        rows = ask(library, pictures, ASKED_OF_PHOTOS if photos else tuple(ASKED))
    for asked, matches in rows:
        echo(f"\n{asked}")
        for match in matches:
            echo(f"  {match.score:.3f}  {_shown(match.path)}")
    sheet.parent.mkdir(parents=True, exist_ok=True)
    save([answer(asked, matches) for asked, matches in rows], sheet)
    echo(f"\nresults as a picture: {_shown(sheet)}")
    command = f"retrieve search --library {shlex.quote(os.fspath(home))}"
    echo(f'try more searches: {printable(command)} "{NEXT[1 if photos else 0]}"')


def ask(library: Library, pictures: Path, words: Sequence[str]) -> list[Row]:
    """Return a row per description, and one of pictures similar to the first match."""
    # By cosine, since only that is shown, and scores out of order would puzzle users here.
    found = library.search_many(words, MAX_MATCHES, folder=pictures, rank="cosine")
    rows = [(f"“{asked}”", matches) for asked, matches in zip(words, found, strict=True)]
    if like := next((matches[0].path for matches in found if matches), None):
        title = f"similar to {printable(like.name)}"
        rows.append((title, library.search(like, MAX_MATCHES, folder=pictures)))
    return rows


def paint_scenes(folder: Path, echo: Callable[[str], None]) -> Path:
    """Paint the scenes of the demo that are not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    places = [folder / f"scene-{number:03}.jpg" for number in range(SCENES)]
    missing = [number for number, place in enumerate(places) if not place.exists()]
    if missing:
        echo(f"painting {len(missing)} scenes in {_shown(folder)}")
    for number in missing:
        part = places[number].with_suffix(".part")  # a picture exists complete or not at all
        paint(scene(number), *SIZE, _seed(number)).save(part, "JPEG", quality=90)
        part.replace(places[number])
    return folder


def scene(number: int) -> Scene:
    """Return the scene of this number; the first ones contain, in turn, what is searched for."""
    parts = tuple(ASKED.values())
    having = parts[number % len(parts)] if number < MIN_ANSWERS * len(parts) else None
    return imagine(_seed(number), "test", having)


def _seed(number: int) -> int:
    return FIRST_SEED + 2 * number  # even: odd seeds are steered by the test queries


def _now_and_then(echo: Callable[[str], None]) -> Callable[[Progress], None]:
    """Return a callback that reports progress every few seconds, as photos may take a while."""
    said = monotonic()

    def tell(progress: Progress) -> None:
        nonlocal said
        if monotonic() - said > TELL_SECONDS:
            said = monotonic()
            echo(f"  {progress.done:,} of {progress.total:,} files")

    return tell


def _told(summary: Summary) -> str:
    failed = f"; {summary.failed} could not be read" if summary.failed else ""
    if summary.encoded:
        done = f"{summary.encoded} pictures in {summary.seconds:.1f} s"
    elif summary.unchanged:
        done = f"all {summary.unchanged} files are unchanged since an earlier run"
    else:
        done = "nothing new"
    return done + failed


def _shown(path: Path) -> str:
    return printable(os.fspath(path))
