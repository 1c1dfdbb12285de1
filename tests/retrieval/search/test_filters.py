"""Filters: each means what it says, and a filtered search finds what brute force finds."""

import math
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval.catalog import roots, writing
from retrieval.catalog.conditions import kilometres
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import chosen, first_in, selected
from retrieval.errors import InvalidQuery, InvalidValue, PathNotFound
from retrieval.filters import FIELDS, NAMES, Filters, Moment, first_moment, written
from retrieval.locate import Place
from retrieval.records import FileState, Image, NewImage, Shot, Vectors
from retrieval.search.parse import parse
from retrieval.vectors import file_store, index_file, scan
from retrieval.vectors.milvus import store
from retrieval.vectors.nearest import Searcher
from retrieval.vectors.opening import choose
from tests.retrieval import postgres

MUNICH, PARIS, FIJI = (48.137, 11.575), (48.857, 2.352), (-17.7, 178.1)
DIM, COUNT = 16, 120


class Album:
    """A catalog of pictures with every combination of facts, and what is in it."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.catalog = Catalog.open(place, create=True)
        self.model = writing.adopt_model(self.catalog, "random", "d" * 64, DIM, "fp32")
        root = roots.place_root(self.catalog, folder / "pictures", True)
        generator = np.random.default_rng(0)
        vectors = generator.standard_normal((COUNT, DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        digests = [number.to_bytes(16, "big") for number in range(COUNT)]
        for half in (slice(0, 80), slice(80, COUNT)):  # the second half is the index file's tail
            numbers = range(COUNT)[half]
            files = [state(root.id, n, digests[n]) for n in numbers]
            images = [new_image(n, digests[n]) for n in numbers]
            of = {digests[n]: vectors[n] for n in numbers}
            writing.record(self.catalog, files, images, Vectors(self.model.id, of))
            if half.start == 0:
                index_file.rebuild(self.catalog, self.model)
        self.images = self.catalog.images.by_id(range(1, COUNT + 1))
        self.vectors = {
            id: self.catalog.embeddings.vector(self.model.id, id) for id in range(1, COUNT + 1)
        }  # as rounded
        self.query = vectors[:1]
        self.searcher = Searcher(self.catalog)

    def keep_in(self, milvus: str) -> None:
        """Search in a Milvus from now on."""
        choose(self.catalog, milvus)
        self.searcher.store(self.model).refresh()

    def best(self, filters: Filters, limit: int) -> list[int]:
        """By brute force."""
        fit = [id for id, image in self.images.items() if fits(image, filters)]
        return sorted(fit, key=lambda id: (-float(self.query[0] @ self.vectors[id]), id))[:limit]


def state(root_id: int, n: int, digest: bytes) -> FileState:
    folder = ("holiday/", "work/", "work/holiday/", "")[n % 4]
    modified = datetime(2019 + n % 7, 1 + n % 12, 5).timestamp()
    return FileState(root_id, f"{folder}{n:03}.jpg".encode(), 1, int(modified * 1e9), digest, None)


def new_image(n: int, digest: bytes) -> NewImage:
    taken = datetime(2020 + n % 5, 1 + n % 12, 1 + n % 28, n % 24) if n % 3 else None
    stamp = taken and taken.isoformat() + ("+02:00" if n % 2 else "")
    camera = (None, "Google Pixel 7", "Canon EOS R5", "Apple iPhone 14 Pro")[n % 4]
    where = (MUNICH, PARIS, FIJI, (None, None))[n % 4]
    width, height = ((400, 300), (300, 400), (300, 300), (4000, 3000))[n // 3 % 4]
    format = ("JPEG", "MPO", "PNG", "HEIF")[n // 5 % 4]
    shot = Shot(camera=camera, latitude=where[0], longitude=where[1]) if n % 7 else None
    return NewImage(digest, width, height, format, stamp, shot)


def fits(image: Image, filters: Filters) -> bool:
    """The same by hand, once more."""
    shot = image.shot or Shot()
    tests = [
        filters.folder is None or any(f"/{filters.folder}/" in str(p) for p in image.paths),
        filters.after is None or image.date >= first_moment(filters.after),
        filters.before is None or image.date < first_moment(filters.before),
        filters.camera is None
        or (
            shot.camera is not None
            and all(word in shot.camera.lower() for word in filters.camera.lower().split())
        ),
        filters.near is None
        or (
            shot.latitude is not None
            and shot.longitude is not None
            and kilometres(shot.latitude, shot.longitude, *filters.near[:2]) <= filters.near[2]
        ),
        filters.min_size is None
        or (image.width >= filters.min_size[0] and image.height >= filters.min_size[1]),
        filters.format is None
        or image.format in {"jpeg": ("JPEG", "MPO"), "heic": ("HEIF",)}[filters.format],
        filters.orientation is None
        or {"landscape": 1, "portrait": -1, "square": 0}[filters.orientation]
        == (image.width > image.height) - (image.width < image.height),
    ]
    return all(tests)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def album(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Album]:
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("album")))
    (folder / "pictures").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        is_file = request.param == "sqlite"
        album = Album(folder / "library" if is_file else postgres.new_place(), folder)
        patch.setattr(file_store, "SMALL_FILE_BYTES", 0)  # no index file is too small to be used
        with closing(album.catalog):
            yield album


@pytest.fixture(scope="module")
def milvus_album(tmp_path_factory: pytest.TempPathFactory, milvus: str) -> Iterator[Album]:
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("milvus_album")))
    (folder / "pictures").mkdir()
    album = Album(folder / "library", folder)
    album.keep_in(milvus)
    with closing(album.catalog), closing(album.searcher), pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "MAX_LISTED", 10)  # ids: those of more pictures go to Milvus
        patch.setattr(scan, "FEW", 0)
        patch.setattr(store, "MAX_SCANNED", 0)  # nothing is answered by the catalog instead
        yield album


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


dates = st.builds(
    "{:04}-{:02}".format, st.integers(2018, 2026), st.integers(1, 12)
) | st.sampled_from(
    ["2021", "2022-02-03", "2023-05-06T11:00", date(2022, 1, 1), datetime(2021, 7, 8, 9)]
)
places = st.builds(
    lambda place, km: (*place, km),
    st.sampled_from([MUNICH, PARIS, FIJI]),
    st.sampled_from([1, 700]),
)


def filters_between(after: Moment | None, before: Moment | None, **others: Any) -> Filters:
    """Filters with the earlier date first: others are refused."""
    both = sorted(filter(None, (after, before)), key=first_moment)
    if len(both) == 2 and first_moment(both[0]) < first_moment(both[1]):
        after, before = both
    elif len(both) == 2:
        before = None
    return Filters(after=after, before=before, **others)


filters_of_any_kind = st.builds(
    filters_between,
    folder=maybe(st.sampled_from(["holiday", "work", "work/holiday"])),
    after=maybe(dates),
    before=maybe(dates),
    camera=maybe(st.sampled_from(["pixel", "canon r5", "APPLE", "nobody"])),
    near=maybe(places),
    min_size=maybe(st.sampled_from([(0, 0), (301, 0), (300, 400), (4000, 3000), (9999, 1)])),
    format=maybe(st.sampled_from(["jpeg", "heic"])),
    orientation=maybe(st.sampled_from(["landscape", "portrait", "square"])),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filters_of_any_kind, st.sampled_from([1, 5, 1000]))
def test_a_filtered_search_equals_brute_force(album: Album, filters: Filters, limit: int) -> None:
    allowed = selected(album.catalog, filters)
    [hits] = album.searcher.search(album.model, album.query, limit, allowed)
    assert [hit.image.id for hit in hits] == album.best(filters, limit)
    if allowed is not None:
        assert album.searcher.count(album.model, allowed, 1000) == len(album.best(filters, COUNT))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filters_of_any_kind, st.sampled_from([1, 5, 1000]))
def test_a_filtered_search_in_milvus_equals_brute_force(
    milvus_album: Album, filters: Filters, limit: int
) -> None:
    test_a_filtered_search_equals_brute_force.hypothesis.inner_test(  # type: ignore[attr-defined]
        milvus_album, filters, limit
    )


@pytest.mark.parametrize("name", list(FIELDS))
def test_each_alone_finds_some_and_not_all(album: Album, name: str) -> None:
    value = {
        "in": "holiday",
        "after": "2022-03",
        "before": "2022-03",
        "camera": "pixel",
        "near": "48,11.5,50",
        "min-size": "350x10",
        "format": ".JPG",
        "orientation": "portrait",
    }[name]
    ids = chosen(album.catalog, written(name, value))
    assert ids is not None and 0 < len(ids) < COUNT and (np.diff(ids) > 0).all()


def test_a_day_has_the_clock_of_its_place(tmp_path: Path, album: Album) -> None:
    one = next(i for i in album.images.values() if i.taken_at and i.taken_at.utcoffset())
    assert one.taken_at
    day = one.taken_at.date()
    within = Filters(after=day, before=datetime.combine(day, datetime.max.time()))
    ids = chosen(album.catalog, within)
    assert ids is not None and one.id in ids


def test_folders_by_their_path_or_the_end_of_it(album: Album) -> None:
    pictures = album.catalog.roots()[0].path
    by_path = chosen(album.catalog, Filters(pictures / "work/holiday"))
    for name in ("work/holiday", "WORK/Holiday/", f"{pictures.name}/work/holiday"):
        by_name = chosen(album.catalog, Filters(name))
        assert by_name is not None and np.array_equal(by_path, by_name)  # type: ignore[arg-type]
    everything = chosen(album.catalog, Filters(pictures.name))
    assert everything is not None and len(everything) == COUNT
    for nowhere in ("oliday", "nowhere", Path("holiday")):
        with pytest.raises(PathNotFound, match="not in the library"):
            chosen(album.catalog, Filters(nowhere))
    copies = [pictures / "a.jpg", pictures / "work/holiday/b.jpg"]
    assert first_in(copies, "Holiday") == first_in(copies, pictures / "work") == copies[1]
    assert first_in(copies, "elsewhere") == copies[0]


def test_kilometres() -> None:
    assert kilometres(*MUNICH, *PARIS) == pytest.approx(684, abs=2)
    assert kilometres(0, 179.9, 0, -179.9) == pytest.approx(22.2, abs=0.1)  # across the date line
    assert kilometres(90, 0, 90, 120) == pytest.approx(0, abs=1e-6)
    assert kilometres(0, 0, 0, 180) == pytest.approx(6371 * math.pi)


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ("2023", datetime(2023, 1, 1)),
        (" 2023-06 ", datetime(2023, 6, 1)),
        ("2023-6-2", datetime(2023, 6, 2)),
        ("2023-06-02T13:14", datetime(2023, 6, 2, 13, 14)),
        (date(2023, 6, 2), datetime(2023, 6, 2)),
    ],
)
def test_dates_in_every_form(given: Any, first: datetime) -> None:
    assert first_moment(given) == first


@pytest.mark.parametrize(
    "wrong",
    [
        {"after": "yesterday"},
        {"before": "2023-02-30"},
        {"after": "0000"},
        {"near": (91.0, 0.0, 1.0)},
        {"near": (0.0, 0.0, math.nan)},
        {"min_size": (-1, 5)},
        {"orientation": "up"},
        {"orientation": 3},
        {"folder": 3},
        {"after": 2023},
        {"camera": 3},
        {"camera": " "},
        {"near": 3},
        {"near": (1.0, 2.0)},
        {"near": ("48", 2, 3)},
        {"min_size": 3},
        {"min_size": ("a", "b")},
        {"min_size": (1, 2, 3)},
        {"format": 3},
        {"after": "2024", "before": "2023"},
        {"after": "2023-06-02", "before": "2023-06-02"},
        {"after": date(2024, 1, 1), "before": datetime(2023, 12, 31)},
    ],
)
def test_what_makes_no_sense_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match="not|empty|no date|is no|format"):
        Filters(**wrong)


def test_dates_that_exclude_every_picture_are_refused_wherever_they_meet() -> None:
    with pytest.raises(InvalidQuery, match="before 2023; swap the two"):
        Filters(after="2024").with_(Filters(before="2023"))
    with pytest.raises(InvalidQuery, match="before excludes its date"):
        parse("a dog after:2023 before:2023")
    with pytest.raises(InvalidQuery, match="no date is on or after 2024 and before 2023"):
        parse("a dog after:2024").among(Filters(before="2023"))
    assert Filters(after="2023-12-31", before="2024")


def test_two_filters_together() -> None:
    both = Filters(after="2023").with_(Filters(camera="pixel", after="2023"))
    assert both == Filters(after="2023", camera="pixel") and both and not Filters()
    with pytest.raises(InvalidQuery, match="after is given twice"):
        both.with_(Filters(after="2024"))
    assert set(NAMES) == set(Filters.__slots__)


def test_odd_years_are_no_error(album: Album) -> None:
    for year, all_of_them in (("0001", True), ("9999", False)):
        ids = chosen(album.catalog, replace(Filters(), after=year))
        assert ids is not None and len(ids) == (COUNT if all_of_them else 0)
