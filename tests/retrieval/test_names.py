"""Names in both forms of Unicode (NFC, NFD), near names, and paths that are none."""

import os
import shutil
import unicodedata
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from retrieval import InvalidQuery, Library, PathNotFound
from retrieval.catalog import roots
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import chosen
from retrieval.cli.base import CommonOptions
from retrieval.cli.completion import folder_names
from retrieval.cli.main import cli
from retrieval.filters import Filters
from retrieval.paths import as_on_disk, relative
from tests.retrieval.cli.test_cli import ok, refused
from tests.retrieval.conftest import paint
from tests.retrieval.small import run_index


def nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


Form = Callable[[str], str]
FORMS = [(nfd, nfc), (nfc, nfd)]  # as it is on disk, and as it is typed


@pytest.fixture
def both(home: Path) -> Path:
    """Two folders whose names differ by form alone, if the file system has such."""
    paint(home / "p" / nfc("Müller") / "1.png", "red", 1)
    paint(home / "p" / nfd("Müller") / "2.png", "blue", 2)
    if len(os.listdir(home / "p")) == 1:
        pytest.skip("this file system has one form of names")
    return home / "p"


@pytest.mark.parametrize(("disk", "typed"), FORMS)
def test_a_name_in_either_form_is_one_name(home: Path, disk: Form, typed: Form) -> None:
    paint(home / disk("Bücher/Zürich") / disk("é.png"), "red", 1)
    paint(home / disk("Bücher") / "other" / "o.png", "blue", 2)
    picture = typed("Bücher/Zürich/é.png")
    assert "2 new" in ok("index", "--workers", 0, typed("Bücher"), "--library", "lib")
    assert "2 unchanged" in ok("index", "--workers", 0, typed("Bücher"), "--library", "lib")
    assert "1 unchanged" in ok("index", "--workers", 0, picture, "--library", "lib")
    inside = ok("search", "red", "--in", typed("zÜrich"), "--paths", "--library", "lib")
    assert len(inside.splitlines()) == 1
    for query in (f"red in:{typed('Zürich')}", f"red in:./{typed('Bücher/Zürich')}"):
        assert len(ok("search", query, "--paths", "--library", "lib").splitlines()) == 1
    assert ok("similar", picture, "--paths", "--library", "lib").splitlines() == [
        str(home / disk("Bücher") / "other" / "o.png")
    ]
    best = ok("search", picture, "-n", 1, "--paths", "--library", "lib").strip()
    assert best == str(home / disk(picture))
    (home / "labels").write_text("red\nblue\n")
    tagged = ok("tag", typed("Bücher/Zürich"), "--labels", "labels", "--library", "lib")
    assert len(tagged.splitlines()) == 2
    shutil.move(home / disk("Bücher"), home / disk("Lesezeichen ä"))
    moved = ok("relocate", typed("Bücher"), typed("Lesezeichen ä"), "--library", "lib")
    assert moved == "relocated 2 files\n"
    forgot = ok("forget", typed("Lesezeichen ä/Zürich"), "--library", "lib")
    assert forgot == "removed 1 file from the library\n"
    assert "1 unchanged" in ok("index", "--workers", 0, "--library", "lib")  # and not found again


@pytest.mark.parametrize(("disk", "typed"), FORMS)
def test_a_folder_that_is_not_there_now_is_known_by_either_form(
    home: Path, disk: Form, typed: Form
) -> None:
    paint(home / disk("Bücher/Zürich") / "1.png", "red", 1)
    with Library.open(home / "lib") as library:
        library.index(home / typed("Bücher"), workers=0)
        (home / disk("Bücher")).rename(home / "away")
        found = library.search("red", folder=home / typed("Bücher/Zürich"))
        assert len(found) == 1
        assert library.index(home / typed("Bücher"), workers=0).problems
        assert library.forget(home / typed("Bücher")) == 1


def test_two_folders_whose_names_differ_by_form_alone_can_both_be_reached(
    home: Path, both: Path
) -> None:
    with closing(Catalog.open(home / "lib", create=True)) as catalog:
        run_index(catalog, [both])

        def names(folder: str | Path) -> set[str]:
            ids = chosen(catalog, Filters(folder=folder))
            assert ids is not None
            return {image.paths[0].name for image in catalog.images.by_id(ids.tolist()).values()}

        assert names(nfc("Müller")) == names(nfd("müller")) == {"1.png", "2.png"}
        assert names(both / nfc("Müller")) == {"1.png"}
        assert names(both / nfd("Müller")) == {"2.png"}
        assert roots.forget(catalog, both / nfd("Müller")) == 1
        assert names(both / nfc("Müller")) == {"1.png"}
        assert run_index(catalog, [both]).unchanged == 1


def test_paths_in_either_form(tmp_path: Path) -> None:
    (tmp_path / nfd("Müller")).mkdir()
    assert as_on_disk(tmp_path / nfc("Müller") / "x") == tmp_path / nfd("Müller") / "x"
    assert as_on_disk(tmp_path / "nö") == tmp_path / "nö"
    assert as_on_disk(tmp_path / "nö\0") == tmp_path / "nö\0"
    inside = relative(tmp_path / nfd("Müller"), tmp_path / nfc("Müller") / "é")
    assert inside == "é".encode()
    assert relative(tmp_path / "Muller", tmp_path / nfc("Müller")) is None


def test_completion_offers_a_name_in_either_form(home: Path) -> None:
    paint(home / "p" / nfd("Müller") / "2.png", "blue", 2)
    ok("index", "--workers", 0, "p", "--library", "lib")
    with click.Context(cli) as context:
        context.obj = CommonOptions(library="lib")
        for typed in (nfc("mü"), nfd("mü")):
            offered = [item.value for item in folder_names(context, None, typed)]  # type: ignore[arg-type]
            assert offered == [nfc("Müller")]


# -- near names ----------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["holidy", "Holydays", "./p/holidy", "p/holiday/beech"])
def test_a_near_name_is_asked_back(home: Path, typed: str) -> None:
    paint(home / "p/Holidays/beach/1.png", "red", 1)
    ok("index", "--workers", 0, "p", "--library", "lib")
    said = refused("search", f"red in:{typed}", "--library", "lib")
    expected = "beach" if "beech" in typed else "Holidays"
    assert f"did you mean “{expected}”?" in said


def test_a_name_like_none_gets_no_hint(home: Path) -> None:
    paint(home / "p/holidays/1.png", "red", 1)
    ok("index", "--workers", 0, "p", "--library", "lib")
    said = refused("search", "red in:xyz", "--library", "lib")
    assert "did you mean" not in said and "retrieve status" in said


# -- no path at all ------------------------------------------------------------------------------

EMPTY = [
    ("index", ""),
    ("index", "photos", ""),
    ("index", "--here", ""),
    ("watch", ""),
    ("forget", ""),
    ("relocate", "photos", ""),
    ("relocate", "", "photos"),
    ("similar", ""),
    ("tag", "", "--labels", "labels"),
    ("tag", "photos", "--labels", ""),
    ("export", ""),
    ("demo", ""),
    ("demo", "--into", ""),
    ("search", "red", "--sheet", ""),
    ("search", "red", "--in", ""),
    ("search", 'red in:""'),
    ("status", "--library", ""),
]


def test_an_empty_path_is_refused(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVE_LIBRARY", str(indexed))
    for args in EMPTY:
        run = CliRunner().invoke(cli, args)
        assert run.exit_code in (1, 2) and run.stdout == "", args
        assert "is empty" in run.stderr and run.stderr.count("\n") == 1, args
    assert '"files":14' in ok("status", "--json").replace(" ", "")


def test_an_empty_path_is_refused_in_python(photos: Path) -> None:
    with Library.open("lib") as library:
        for paths in ("", [""], [photos, ""]):
            with pytest.raises(PathNotFound, match="the path is empty"):
                library.index(paths)  # type: ignore[arg-type]
        assert not Path("lib/catalog.sqlite").exists()
        library.index(photos / "small", workers=0)
        for act in (library.forget, library.similar, library.export):
            with pytest.raises(PathNotFound, match="the path is empty"):
                act("")
        with pytest.raises(InvalidQuery, match="the folder filter is empty"):
            library.search("red", folder="")
        with pytest.raises(PathNotFound, match="nosuchuser"):
            library.index("~nosuchuser/photos")
