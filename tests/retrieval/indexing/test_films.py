"""Videos in a library: found by their moments, beside pictures or for themselves."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from retrieval import wording
from retrieval.catalog.reading import Catalog
from retrieval.cli.main import cli
from retrieval.decoding import formats
from retrieval.decoding.kinds.names import in_words
from retrieval.decoding.kinds.refusal import refused
from retrieval.indexing.options import Moving
from retrieval.indexing.run import index
from retrieval.records import Moment, Summary
from retrieval.vectors.nearest import Hit, Searcher
from tests.retrieval.decoding.films import drawn, film
from tests.retrieval.small import SIDE, SmallEncoder, paint, small_model


def run(catalog: Catalog, *paths: Path, moving: Moving | None = None) -> Summary:
    """Index, in this process."""
    how = moving or Moving()
    *_, summary = index(catalog, paths, small_model(), SmallEncoder, workers=0, moving=how)
    assert isinstance(summary, Summary)
    return summary


def looks_like(scene: int) -> NDArray[np.float32]:
    whole = drawn(scene, (SIDE * 3 // 2, SIDE)).crop((SIDE // 4, 0, SIDE // 4 + SIDE, SIDE))
    return SmallEncoder().encode(np.asarray(whole, np.uint8)[np.newaxis])


def nearest(catalog: Catalog, scene: int, limit: int = 1) -> list[Hit]:
    model = catalog.current_model()
    assert model
    return Searcher(catalog).search(model, looks_like(scene), limit)[0]


def test_a_film_is_found_by_each_of_its_scenes(catalog: Catalog, base: Path) -> None:
    film(base / "p" / "a.mp4", [1, 2, 1, 3])
    film(base / "p" / "b.webm", [4])
    paint(base / "p" / "still.png", 9)
    assert run(catalog, base / "p").encoded == 3
    for scene, name, number, at in [
        (2, "a.mp4", 1, 2.0),
        (3, "a.mp4", 3, 6.0),
        (4, "b.webm", 0, 0),
    ]:
        [hit] = nearest(catalog, scene)
        assert (hit.image.paths[0].name, hit.moments[0]) == (name, number) and hit.score > 0.98
        moment = catalog.images.moments([hit.image.id])[hit.image.id][number]
        assert moment == Moment(number, "second", pytest.approx(at, abs=0.1))
    [hit] = nearest(catalog, 1)
    assert hit.image.duration == pytest.approx(8, abs=0.1) and hit.image.format == "MP4"
    again = run(catalog, base / "p")
    assert (again.encoded, again.unchanged) == (0, 3) and not again.left_out


def test_a_damaged_film_is_a_failure_that_costs_nothing_else(catalog: Catalog, base: Path) -> None:
    film(base / "p" / "a.mp4", [1])
    (base / "p" / "b.mp4").write_bytes((base / "p" / "a.mp4").read_bytes()[:1_500])
    summary = run(catalog, base / "p")
    assert (summary.new, summary.failed) == (1, 1)
    [failed] = catalog.files.failures()
    assert "ends before its index" in failed.reason


def test_the_film_of_a_live_photo_is_its_companion(catalog: Catalog, base: Path) -> None:
    film(base / "p" / "IMG_1.MOV".lower(), [1])
    paint(base / "p" / "img_1.jpg", 5)
    film(base / "p" / "img_2.mov", [2])
    summary = run(catalog, base / "p")
    assert (summary.new, summary.companions) == (2, 1)
    assert nearest(catalog, 2)[0].image.format == "MOV"
    both = run(catalog, base / "p", moving=Moving(pairs=False))
    assert (both.new, both.companions) == (1, 0)
    assert nearest(catalog, 1)[0].image.paths[0].name == "img_1.mov"
    later = run(catalog, base / "p")
    assert (later.new, later.removed, later.unchanged) == (0, 0, 3)


def test_without_videos_new_ones_are_left_out_and_known_ones_stay(
    catalog: Catalog, base: Path
) -> None:
    film(base / "p" / "a.mp4", [1])
    run(catalog, base / "p")
    film(base / "p" / "b.mp4", [2])
    summary = run(catalog, base / "p", moving=Moving(videos=False))
    assert (summary.unchanged, summary.new, summary.removed) == (1, 0, 0)
    assert in_words(summary.left_out) == "1 .mp4 (videos, by --no-videos)"
    assert run(catalog, base / "p").new == 1


@pytest.fixture
def without_av(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    caches = (formats.can_read_films, formats.picture_extensions, formats.missing_extensions)
    there = formats._is_there
    monkeypatch.setattr(formats, "_is_there", lambda module: module != "av" and there(module))
    for cache in caches:
        cache.cache_clear()
    yield
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("without_av")
def test_without_the_extra_films_are_counted_with_what_to_do(catalog: Catalog, base: Path) -> None:
    path = film(base / "p" / "a.mp4", [1])
    paint(base / "p" / "still.png", 9)
    summary = run(catalog, base / "p")
    assert summary.new == 1
    assert in_words(summary.left_out) == '1 .mp4 (to read them: pip install ".[video]")'
    said = str(refused(path.read_bytes()))
    assert said == 'it is a video (MP4); to read videos: pip install ".[video]"'


def test_the_command_line_tells_the_second(home: Path) -> None:
    film(home / "p" / "a.mp4", [1, 2, 3])
    assert CliRunner().invoke(cli, ["index", "p"]).exit_code == 0
    [match] = json.loads(CliRunner().invoke(cli, ["search", "a red car", "--json"]).stdout)
    assert match["unit"] == "second" and match["moment"] in (0, 2, 4)
    assert match["duration"] == pytest.approx(6, abs=0.1)
    line = CliRunner().invoke(cli, ["search", "a red car"]).stdout
    assert line.rstrip("\n").endswith(wording.clock(match["moment"]))
    found = CliRunner().invoke(cli, ["search", "p/a.mp4", "--json"])
    assert json.loads(found.stdout)[0]["score"] > 0.5
    sheet = CliRunner().invoke(cli, ["search", "a red car", "--sheet", "s.html"])
    assert sheet.exit_code == 0 and "a.mp4 @ 0:0" in Path("s.html").read_text()
