"""A raw file and its JPEG, a Live Photo, sidecars: one item, told by name and time."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import update

from retrieval.catalog import browse
from retrieval.catalog.reading import Catalog
from retrieval.catalog.schema import ImageRow
from retrieval.collection import duplicates
from retrieval.filters import Filters
from retrieval.indexing.companions.pairs import pairs
from retrieval.records import Companion
from retrieval.records import Image as Known
from retrieval.search.companions import others, paired
from retrieval.vectors.nearest import Searcher
from tests.retrieval.postgres import both_databases
from tests.retrieval.small import DIM, paint, run_index

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmp:Rating="{rating}"
 exif:DateTimeOriginal="2015-01-02T03:04:05" exif:GPSLatitude="48,8.22N"
 exif:GPSLongitude="11,34.53E"><dc:subject><rdf:Bag><rdf:li>tree</rdf:li><rdf:li>Müller</rdf:li>
 </rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""
TAKEOUT = {
    "title": "a.jpg",
    "description": "Our garden",
    "photoTakenTime": {"timestamp": "1600000000"},
    "geoData": {"latitude": 48.137, "longitude": 11.5755},
    "people": [{"name": "Ann"}],
}
PICTURES = (
    *(b"IMG_1.JPG", b"IMG_1.NEF", b"IMG_2.HEIC", b"PXL_1.MP.jpg", b"a(1).jpg", b"a.jpg"),
    *(b"lone.NEF", b"x" * 46 + b"yy.jpg", b"x" * 46 + b"y(1).jpg"),
)


@pytest.mark.parametrize(
    ("name", "main", "kind"),
    [
        (b"IMG_1.xmp", b"IMG_1.JPG", "sidecar"),
        (b"IMG_1.NEF.xmp", b"IMG_1.NEF", "sidecar"),
        (b"img_1.thm", b"IMG_1.JPG", "thumbnail"),
        (b"lone.THM", b"lone.NEF", "thumbnail"),
        (b"IMG_2.MOV", b"IMG_2.HEIC", "live"),
        (b"PXL_1.MP", b"PXL_1.MP.jpg", "live"),
        (b"IMG_2.AAE", b"IMG_2.HEIC", "edits"),
        (b"IMG_O2.aae", b"IMG_2.HEIC", "edits"),
        (b"a.jpg.json", b"a.jpg", "takeout"),
        (b"a.json", b"a.jpg", "takeout"),
        (b"a.jpg(1).json", b"a(1).jpg", "takeout"),
        (b"a.jpg.supplemental-metadata.json", b"a.jpg", "takeout"),
        (b"a.jpg.supplemental-metadata(1).json", b"a(1).jpg", "takeout"),
        (b"a.jpg.supplem.json", b"a.jpg", "takeout"),
        (b"x" * 46 + b".json", b"x" * 46 + b"yy.jpg", "takeout"),
        (b"x" * 46 + b"(1).json", b"x" * 46 + b"y(1).jpg", "takeout"),
        (b"x" * 46 + b"(2).json", None, None),
        (b"._IMG_1.JPG", b"IMG_1.JPG", "finder"),
        (b"a.jpg_original", b"a.jpg", "backup"),
        (b"lone.MOV", None, None),
        (b"package.json", None, None),
        (b"IMG_3.xmp", None, None),
        (b"._notes", None, None),
    ],
)
def test_companions_are_told_by_their_names(
    name: bytes, main: bytes | None, kind: str | None
) -> None:
    found = {pair.name: pair for pair in pairs(PICTURES, [name])}
    assert found.pop(b"IMG_1.NEF")[1:] == (b"IMG_1.JPG", "raw")
    assert [tuple(pair) for pair in found.values()] == ([(name, main, kind)] if main else [])


def test_a_film_of_another_day_is_no_live_photo(catalog: Catalog, base: Path) -> None:
    paint(base / "p/IMG_1.jpg", 1)
    film = base / "p/IMG_1.MOV"
    film.write_bytes(b"film")
    assert run_index(catalog, [base / "p"]).companions == 1
    os.utime(film, (1_000_000_000, 1_000_000_000))
    summary = run_index(catalog, [])
    assert (summary.companions, summary.failed) == (0, 1)  # it is read for itself
    assert catalog.other_files.companions(1) == []


# -- facts ---------------------------------------------------------------------------------------


def facts(catalog: Catalog, path: Path) -> tuple[Known, set[tuple[str, str, str]]]:
    id = catalog.places.image_at(path)
    assert id is not None
    return catalog.images.by_id([id])[id], {tuple(each) for each in catalog.images.wordings(id)}


def test_a_takeout_file_gives_what_the_picture_lacks(catalog: Catalog, base: Path) -> None:
    path = paint(base / "p/a.jpg", 1)
    run_index(catalog, [base / "p"])
    assert facts(catalog, path)[0].taken_from == "file"
    (base / "p/a.jpg.json").write_text(json.dumps(TAKEOUT))  # the second of Google's archives
    assert run_index(catalog, []).encoded == 0
    image, said = facts(catalog, path)
    assert image.taken_at and image.taken_at.isoformat() == "2020-09-13T12:26:40+00:00"
    assert image.taken_from == "takeout" and image.shot
    assert (image.shot.latitude, image.shot.longitude) == (48.137, 11.5755)
    assert said == {("caption", "Our garden", "takeout"), ("person", "Ann", "takeout")}


@both_databases
def test_a_sidecar_that_changes_is_read_again(catalog: Catalog, base: Path) -> None:
    path, sidecar = paint(base / "p/IMG_20161224_101530.jpg", 1), base / "p/IMG_20161224_101530.xmp"
    sidecar.write_text(XMP.format(rating=3))
    run_index(catalog, [base / "p"])
    image, said = facts(catalog, path)
    assert (image.rating, image.taken_from) == (3, "sidecar")
    assert image.taken_at and image.taken_at.isoformat() == "2015-01-02T03:04:05"
    assert image.shot and image.shot.latitude == pytest.approx(48.137)
    assert {text for _, text, _ in said} == {"tree", "Müller"}
    sidecar.write_text(XMP.format(rating=5).replace("tree", "forest"))
    assert run_index(catalog, [path]).encoded == 0
    image, said = facts(catalog, path)
    assert image.rating == 5 and {text for _, text, _ in said} == {"forest", "Müller"}
    sidecar.unlink()
    run_index(catalog, [])
    image, said = facts(catalog, path)
    assert (image.rating, image.taken_from, said) == (None, "name", set())
    assert image.shot and image.shot.latitude is None


def test_a_picture_that_changes_keeps_its_sidecar(catalog: Catalog, base: Path) -> None:
    path = paint(base / "p/a.jpg", 1)
    (base / "p/a.xmp").write_text(XMP.format(rating=2))
    run_index(catalog, [base / "p"])
    paint(path, 2)
    assert run_index(catalog, []).changed == 1
    assert facts(catalog, path)[0].rating == 2


@pytest.mark.parametrize("bad", ["", "<", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "[1]", "{}"])
def test_a_sidecar_of_garbage_is_no_failure(catalog: Catalog, base: Path, bad: str) -> None:
    path = paint(base / "p/a.jpg", 1)
    for end in (".xmp", ".json"):
        path.with_suffix(end).write_text(bad)
    summary = run_index(catalog, [base / "p"])
    assert (summary.new, summary.failed, summary.companions) == (1, 0, 2)
    assert catalog.other_files.due() == []  # not read again until it changes


# -- answers -------------------------------------------------------------------------------------


@pytest.fixture
def shoot(catalog: Catalog, base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Raw files beside JPEGs. Small TIFFs stand for raw files: what matters is the name."""
    from retrieval.decoding import formats
    from retrieval.indexing.companions import ledger

    extensions = formats.picture_extensions() | {b".nef"}
    monkeypatch.setattr(ledger, "picture_extensions", lambda: extensions)
    shoot = base / "shoot"
    for seed in range(3):
        picture = paint(shoot / f"DSC_{seed}.png", seed)
        with Image.open(picture) as image:
            image.save(shoot / f"DSC_{seed}.tif")
        (shoot / f"DSC_{seed}.tif").rename(shoot / f"DSC_{seed}.NEF")
    run_index(catalog, [shoot])
    return shoot


def vectors(catalog: Catalog) -> NDArray[np.float32]:
    return np.ones((1, DIM), np.float32) / np.float32(DIM**0.5)


def test_a_raw_file_and_its_jpeg_are_one_answer(catalog: Catalog, shoot: Path) -> None:
    model = catalog.current_model()
    assert model
    [hits] = Searcher(catalog).search(model, vectors(catalog), 10)
    assert len(hits) == 6
    folded = paired(catalog, hits)
    assert {hit.image.paths[0].suffix for hit in folded} == {".png"} and len(folded) == 3
    lone = [hit for hit in hits if hit.image.paths[0].suffix == ".NEF"]
    assert paired(catalog, lone) == lone  # where a filter leaves the others out
    ids = browse.newest_first(catalog, Filters())
    assert len(ids) == 3 and len(browse.newest_first(catalog, Filters(), pairs=False)) == 6
    assert len(browse.newest_first(catalog, Filters(format="tiff"))) == 3


def test_a_copy_without_a_picture_beside_it_is_an_answer_of_its_own(
    catalog: Catalog, shoot: Path
) -> None:
    model = catalog.current_model()
    assert model
    for folder, names in {"lone": ["DSC_0.NEF"], "both": ["DSC_1.NEF", "DSC_1.png"]}.items():
        (shoot / folder).mkdir()
        for name in names:
            (shoot / folder / name).write_bytes((shoot / name).read_bytes())
    run_index(catalog, [])
    [hits] = Searcher(catalog).search(model, vectors(catalog), 10)
    alone = catalog.places.image_at(shoot / "DSC_0.NEF")
    kept = [hit.image.id for hit in paired(catalog, hits)]
    assert len(kept) == 4 and alone in kept
    assert alone in browse.newest_first(catalog, Filters())
    (shoot / "lone/DSC_0.NEF").unlink()
    run_index(catalog, [])
    assert len(paired(catalog, Searcher(catalog).search(model, vectors(catalog), 10)[0])) == 3


@both_databases
def test_pairs_that_are_renamed_or_parted(catalog: Catalog, shoot: Path) -> None:
    for end in ("NEF", "png"):
        (shoot / f"DSC_0.{end}").rename(shoot / f"Cat.{end}")
    (shoot / "DSC_1.png").unlink()
    run_index(catalog, [])
    assert {(each.path, each.main) for each in catalog.other_files.companions(1)} == {
        (b"Cat.NEF", b"Cat.png"),
        (b"DSC_2.NEF", b"DSC_2.png"),
    }
    assert len(browse.newest_first(catalog, Filters())) == 3
    (shoot / "other").mkdir()
    (shoot / "Cat.png").rename(shoot / "other/Cat.png")
    run_index(catalog, [])
    assert [each.path for each in catalog.other_files.companions(1)] == [b"DSC_2.NEF"]


def test_a_raw_file_is_no_duplicate_of_its_jpeg(catalog: Catalog, shoot: Path) -> None:
    model = catalog.current_model()
    assert model
    assert duplicates.find(catalog, model, 0.99, Filters()) == []
    found = duplicates.find(catalog, model, 0.99, Filters(), pairs=False)
    suffixes = [{match.path.suffix for match in (group.kept, *group.others)} for group in found]
    assert {".png", ".NEF"} in suffixes
    copy = shoot / "copy/DSC_0.NEF"
    copy.parent.mkdir()
    copy.write_bytes((shoot / "DSC_0.NEF").read_bytes())
    run_index(catalog, [])
    [group] = duplicates.find(catalog, model, 0.99, Filters())
    assert {group.kept.path, *(other.path for other in group.others)} == {copy, shoot / "DSC_0.NEF"}


def test_pictures_of_one_name_from_two_times_are_two(catalog: Catalog, shoot: Path) -> None:
    assert len(catalog.other_files.pairs()) == 3
    taken = {"DSC_0.NEF": 0, "DSC_0.png": 2, "DSC_1.NEF": 0, "DSC_1.png": 3}  # seconds
    with catalog.transaction() as connection:
        for name, second in taken.items():
            id = catalog.places.image_at(shoot / name)
            values = {"taken_at": f"2020-01-01T00:00:0{second}"}
            connection.execute(update(ImageRow).where(ImageRow.id == id).values(values))
    names = "DSC_0.NEF", "DSC_2.NEF"  # of the third, no times are known
    assert set(catalog.other_files.pairs()) == {
        catalog.places.image_at(shoot / name) for name in names
    }


@both_databases
def test_a_raw_file_counts_once(catalog: Catalog, shoot: Path) -> None:
    summary = run_index(catalog, [])
    assert (summary.unchanged, summary.companions) == (6, 0)
    held = catalog.other_files.companions(1)
    assert len(held) == 3 and all(each.is_picture and each.kind == "raw" for each in held)
    assert isinstance(held[0], Companion)
    assert catalog.other_files.has_pairs()
    beside = catalog.other_files.of_images(catalog.images.ids().tolist())
    assert beside[shoot / "DSC_0.png"] == [shoot / "DSC_0.NEF"]


def test_similar_pictures_are_not_ones_own_raw_file(catalog: Catalog, shoot: Path) -> None:
    raw, png = (catalog.places.image_at(shoot / f"DSC_0.{end}") for end in ("NEF", "png"))
    assert raw and png

    class Found:
        def __init__(self, id: int) -> None:
            self.image = catalog.images.by_id([id])[id]

    matches = [Found(id) for id in catalog.images.ids().tolist()]
    kept = others(catalog, matches, raw, True)  # type: ignore[arg-type]
    assert {raw, png}.isdisjoint(match.image.id for match in kept) and len(kept) == 4
    assert len(others(catalog, matches, raw, False)) == 5  # type: ignore[arg-type]
