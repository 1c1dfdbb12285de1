"""The first thing to try: paint pictures, index them with the bundled model, find them by words."""

from collections.abc import Callable, Sequence
from pathlib import Path

from clipmodel.training.painting import paint
from clipmodel.training.scenes import Part, imagine
from retrieval.library import Library
from retrieval.records import Match
from retrieval.sheet import draw_sheet

MODEL = "tiny"
SCENES = 300
SIZE = (480, 360)
BEYOND_EVALUATION = 1_000_000  # the first seed, so that nobody has seen these scenes
SHOWN = 6  # matches a query
ANSWERS = 8  # scenes painted for each question, beside those that chance brings

ASKED: dict[str, Part] = {
    "a red car": ("car", "red"),
    "a house at night": ("house", "night"),
    "three balloons": ("balloon", 3),
}
ASKED_OF_PHOTOS = ("people outdoors", "a dog", "water", "a car in a street", "a building", "snow")


def run_demo(folder: Path, photos: Path | None, sheet: Path, echo: Callable[[str], None]) -> None:
    """Indexes painted scenes, or `photos`, into a library in `folder`; asks, prints, draws `sheet`.

    A second run finds its work done. Raises what `Library.index` and `Library.search` raise.
    """
    if photos is None:
        pictures, asked = folder / "pictures", tuple(ASKED)
        echo(f"painting {SCENES} pictures into {pictures}")
        paint_scenes(pictures)
    else:
        pictures, asked = photos, ASKED_OF_PHOTOS
    with Library.open(folder / ("library" if photos is None else "photos-library")) as library:
        summary = library.index(pictures, model=MODEL)
        found = summary.new + summary.changed + summary.moved + summary.unchanged
        echo(f"indexed {found} pictures with {MODEL!r} in {summary.seconds:.1f} s")
        rows = [(f"“{words}”", library.search(words, SHOWN)) for words in asked]
        if rows and rows[0][1]:
            like = rows[0][1][0].path
            rows.append((f"pictures like {like.name}", library.search(like, SHOWN)))
    _tell(rows, echo)
    draw_sheet(rows).save(sheet)
    echo(f"\nthe same as pictures: {sheet}")


def paint_scenes(folder: Path) -> None:
    """Paints the scenes of the demo that are not there yet, some of them made to be asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = tuple(ASKED.values())
    for number in range(SCENES):
        path = folder / f"scene-{number:03}.jpg"
        if not path.exists():
            having = parts[number % len(parts)] if number < ANSWERS * len(parts) else None
            seed = BEYOND_EVALUATION + 2 * number  # even seeds are not steered by the test queries
            paint(imagine(seed, "test", having), *SIZE, seed).save(path, quality=90)


def _tell(rows: Sequence[tuple[str, Sequence[Match]]], echo: Callable[[str], None]) -> None:
    for asked, matches in rows:
        echo(f"\n{asked}")
        for match in matches:
            echo(f"  {match.score:.3f}  {match.path}")
