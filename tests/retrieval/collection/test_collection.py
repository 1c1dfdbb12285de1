"""Commands over many pictures: duplicates, similar ones, tags, export; typed and from Python."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks.harness.inputs import PictureLike
from retrieval import Filters, InvalidQuery, Library, PathNotFound
from retrieval.catalog.reading import Catalog
from retrieval.cli.main import cli
from retrieval.collection import duplicates, stars
from retrieval.collection.nearness import Nearness
from retrieval.search.query_encoder import QueryEncoder
from retrieval.search.tags import probabilities, read_labels
from tests.retrieval.conftest import paint
from tests.retrieval.vectors.test_nearest import DIM, Filled, unit


def typed(*arguments: object) -> bytes:
    command = [*map(str, arguments), "--library", "photos"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


# -- duplicates ----------------------------------------------------------------------------------


@pytest.fixture
def doubled(indexed: Path) -> Path:
    """One picture in another size and format: near, with any model."""
    blue = Image.open(indexed / "large/blue.png")
    (indexed / "saved").mkdir()
    blue.resize((96, 72), Image.Resampling.NEAREST).save(indexed / "saved/blue.webp", lossless=True)
    with Library.open("photos") as library:
        library.index(workers=0)
    return indexed


def test_exact_copies_and_near_ones(doubled: Path) -> None:
    with Library.open("photos") as library:
        found = library.duplicates(0.999)
        exact = next(group for group in found if group.is_exact(group.others[0]))
        assert exact.kept.path == doubled / "large/red.png"
        assert [match.path for match in exact.others] == [doubled / "small/red again.png"]
        near = next(g for g in found if g.kept.path == doubled / "saved/blue.webp")  # more pixels
        assert doubled / "large/blue.png" in [match.path for match in near.others]
        assert all(match.score >= 0.999 for group in found for match in group.others)
        every = [m.path for g in found for m in (g.kept, *g.others)]
        assert len(every) == len(set(every))
        within = library.duplicates(0.999, filters=Filters("small"))
        assert all(m.image.paths for g in within for m in g.others)
        for wrong in (0.0, 1.5, float("nan")):
            with pytest.raises(InvalidQuery, match="threshold"):
                library.duplicates(wrong)


def test_the_command_says_the_same_and_deletes_nothing(doubled: Path) -> None:
    with Library.open("photos") as library:
        found = library.duplicates(0.999)
    before = sorted(doubled.rglob("*.*"))
    said = json.loads(typed("duplicates", "--threshold", 0.999, "--json"))
    assert [each["keep"]["path"] for each in said] == [str(group.kept.path) for group in found]
    others = [[str(match.path) for match in group.others] for group in found]
    assert [[one["path"] for one in each["others"]] for each in said] == others
    spare = typed("duplicates", "--threshold", 0.999, "--paths").decode().splitlines()
    assert spare == [path for group in others for path in group]
    assert typed("duplicates", "--threshold", 0.999, "-0").decode().split("\0")[:-1] == spare
    text = typed("duplicates", "--threshold", 0.999).decode()
    blocks = text.split("\n\n")
    assert len(blocks) == len(found) and all(block.startswith("keep\t") for block in blocks)
    assert f"same\t48x36\t{doubled}/small/red again.png\n" in text
    assert sorted(doubled.rglob("*.*")) == before


@pytest.mark.parametrize("block", [7, 2048])
def test_groups_are_stars_as_by_brute_force(
    base: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(stars, "BLOCK", block)
    (base / "pictures").mkdir()
    filled = Filled(base / "library", base / "pictures")
    generator = np.random.default_rng(1)
    centres = unit(generator.standard_normal((20, DIM)))
    filled.put(
        unit(centres[generator.integers(0, 20, 60)] + 0.1 * generator.normal(size=(60, DIM)))
    )
    for number in range(60):
        place = filled.root.path / f"{number:06}.jpg"
        place.write_bytes(b"x")
        os.utime(place, ns=(1, 1))
    held = list(filled.by_id)
    expected, free = {}, set(held)
    for id in held:  # all of one size and time: the shorter path, which is the lower number, first
        if id in free:
            near = [
                o for o in held if float(filled.by_id[id] @ filled.by_id[o]) >= 0.95 and o != id
            ]
            expected[id] = {other for other in near if other in free}
            free -= {id, *expected[id]}
    found = duplicates.groups(filled.catalog, filled.model, Nearness.of_cosines(0.95))
    groups = {g.kept.image.id: {m.image.id for m in g.others} for g in found}
    assert groups == {id: others for id, others in expected.items() if others}
    filled.catalog.close()


@pytest.mark.parametrize("threshold", [0.6, 0.9, 0.97])
def test_no_pair_is_ruled_out_that_is_near(
    monkeypatch: pytest.MonkeyPatch, threshold: float
) -> None:
    monkeypatch.setattr(stars, "BLOCK", 300)
    vectors = PictureLike(128).draw(1_000, seed=1)
    generator = np.random.default_rng(2)
    vectors[500:] = unit(vectors[:500] + 0.02 * generator.normal(size=(500, 128)))
    halves = vectors.astype(np.float16)
    cosines = halves.astype(np.float32) @ halves.astype(np.float32).T
    free, expected = np.ones(1_000, bool), []
    for row in range(1_000):
        if free[row]:
            star = np.flatnonzero(free & (cosines[row] >= threshold) & (np.arange(1_000) > row))
            expected.append([row, *star.tolist()])
            free[[row, *star]] = False
    none = np.zeros(1_000, np.uint64)
    found = stars.stars(halves, none, Nearness.of_cosines(threshold))
    assert [[name for name, _ in star] for star in found] == expected
    assert any(len(star) > 1 for star in expected)


def test_none_among_none(base: Path) -> None:
    (base / "pictures").mkdir()
    filled = Filled(base / "library", base / "pictures")
    assert list(duplicates.groups(filled.catalog, filled.model, Nearness())) == []
    assert list(duplicates.exact_groups(filled.catalog)) == []
    filled.catalog.close()


# -- similar -------------------------------------------------------------------------------------


def test_similar_leaves_the_picture_itself_out(indexed: Path) -> None:
    red = indexed / "large/red.png"
    elsewhere = Path(shutil.copy(red, "copy.png"))
    with Library.open("photos") as library:
        ranked = [match.path for match in library.search(red, 12)]
        assert ranked[0] == red
        for same in (red, indexed / "small/red again.png", elsewhere):
            assert [match.path for match in library.similar(same, 5)] == ranked[1:6]
        assert len(library.similar(red, 100)) == 11
        inside = library.similar(red, filters=Filters("small"))
    assert typed("similar", red, "-n", 5, "--paths").decode().splitlines() == [
        str(path) for path in ranked[1:6]
    ]
    said = typed("similar", red, "--in", "small", "--paths").decode().splitlines()
    assert said == [str(match.path) for match in inside]


# -- tags ----------------------------------------------------------------------------------------


def test_tags_are_shared_out_among_the_labels(indexed: Path) -> None:
    Path("labels.txt").write_text("# colours\nred\n\nblue\ngreen\nred\n")
    assert read_labels(Path("labels.txt")) == ["red", "blue", "green"]
    Image.new("RGB", (40, 40), "red").save("new.png")
    with Library.open("photos") as library:
        files = [indexed / "small/blue.png", Path("new.png")]
        tagged = library.tag([*files, indexed / "large"], ["red", "blue", "green"])
        assert [each.path for each in tagged][:2] == files and len(tagged) == 8
        for each in tagged:
            likely = list(each.labels.values())
            assert sum(likely) == pytest.approx(1) and likely == sorted(likely, reverse=True)
            assert set(each.labels) == {"red", "blue", "green"}
        plain = library.tag(files[0], ["red", "blue"], templates=())
        assert plain != library.tag(files[0], ["red", "blue"])
        for labels in ([], "red"):
            with pytest.raises(InvalidQuery, match="no labels"):
                library.tag(files[0], labels)
    said = json.loads(typed("tag", *files, indexed / "large", "--labels", "labels.txt", "--json"))
    assert [each["path"] for each in said] == [str(each.path) for each in tagged]
    assert said[0]["labels"] == pytest.approx(dict(tagged[0].labels), abs=1e-4)
    lines = typed("tag", files[0], "--labels", "labels.txt", "-n", 2).decode().splitlines()
    best = next(iter(tagged[0].labels))
    assert len(lines) == 2 and lines[0].split("\t")[1:] == [best, str(files[0])]


def test_files_of_labels_that_are_none(home: Path) -> None:
    with pytest.raises(PathNotFound, match="nowhere"):
        read_labels(Path("nowhere"))
    Path("binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidQuery, match="UTF-8"):
        read_labels(Path("binary"))


def test_probabilities_are_those_of_the_model(indexed: Path) -> None:
    pictures = unit(np.random.default_rng(0).standard_normal((3, DIM)))
    labels = unit(np.random.default_rng(1).standard_normal((4, DIM)))
    likely = probabilities(pictures, labels, 100.0)
    logits = 100.0 * pictures @ labels.T
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(likely, expected, rtol=1e-4)
    catalog = Catalog.open(indexed / ".retrieve")
    model = catalog.current_model()
    assert model
    assert QueryEncoder(catalog, model)._text_tower.scale == pytest.approx(1 / 0.07, rel=1e-4)
    catalog.close()


# -- export --------------------------------------------------------------------------------------


def test_export(indexed: Path) -> None:
    said = typed("export", "out/vectors").decode()
    assert said.startswith("wrote 12 vectors to out/vectors/vectors.npy")
    vectors = np.load("out/vectors/vectors.npy")
    assert vectors.shape == (12, 24) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)
    with open("out/vectors/images.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 13  # a copy has a line of its own, and the same vector
    with Library.open("photos") as library:
        for row in rows:
            best = library.search(vectors[int(row["row"])], 1)[0]
            assert str(best.image.id) == row["id"] and Path(row["path"]) in best.image.paths
        done = library.export("again")
    assert done.vectors.read_bytes() == Path("out/vectors/vectors.npy").read_bytes()
    assert done.table.read_bytes() == Path("out/vectors/images.csv").read_bytes()
    assert sorted(path.name for path in Path("again").iterdir()) == ["images.csv", "vectors.npy"]


def test_exported_dates_are_of_one_form(home: Path) -> None:
    """A column of dates, for programs that take one form or none."""
    dates = {"zone": ("2023:06:01 12:30:00", "+02:00"), "plain": ("1999:12:31 23:59:59", None)}
    for seed, (name, (taken, offset)) in enumerate(dates.items()):
        exif = Image.Exif()
        exif.get_ifd(0x8769).update({0x9003: taken} | ({0x9011: offset} if offset else {}))
        with Image.open(paint(home / f"{name}.png", "red", seed)) as picture:
            (home / "photos").mkdir(exist_ok=True)
            picture.save(home / f"photos/{name}.jpg", exif=exif)
    paint(home / "photos/none.png", "red", 9)
    with Library.open("library") as library:
        library.index("photos", workers=0)
        library.export("out")
    with open("out/images.csv", encoding="utf-8", newline="") as file:
        said = {Path(row["path"]).stem: row for row in csv.DictReader(file)}
    assert {name: (row["taken_at"], row["utc_offset"]) for name, row in said.items()} == {
        "zone": ("2023-06-01T12:30:00", "+02:00"),
        "plain": ("1999-12-31T23:59:59", ""),
        "none": ("", ""),
    }
