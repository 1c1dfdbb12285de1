"""Every form of a question, asked on the command line and in Python: the answers are the same."""

import io
import json
import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from retrieval import Filters, InvalidQuery, Library, Match, UnreadablePicture
from retrieval.cli.main import cli
from retrieval.locate import beside
from tests.retrieval.conftest import Models, paint, paint_photos

BLUE = "photos/small/blue.png"


@pytest.fixture(scope="session")
def _album(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Path:
    album = paint_photos(tmp_path_factory.mktemp("album") / "photos")
    for seed, (camera, year) in enumerate([("Pixel 7", 2022), ("Pixel 7", 2023), ("X100", 2023)]):
        exif = Image.Exif()
        exif[0x0110] = camera
        exif.get_ifd(0x8769)[0x9003] = f"{year}:06:01 12:00:00"
        if camera == "X100":
            exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)})
        path = paint(album / "taken" / f"{seed}.png", "orange", 50 + seed)
        Image.open(path).resize((30, 60)).save(path.with_suffix(".jpg"), exif=exif)
        path.unlink()
    with Library.open(beside(album), models.small) as library:
        library.index(album, workers=0)
    return album


@pytest.fixture(autouse=True)
def photos(_album: Path, home: Path) -> Path:
    """Beside the usual twelve: photos by two cameras, in two years, one of them in Munich."""
    paint(home / "other.png", "blue", 99)
    return Path(shutil.copytree(_album, home / "photos"))


def typed(*arguments: object, stdin: bytes = b"") -> list[dict[str, Any]]:
    command = ["search", *map(str, arguments), "--json", "--library", "photos"]
    result = CliRunner().invoke(cli, command, input=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def in_python(ask: Callable[[Library], list[Match]]) -> list[Match]:
    with Library.open("photos") as library:
        return ask(library)


FORMS: dict[str, tuple[list[str], Callable[[Library], list[Match]]]] = {
    "words": (["a", "red", "car"], lambda it: it.search("a red car")),
    "a path": ([BLUE], lambda it: it.search(Path(BLUE))),
    "a path in a line": (["./" + BLUE], lambda it: it.search("./" + BLUE)),
    "a file that is not known": (["other.png"], lambda it: it.search(Path("other.png"))),
    "several terms": (
        ["2:golden retriever", "+", "./" + BLUE, "-", "leash"],
        lambda it: it.search(f'2:"golden retriever" + ./{BLUE} - leash'),
    ),
    "not": (["a dog", "--not", "leash"], lambda it: it.search("a dog", without="leash")),
    "not, in a line": (["a dog - leash"], lambda it: it.search("a dog", without=["leash"])),
    "a template": (
        ["dog", "--template", "a photo of a {}"],
        lambda it: it.search("a photo of a dog"),
    ),
    "templates": (
        ["dog", "--template", "photo", "--template", "one {}"],
        lambda it: it.search("dog", templates=["photo", "one {}"]),
    ),
    "--in": (["x", "--in", "photos/small"], lambda it: it.search("x", folder="photos/small")),
    "in:": (["x in:small"], lambda it: it.search("x", filters=Filters("photos/small"))),
    "dates": (
        ["x", "--after", "2022-06", "--before", "2023"],
        lambda it: it.search("x after:2022-06 before:2023"),
    ),
    "camera": (["x", "--camera", "pixel"], lambda it: it.search("camera:PIXEL x")),
    "near": (
        ["x", "--near", "48.1,11.6,20"],
        lambda it: it.search("x", filters=Filters(near=(48.1, 11.6, 20))),
    ),
    "size": (["x", "--min-size", "40x30"], lambda it: it.search("x min-size:40x30")),
    "format": (["x", "--format", "jpg"], lambda it: it.search("x format:JPEG")),
    "orientation": (
        ["x", "--orientation", "portrait"],
        lambda it: it.search("x", filters=Filters(orientation="portrait")),
    ),
    "all at once": (
        ["x", "in:taken", "--camera", "pixel", "after:2023"],
        lambda it: it.search("x camera:pixel", filters=Filters("taken", after="2023")),
    ),
    "by date": (["x", "--sort", "date"], lambda it: it.search("x", sort="date")),
    "cut": (["x", "-n", "3"], lambda it: it.search("x", 3)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_command_line_and_python_agree(form: str) -> None:
    arguments, ask = FORMS[form]
    printed, matches = typed(*arguments), in_python(ask)
    assert printed and [each["path"] for each in printed] == [str(match.path) for match in matches]
    scores = [match.score for match in matches]
    assert [each["score"] for each in printed] == pytest.approx(scores, abs=2e-3)


def names(matches: list[Match]) -> set[str]:
    return {match.path.name for match in matches}


def test_filters_find_what_the_exif_says() -> None:
    with Library.open("photos") as library:
        assert names(library.search("x after:2022-06 before:2023")) == {"0.jpg"}
        assert names(library.search("x camera:pixel")) == {"0.jpg", "1.jpg"}
        assert library.search("x", filters=Filters(camera="\0")) == []  # ends a pattern of SQLite
        assert names(library.search("x near:48.1,11.6,20")) == {"2.jpg"}
        assert names(library.search("x in:taken orientation:landscape")) == set()
        assert names(library.search("x in:taken", filters=Filters(after="2023"))) == {
            "1.jpg",
            "2.jpg",
        }


def test_each_question_has_its_own_filters() -> None:
    with Library.open("photos") as library:
        pixel, all_of_them, small = library.search_many(["x camera:pixel", "x", "x in:small"], 100)
    assert (len(pixel), len(all_of_them), len(small)) == (2, 15, 7)


def test_a_picture_on_standard_input_and_as_bytes() -> None:
    data = Path(BLUE).read_bytes()
    best = typed("-", stdin=data)[0]
    assert best["path"].endswith(BLUE) and best["score"] == pytest.approx(1, abs=1e-3)
    assert in_python(lambda it: it.search(data))[0].path.name == "blue.png"
    unknown = Path("other.png").read_bytes()
    matches = in_python(lambda it: it.search(unknown))
    assert [each["path"] for each in typed("-", stdin=unknown)] == [str(m.path) for m in matches]
    with pytest.raises(UnreadablePicture, match="cannot use these bytes"):
        in_python(lambda it: it.search(b"no picture"))


def test_scores_of_a_sum_are_cosines() -> None:
    with Library.open("photos") as library:
        parts = [library.search(one, 100) for one in ("a dog", "leash")]
        mixed = library.search("2:a dog - leash", 100)
        assert library.search("4:a dog - 2:leash", 100) == mixed  # only their ratio counts
    dog, leash = ({m.image.id: m.score for m in matches} for matches in parts)
    sums = np.array([2 * dog[m.image.id] - leash[m.image.id] for m in mixed])
    scores = np.array([m.score for m in mixed])
    assert np.ptp(sums / scores) < 1e-3 * abs(sums / scores).max()  # one length divides them all
    assert all(-1 <= score <= 1 for score in scores)


def test_terms_that_leave_nothing() -> None:
    with pytest.raises(InvalidQuery, match="cancel each other out"):
        in_python(lambda it: it.search("a dog - a dog"))


def test_a_template_needs_a_place_for_the_words() -> None:
    with pytest.raises(InvalidQuery, match=r"no \{\}.*photo"):
        in_python(lambda it: it.search("a dog", templates="a picture"))


def test_by_date_the_newest_of_the_best_come_first() -> None:
    for path in Path("photos").rglob("*.png"):
        when = datetime(2022, 12, 1).timestamp()
        os.utime(path, (when, when))
    with Library.open("photos") as library:
        library.index(workers=0)
        best, newest = library.search("x", 8), library.search("x", 8, sort="date")
    assert {m.image.id for m in best} == {m.image.id for m in newest}
    dates = [match.image.date for match in newest]
    assert dates == sorted(dates, reverse=True)


def test_what_the_options_refuse() -> None:
    command = ["search", "x", "--near", "1,2", "--library", "photos"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --near: '1,2' is not a valid place")
    command = ["search", "x in:small", "--in", "large", "--library", "photos"]
    assert "in is given twice" in CliRunner().invoke(cli, command).stderr


def test_an_address_is_fetched_when_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(BLUE).read_bytes()
    monkeypatch.setattr("retrieval.sources.web.fetch.fetch", lambda url: data)
    address = "https://example.org/blue.png"
    assert typed(address, "--allow-url")[0]["path"].endswith(BLUE)
    assert in_python(lambda it: it.search(address, allow_url=True))[0].path.name == "blue.png"
    result = CliRunner().invoke(cli, ["search", address, "--library", "photos"])
    assert result.exit_code == 2 and "--allow-url" in result.stderr


def test_pictures_in_memory_can_be_parts_of_nothing_else() -> None:
    file = io.BytesIO()
    Image.open(BLUE).save(file, "BMP")
    with Library.open("photos") as library:
        less = library.search(file.getvalue(), without="a dog")
        assert len(less) == 10 and less != library.search(file.getvalue())
