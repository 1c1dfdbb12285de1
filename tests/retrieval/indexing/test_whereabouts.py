"""Folders that moved: what is said of them, and what a link in their place means."""

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.catalog import roots
from retrieval.catalog.reading import Catalog
from retrieval.errors import PathNotFound
from retrieval.indexing.targets import named
from retrieval.library import Library
from retrieval.records import Summary
from tests.retrieval.cli.test_cli import ok
from tests.retrieval.small import as_counts, contents, paint_many, run_index


@pytest.fixture
def old(base: Path) -> Path:
    paint_many(base / "it's old" / "2023", 4)
    paint_many(base / "it's old", 2, first=10)
    return base / "it's old"


@pytest.fixture
def catalog(base: Path, old: Path) -> Iterator[Catalog]:
    """That knows `old`."""
    with closing(Catalog.open(base / "library", create=True)) as opened:
        run_index(opened, [old])
        yield opened


def advice(summary: Summary) -> list[list[str]]:
    """The commands that the notes name, as a shell would read them."""
    said = [part for note in summary.problems for part in note.split("`")[1::2]]
    return [shlex.split(command) for command in said]


# -- moved, and indexed there --------------------------------------------------------------------


@pytest.mark.parametrize("goal", ["new", "deep/er/new"])
def test_pictures_that_reappear_are_told_of(
    catalog: Catalog, base: Path, old: Path, goal: str
) -> None:
    new = base / goal
    new.parent.mkdir(exist_ok=True, parents=True)
    old.rename(new)
    summary = run_index(catalog, [base / goal.partition("/")[0]])
    [note] = summary.problems
    assert note.startswith(f"6 of the 6 pictures of {old} (now missing) are in {new}; ")
    assert advice(summary) == [["retrieve", "relocate", str(old), str(new)]]
    assert roots.relocate(catalog, old, new) == 6
    assert as_counts(run_index(catalog, [])) == {"unchanged": 6}
    assert len(contents(catalog)) == 6 and len(catalog.roots()) == 1


def test_pictures_that_left_an_empty_folder_are_told_of(
    catalog: Catalog, base: Path, old: Path
) -> None:
    shutil.copytree(old, base / "new")
    shutil.rmtree(old)
    old.mkdir()
    summary = run_index(catalog, [base / "new", old])  # once, not as a missing folder as well
    [note] = summary.problems
    assert "(now empty)" in note and f"are in {base / 'new'};" in note


def test_some_that_reappear_are_counted_and_a_few_are_not_told_of(
    catalog: Catalog, base: Path, old: Path
) -> None:
    old.rename(base / "away")
    shutil.copytree(base / "away" / "2023", base / "new" / "2023")
    [note] = run_index(catalog, [base / "new"]).problems
    assert note.startswith(f"4 of the 6 pictures of {old} ")
    roots.forget(catalog, base / "new")
    (base / "few").mkdir()
    shutil.copy(base / "away" / "010.png", base / "few" / "010.png")
    assert run_index(catalog, [base / "few"]).problems == ()


def test_a_part_of_a_root_that_moved_out_of_it_is_told_of(
    catalog: Catalog, base: Path, old: Path
) -> None:
    (old / "2023").rename(base / "archive")
    summary = run_index(catalog, [base / "archive"])
    assert advice(summary) == [["retrieve", "relocate", str(old / "2023"), str(base / "archive")]]
    roots.relocate(catalog, old / "2023", base / "archive")
    assert as_counts(run_index(catalog, [])) == {"unchanged": 6}


def test_copies_of_what_is_still_there_are_told_of_nowhere(
    catalog: Catalog, base: Path, old: Path
) -> None:
    shutil.copytree(old, base / "copy")
    assert run_index(catalog, [base / "copy"]).problems == ()
    old.rename(base / "unmounted")  # a backup that was known before says nothing about a move
    assert run_index(catalog, [base / "copy"]).problems == ()
    [note] = run_index(catalog, []).problems
    assert f"If it moved to {base / 'copy'}, which has the same pictures, run" in note
    assert advice(run_index(catalog, []))[0] == ["retrieve", "relocate", str(old), f"{base}/copy"]


# -- missing -------------------------------------------------------------------------------------


def test_a_missing_folder_is_to_be_relocated_rather_than_forgotten(
    catalog: Catalog, base: Path, old: Path
) -> None:
    old.rename(base / "elsewhere")
    summary = run_index(catalog, [])
    assert advice(summary) == [
        ["retrieve", "relocate", str(old), "NEW"],
        ["retrieve", "forget", str(old)],
    ]
    with Library.open(catalog.place) as library:
        assert named(library.catalog, [old, old / "2023", base])
        with pytest.raises(PathNotFound):
            library.index(base / "never")


def test_a_missing_folder_that_is_named_is_no_error(home: Path) -> None:
    paint_many(home / "old", 2)
    ok("index", "--workers", 0, "old", "--library", "lib")
    (home / "old").rename(home / "new")
    said = ok("index", "old", "--library", "lib")
    assert "its 2 known files are kept" in said
    assert said.index("retrieve relocate") < said.index("retrieve forget")


# -- a link in its place -------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["it's old", "new", None])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_link_in_place_of_a_root_is_followed(
    catalog: Catalog, base: Path, old: Path, named: str | None, is_known: bool
) -> None:
    new = base / "new"
    old.rename(new)
    if is_known:  # twice, as an older version did it
        run_index(catalog, [new])
    os.symlink(new, old)
    summary = run_index(catalog, [base / named] if named else [])
    assert as_counts(summary) == {"unchanged": 6}
    [note] = summary.problems
    assert f"{old} is now a link to {new};" in note
    assert len(contents(catalog)) == 6
    assert [root.path for root in catalog.roots()] == [new]
    assert run_index(catalog, [old]).problems == ()


def test_a_link_to_a_part_of_another_root_is_followed(
    catalog: Catalog, base: Path, old: Path
) -> None:
    paint_many(base / "all" / "b", 1, first=50)
    run_index(catalog, [base / "all"])
    old.rename(base / "all" / "a")
    os.symlink(base / "all" / "a", old)
    assert as_counts(run_index(catalog, [old])) == {"unchanged": 6}
    assert [root.path for root in catalog.roots()] == [base / "all"]
    assert as_counts(run_index(catalog, [])) == {"unchanged": 7}


def test_a_link_that_leads_nowhere_changes_nothing(catalog: Catalog, base: Path, old: Path) -> None:
    old.rename(base / "away")
    os.symlink(base / "unmounted", old)
    held = contents(catalog)
    [note] = run_index(catalog, []).problems
    assert "missing or empty" in note and contents(catalog) == held
