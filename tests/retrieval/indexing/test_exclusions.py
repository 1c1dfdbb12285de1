"""What a root leaves out: globs and forgotten places, remembered, translated, taken in again."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.catalog import roots
from retrieval.catalog.reading import Catalog
from retrieval.exclusions import Exclusions, Glob, is_excluded, is_within, of, read
from retrieval.library import Library
from tests.retrieval.cli.test_cli import ok
from tests.retrieval.conftest import paint as paint_spot
from tests.retrieval.small import as_counts, paint, paint_many, run_index

SPECIAL = "raw [2019]*"  # a folder, and as a glob something else


@pytest.fixture
def photos(base: Path) -> Path:
    paint_many(base / "p", 2)
    paint_many(base / "p" / SPECIAL / "deep", 2, first=10)
    paint_many(base / "p" / "raw 2", 2, first=20)
    paint(base / "p" / "30.jpg", 30)
    return base / "p"


def excluded(catalog: Catalog) -> dict[str, list[str]]:
    return {root.path.name: root.exclusions.described() for root in catalog.roots()}


# -- globs ---------------------------------------------------------------------------------------


def test_globs_are_remembered_until_none(catalog: Catalog, photos: Path) -> None:
    assert run_index(catalog, [photos], exclude=["*.jpg", "raw 2"]).new == 4
    assert as_counts(run_index(catalog, [])) == {"unchanged": 4}
    assert as_counts(run_index(catalog, [photos], exclude=["deep"])) == {
        "removed": 2,
        "unchanged": 2,
    }
    assert excluded(catalog) == {"p": ["*.jpg", "raw 2", "deep"]}
    assert run_index(catalog, [], exclude=["none", "*.jpg"]).new == 4
    assert excluded(catalog) == {"p": ["*.jpg"]}
    assert run_index(catalog, [photos], exclude=["none"]).new == 1
    assert excluded(catalog) == {"p": []}


def test_globs_hold_in_the_folder_that_they_were_given_for(catalog: Catalog, base: Path) -> None:
    for folder in ("a", "a/in", "b"):
        paint(base / "p" / folder / "1.jpg", 1)
    run_index(catalog, [base / "p"])
    assert run_index(catalog, [base / "p/a"], exclude=["in/*"]).removed == 1
    assert as_counts(run_index(catalog, [])) == {"unchanged": 2}
    assert run_index(catalog, [base / "p/a"], exclude=["*.jpg"]).removed == 1
    assert as_counts(run_index(catalog, [])) == {"unchanged": 1}
    assert excluded(catalog) == {"p": ["a/in/*", "a/**/*.jpg"]}
    assert run_index(catalog, [base / "p/a"], exclude=["none"]).copied == 2


def test_a_root_that_takes_in_another_keeps_what_that_left_out(
    catalog: Catalog, photos: Path
) -> None:
    run_index(catalog, [photos], exclude=["*.jpg", "raw 2/*"])
    roots.forget(catalog, photos / SPECIAL)
    paint(photos.parent / "all.jpg", 99)
    (photos.parent / "q").mkdir()
    above = photos.parent / "above"
    above.mkdir()
    roots.relocate(catalog, photos, photos)  # the same place: nothing changes
    photos.rename(above / "p")
    assert roots.relocate(catalog, photos, above / "p") == 2
    paint(above / "1.jpg", 98)
    assert run_index(catalog, [above]).new == 1
    assert excluded(catalog) == {"above": ["p/**/*.jpg", "p/raw 2/*", f"p/{SPECIAL}"]}
    assert as_counts(run_index(catalog, [])) == {"unchanged": 3}


# -- forgotten places ----------------------------------------------------------------------------


def test_a_forgotten_folder_stays_forgotten_until_it_is_named(
    catalog: Catalog, photos: Path
) -> None:
    run_index(catalog, [photos])
    assert roots.forget(catalog, photos / SPECIAL) == 2
    assert excluded(catalog) == {"p": [SPECIAL]}
    for paths in ([photos], [], [photos / "raw 2"]):
        summary = run_index(catalog, paths)
        assert summary.new == summary.copied == summary.removed == 0
    assert catalog.counts().files == 5  # "raw 2", which the name would match as a glob, is there
    assert run_index(catalog, [photos / SPECIAL]).new == 2
    assert excluded(catalog) == {"p": []}
    assert as_counts(run_index(catalog, [])) == {"unchanged": 7}


def test_a_forgotten_file_stays_forgotten(catalog: Catalog, photos: Path) -> None:
    run_index(catalog, [photos])
    assert roots.forget(catalog, photos / "30.jpg") == 1
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 6}
    assert run_index(catalog, [photos / "30.jpg"]).new == 1
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 7}


def test_a_part_of_what_was_forgotten_or_excluded_can_be_taken_in(
    catalog: Catalog, photos: Path
) -> None:
    paint_many(photos / SPECIAL / "deep/er", 1, first=40)
    paint_many(photos / SPECIAL / "other", 1, first=50)
    run_index(catalog, [photos])
    roots.forget(catalog, photos / SPECIAL)
    assert run_index(catalog, [photos / SPECIAL / "deep"]).new == 3
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 8}
    assert excluded(catalog) == {"p": [SPECIAL, f"!{SPECIAL}/deep"]}
    roots.forget(catalog, photos / SPECIAL / "deep/er")
    assert as_counts(run_index(catalog, [])) == {"unchanged": 7}
    assert run_index(catalog, [photos], exclude=["raw 2"]).removed == 2
    assert run_index(catalog, [photos / "raw 2"]).new == 2
    assert as_counts(run_index(catalog, [])) == {"unchanged": 7}
    assert run_index(catalog, [photos], exclude=["none"]).new == 2
    assert excluded(catalog) == {"p": []}


def test_what_is_gone_or_was_named_alone_is_forgotten_and_no_more(
    catalog: Catalog, photos: Path
) -> None:
    run_index(catalog, [photos])
    for path in (photos / "raw 2").iterdir():
        path.unlink()
    (photos / "raw 2").rmdir()
    roots.forget(catalog, photos / "raw 2")
    assert excluded(catalog) == {"p": []}
    roots.forget(catalog, photos)
    run_index(catalog, [photos / "000.png"])
    roots.forget(catalog, photos / "000.png")
    assert catalog.roots() == []


def test_a_part_that_moves_takes_along_what_it_leaves_out(catalog: Catalog, photos: Path) -> None:
    base = photos.parent
    run_index(catalog, [photos], exclude=["*.jpg"])
    run_index(catalog, [photos / SPECIAL], exclude=["x/*.png"])
    roots.forget(catalog, photos / SPECIAL / "deep/010.png")
    (photos / SPECIAL).rename(base / "new")
    paint(base / "new/1.jpg", 60)
    paint(base / "new/x/1.png", 61)
    roots.relocate(catalog, photos / SPECIAL, base / "new")
    assert as_counts(run_index(catalog, [])) == {"unchanged": 5}
    assert excluded(catalog)["new"] == ["*.jpg", "x/*.png", "deep/010.png"]
    assert excluded(catalog)["p"] == ["*.jpg"]
    (base / "new").rename(photos / "back")
    roots.relocate(catalog, base / "new", photos / "back")
    assert as_counts(run_index(catalog, [])) == {"unchanged": 5}
    (photos / "back").rename(photos / "inside")
    roots.relocate(catalog, photos / "back", photos / "inside")
    assert as_counts(run_index(catalog, [])) == {"unchanged": 5}


# -- as it is shown and kept ---------------------------------------------------------------------


def test_status_shows_what_is_left_out(home: Path) -> None:
    for seed, name in enumerate(("a/1.png", "b/2.png", "c.jpg")):
        paint_spot(home / "p" / name, "red", seed)
    ok("index", "p", "--exclude", "*.jpg", "--workers", 0, "--library", "lib")
    ok("forget", "p/b", "--library", "lib")
    assert "(1 file; excluded: *.jpg, b)" in ok("status", "--library", "lib")
    held = json.loads(ok("status", "--json", "--library", "lib"))
    assert [root["excluded"] for root in held["roots"]] == [["*.jpg", "b"]]
    with Library.open("lib") as library:
        assert library.status().roots[0].excluded == ("*.jpg", "b")
        assert library.index("p", exclude=["none"], workers=0).new == 2


names = st.sampled_from([b"a", b"b", b"\xff", b"[*]", "é".encode()])
places = st.lists(names, min_size=1, max_size=3).map(b"/".join)
rules = st.builds(
    Exclusions,
    st.lists(st.builds(Glob, st.sampled_from(["a", "*b", "a/b", "[*]"]), places | st.just(b"")))
    .map(tuple),
    st.lists(places).map(tuple),
    st.lists(places).map(tuple),
)  # fmt: skip


@given(rules)
def test_a_catalog_keeps_them_as_they_are(held: Exclusions) -> None:
    assert read(held.stored()) == held


@pytest.mark.parametrize("stored", ["[", "{}", "3", "[3]", '[{"path": 3}]', '["a", null]', None])
def test_what_no_version_wrote_leaves_out_nothing(stored: str | None) -> None:
    assert not read(stored)


@given(rules, places, places)
def test_rules_follow_the_files_of_a_root_that_another_takes_in(
    held: Exclusions, path: bytes, inside: bytes
) -> None:
    moved = held.moved(b"", inside)
    before = is_excluded(path, held.excluded())
    assert is_excluded(inside + b"/" + path, moved.excluded()) == before
    assert not is_excluded(b"elsewhere/" + path, moved.excluded())


@given(rules, places, places)
def test_what_is_forgotten_is_left_out_and_what_is_named_is_not(
    held: Exclusions, path: bytes, other: bytes
) -> None:
    forgotten = held.with_forgotten(path).excluded()
    assert is_excluded(path, forgotten)
    if not is_within(other, path) and not is_within(path, other):
        assert is_excluded(other, forgotten) == is_excluded(other, held.excluded())
    assert not is_excluded(path, held.with_forgotten(path).with_named(path).excluded())
    assert not is_excluded(path, held.with_named(path).excluded())


def test_one_form_of_a_name_excludes_both() -> None:
    for pattern in ("Mu\u0308ller", "M\u00fcller"):
        for name in ("Mu\u0308ller", "M\u00fcller"):
            assert of([pattern]).excluded()(name.encode(), b"")
