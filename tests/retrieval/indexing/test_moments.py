"""Moments: animations and documents of several pages are found by any of their frames."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from retrieval.catalog.queries.vector_ids import BITS
from retrieval.catalog.reading import Catalog
from retrieval.cli.main import cli
from retrieval.collection import duplicates
from retrieval.collection.check import check
from retrieval.collection.export import export
from retrieval.decoding.limits import MAX_MOMENTS
from retrieval.indexing.encoding import SAME_SCENE, distinct
from retrieval.indexing.options import Moving
from retrieval.indexing.run import index
from retrieval.output import text
from retrieval.records import ModelRecord, Moment, Summary
from retrieval.search.answer import answered
from retrieval.search.options import SearchOptions
from retrieval.search.query_encoder import QueryEncoder
from retrieval.search.question import Example, ImageId, Question, Vector
from retrieval.vectors import index_file
from retrieval.vectors.nearest import Hit, Searcher
from retrieval.vectors.scan import CatalogScan
from retrieval.wording import clock
from tests.retrieval.small import SmallEncoder, paint, small_model

SIZE = 40, 30
FORMATS = ["a.gif", "a.webp", "a.apng", "a.avif", "a.tif"]


def scene(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Corners of colours that no other seed gives."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize(size, Image.Resampling.BILINEAR)


def animate(path: Path, seeds: list[int], seconds: float = 2.0) -> Path:
    """Save scenes, each shown for so long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = map(scene, seeds)
    more = {} if path.suffix == ".tif" else {"duration": int(1000 * seconds)}
    first.save(path, save_all=True, append_images=rest, **more)
    return path


def run_index_of_moments(
    catalog: Catalog, *paths: Path, model: str = "small", max_moments: int = MAX_MOMENTS
) -> tuple[int, int]:
    """Return how many images a run encoded, and how many files were as before."""
    moving = Moving(max_moments)
    *_, summary = index(
        *(catalog, paths, small_model(model), SmallEncoder), workers=0, moving=moving
    )
    assert isinstance(summary, Summary) and not summary.failed
    return summary.encoded, summary.unchanged


def looks_like(seed: int) -> NDArray[np.float32]:
    pixels = np.asarray(scene(seed).resize((16, 16)), np.uint8)
    return SmallEncoder().encode(pixels[np.newaxis])


def model_of(catalog: Catalog) -> ModelRecord:
    model = catalog.current_model()
    assert model is not None
    return model


def nearest(catalog: Catalog, seed: int, limit: int = 3) -> list[Hit]:
    return Searcher(catalog).search(model_of(catalog), looks_like(seed), limit)[0]


@pytest.mark.parametrize("name", FORMATS)
def test_every_frame_or_page_is_found(catalog: Catalog, base: Path, name: str) -> None:
    animate(base / "p" / name, [1, 2, 3, 4])
    paint(base / "p" / "still.png", 9)
    summary = run_index_of_moments(catalog, base / "p")
    assert summary == (2, 0)
    [(moving, moments)] = catalog.images.moments(catalog.images.ids().tolist()).items()
    unit = "page" if name == "a.tif" else "frame"
    assert [each.unit for each in moments] == [unit] * 4
    assert [each.number for each in moments] == [each.position for each in moments] == [0, 1, 2, 3]
    for number, seed in enumerate([1, 2, 3, 4]):
        best = nearest(catalog, seed)[0]
        assert (best.image.id, best.moments[0]) == (moving, number) and best.score > 0.99
    assert catalog.embeddings.count_vectors(1) == 5 and catalog.embeddings.count(1) == 2


def test_frames_that_show_the_same_are_one_moment(catalog: Catalog, base: Path) -> None:
    animate(base / "p" / "a.gif", [1, 1, 1, 2, 2, 1])
    animate(base / "p" / "still.webp", [5, 5, 5])
    run_index_of_moments(catalog, base / "p")
    [moments] = catalog.images.moments([1, 2]).values()
    assert [each.number for each in moments] == [0, 1, 2]
    assert catalog.embeddings.count_vectors(1) == 4
    assert catalog.rows("SELECT moment_count FROM images ORDER BY moment_count") == [(1,), (3,)]


def test_moments_are_at_least_a_second_apart(catalog: Catalog, base: Path) -> None:
    animate(base / "p" / "quick.gif", [1, 2, 3, 4, 5, 6, 7, 8], seconds=0.25)
    run_index_of_moments(catalog, base / "p")
    [moments] = catalog.images.moments([1]).values()
    assert [each.position for each in moments] == [0, 4]


def test_so_many_moments_at_most_from_all_over_it(catalog: Catalog, base: Path) -> None:
    animate(base / "p" / "long.gif", list(range(100, 130)))
    run_index_of_moments(catalog, base / "p", max_moments=5)
    [moments] = catalog.images.moments([1]).values()
    assert len(moments) == 5
    assert moments[0].position == 0 and moments[-1].position >= 20


def test_empty_and_reduced_pages_are_no_moments(catalog: Catalog, base: Path) -> None:
    (base / "p").mkdir()
    white = Image.new("RGB", SIZE, "white")
    scene(1).save(base / "p" / "a.tif", save_all=True, append_images=[white, scene(2), white])
    run_index_of_moments(catalog, base / "p")
    [moments] = catalog.images.moments([1]).values()
    assert [each.position for each in moments] == [0, 2]


def test_a_damaged_end_costs_only_what_is_behind_it(catalog: Catalog, base: Path) -> None:
    path = animate(base / "p" / "a.gif", [1, 2, 3, 4])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 5 // 8])
    assert run_index_of_moments(catalog, base / "p") == (1, 0)
    assert nearest(catalog, 1)[0].score > 0.99 and nearest(catalog, 2)[0].score > 0.99


def test_an_image_is_one_hit_with_all_its_moments_that_are_near(
    catalog: Catalog, base: Path
) -> None:
    animate(base / "p" / "a.gif", [1, 2, 3])
    for seed in range(20, 26):
        paint(base / "p" / f"{seed}.png", seed)
    run_index_of_moments(catalog, base / "p")
    for limit in (1, 3, 7, 50):
        hits = nearest(catalog, 2, limit)
        ids = [hit.image.id for hit in hits]
        assert len(ids) == len({*ids}) == min(limit, 7)
    [moving] = catalog.images.moments(ids)
    [own] = [hit for hit in hits if hit.image.id == moving]
    assert own.moments[0] == 1 and sorted(own.moments) == [0, 1, 2]
    # … also where only it is allowed, by the file and by a scan
    for store in (None, CatalogScan):
        searcher = Searcher(catalog, store) if store else Searcher(catalog)
        for _ in range(2):  # the second search uses the file
            found = searcher.search(
                model_of(catalog), looks_like(3), 5, np.array([moving], np.int64)
            )
            assert [(hit.image.id, hit.moments[0]) for hit in found[0]] == [(moving, 2)]


def test_the_index_file_finds_what_a_scan_finds(catalog: Catalog, base: Path) -> None:
    for first in range(0, 40, 4):
        animate(base / "p" / f"{first}.gif", list(range(first, first + 4)))
    run_index_of_moments(catalog, base / "p")
    model = model_of(catalog)
    index_file.rebuild(catalog, model)
    animate(base / "p" / "late.gif", [50, 51, 52])  # the tail of the file
    run_index_of_moments(catalog, base / "p")
    file, scan = Searcher(catalog), Searcher(catalog, CatalogScan)
    for allowed in (None, np.array([2, 3, 11], np.int64)):
        for seed in (0, 7, 17, 39, 51):
            for _ in range(2):
                one = file.search(model, looks_like(seed), 4, allowed)[0]
            other = scan.search(model, looks_like(seed), 4, allowed)[0]
            assert [(h.image.id, h.moments[0]) for h in one] == [
                (h.image.id, h.moments[0]) for h in other
            ]
    assert check(catalog.local_folder, False) == []


def test_another_model_encodes_the_same_moments(catalog: Catalog, base: Path) -> None:
    animate(base / "p" / "a.gif", [1, 1, 2, 3])
    paint(base / "p" / "still.png", 9)
    run_index_of_moments(catalog, base / "p")
    before = catalog.images.moments([1, 2])
    assert run_index_of_moments(catalog, model="other") == (2, 2)
    other = model_of(catalog)
    assert other.name == "other" and catalog.images.moments([1, 2]) == before
    assert catalog.embeddings.count_vectors(other.id) == 4
    assert run_index_of_moments(catalog, model="other") == (0, 2)
    assert nearest(catalog, 3)[0].moments[0] == 2


def test_an_older_library_gets_its_further_moments_and_nothing_is_encoded_for_others(
    catalog: Catalog, base: Path
) -> None:
    animate(base / "p" / "a.gif", [1, 2])
    paint(base / "p" / "still.png", 9)
    paint(base / "p" / "still.gif", 10)
    run_index_of_moments(catalog, base / "p")
    vectors = catalog.rows("SELECT id, vector FROM embeddings WHERE moment = 0")
    as_of_version_4(catalog)
    assert run_index_of_moments(catalog, base / "p") == (1, 3)
    assert catalog.rows("SELECT id, vector FROM embeddings WHERE moment = 0") == vectors
    assert nearest(catalog, 2)[0].moments[0] == 1
    assert not catalog.images.unwatched()
    assert run_index_of_moments(catalog, base / "p") == (0, 3)
    assert check(catalog.local_folder, False) == []


def as_of_version_4(catalog: Catalog) -> None:
    """What a library that knew no moments has after its migration."""
    with catalog.transaction() as connection:
        for statement in (
            "DELETE FROM moments",
            "DELETE FROM embeddings WHERE moment > 0",
            "UPDATE images SET moment_count = NULL",
        ):
            connection.execute(sqlalchemy.text(statement))


def test_a_killed_run_keeps_no_part_of_an_image(catalog: Catalog, base: Path) -> None:
    class Failing(SmallEncoder):
        batch_size = 2

        def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            if self.pictures >= 2:
                raise RuntimeError("power cut")
            return super().encode(pixels)

    animate(base / "p" / "a.gif", [1, 2, 3, 4, 5])
    with pytest.raises(RuntimeError, match="power cut"):
        list(index(catalog, [base / "p"], small_model(), Failing, workers=0))
    assert catalog.images.count() == 0
    assert run_index_of_moments(catalog, base / "p") == (1, 0)


def test_what_moves_is_a_duplicate_only_of_the_same_bytes(catalog: Catalog, base: Path) -> None:
    animate(base / "p" / "a.gif", [1, 2])
    animate(base / "p" / "b.gif", [1, 3])
    scene(1).save(base / "p" / "still.png")
    shutil.copy(base / "p" / "a.gif", base / "p" / "copy.gif")
    run_index_of_moments(catalog, base / "p")
    [group] = duplicates.find(catalog, model_of(catalog), None, None)
    assert [group.kept.path.name, *(each.path.name for each in group.others)] == [
        "a.gif",
        "copy.gif",
    ]


def test_the_export_has_a_row_for_every_moment(catalog: Catalog, base: Path) -> None:
    animate(base / "p" / "a.gif", [1, 2])
    paint(base / "p" / "still.png", 9)
    run_index_of_moments(catalog, base / "p")
    done = export(catalog, model_of(catalog), base / "out")
    with done.table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert done.count == len(rows) == 3 and np.load(done.vectors).shape == (3, 12)
    told = {(Path(row["path"]).name, row["moment"], row["unit"]) for row in rows}
    assert told == {("a.gif", "0.0", "frame"), ("a.gif", "1.0", "frame"), ("still.png", "", "")}


def test_an_answer_names_the_moment(catalog: Catalog, base: Path) -> None:
    animate(base / "p" / "a.tif", [1, 2, 3])
    paint(base / "p" / "still.png", 9)
    run_index_of_moments(catalog, base / "p")
    encoder = QueryEncoder(catalog, model_of(catalog))
    questions = [Question(Vector(looks_like(2)[0])), Question(Example(ImageId(1)))]
    first, similar = answered(catalog, Searcher(catalog), encoder, questions, SearchOptions())
    by_name = {match.path.name: match for match in first}
    assert by_name["a.tif"].moments[0] == Moment(1, "page", 1.0)
    assert by_name["still.png"].moments == () and len(similar) == 2
    assert "a.tif @ page 2" in text.as_table(first)
    [line] = [line for line in text.as_columns(first).splitlines() if "a.tif" in line]
    assert line.split("\t")[5] == "page 2"


def test_the_vector_of_a_moving_picture_is_the_mean_of_its_moments(
    catalog: Catalog, base: Path
) -> None:
    animate(base / "p" / "a.gif", [1, 2])
    run_index_of_moments(catalog, base / "p")
    [vector] = QueryEncoder(catalog, model_of(catalog)).embed([Example(base / "p" / "a.gif")])
    of_image = catalog.embeddings.of_image(1, 1)
    assert of_image is not None and of_image.shape == (2, 12)
    mean = of_image.mean(axis=0)
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-3)


def test_moments_are_kept_if_they_differ_from_the_last_one_kept() -> None:
    angles = np.arccos(SAME_SCENE) * np.array([0, 0.6, 1.2, 1.3, 3, 0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert list(distinct(vectors)) == [0, 2, 4, 5]


def test_times_are_written_as_people_do() -> None:
    assert [clock(each) for each in (0, 9.9, 83.2, 3600, 36_061)] == [
        *("0:00", "0:09", "1:23", "1:00:00"),
        "10:01:01",
    ]
    assert [str(Moment(1, "second", 83.2)), str(Moment(1, "frame", 4.0))] == ["1:23", "frame 5"]


def test_the_command_line_tells_the_moment(home: Path) -> None:
    animate(home / "p" / "a.gif", [1, 2, 3])
    assert CliRunner().invoke(cli, ["index", "p", "--max-moments", "2"]).exit_code == 0
    answer = CliRunner().invoke(cli, ["search", "a red car", "--json"])
    [match] = json.loads(answer.stdout)
    assert match["unit"] == "frame" and match["duration"] is None
    assert match["moment"] == match["moments"][0]["position"]
    assert len(match["moments"]) == 2
    assert match["id"] < 1 << BITS
