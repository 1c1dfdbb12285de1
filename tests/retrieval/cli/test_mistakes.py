"""What a new user gets wrong: each mistake ends with the remedy, and with the right exit status.

2 is for a call that makes no sense (an unknown option, a value that none can have), 1 for one that
made sense and failed (a file that is not there, a library without pictures).
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from retrieval import InvalidQuery, InvalidValue, Library, PathNotFound
from retrieval.cli.main import cli
from retrieval.locate import FILE_NAME, beside
from retrieval.search.parse import parse, typed
from retrieval.search.question import Words
from tests.retrieval.cli.test_cli import ROOT, ok, refused, retrieve
from tests.retrieval.conftest import Models

LIBRARY = ("--library", "photos")


# -- words that look like options or filters -----------------------------------------------------


@pytest.mark.parametrize("word", ["leash", "night", "house", "x-ray", "n5x", "été"])
def test_a_word_with_a_hyphen_is_no_option(indexed: Path, word: str) -> None:
    said = refused("search", "dog", f"-{word}", *LIBRARY, code=2)
    if word[1].isdigit():  # an option with its value
        assert "not a whole number" in said
    else:
        assert f"`- {word}` or `--not {shlex.quote(word)}`" in said


def test_an_unknown_option_is_still_one(indexed: Path) -> None:
    for option in ("--leash", "-x"):
        assert f"No such option '{option}'" in refused("search", "dog", option, *LIBRARY, code=2)
    said = refused("search", "dog", "--not", "-leash", "--nope", *LIBRARY, code=2)
    assert "--nope" in said


def test_a_hyphen_in_a_line_is_noted_and_stays_a_word(indexed: Path) -> None:
    result = retrieve("search", "a dog -leash", "--paths", *LIBRARY)
    assert result.exit_code == 0 and "“- leash” would subtract it" in result.stderr
    assert parse("a dog -leash").query == Words("a dog -leash")
    assert parse('a well-known dog "-leash" -1').notes == ()


def test_words_are_quoted_as_a_shell_needs_it(indexed: Path) -> None:
    said = refused("search", "year:2023", *LIBRARY, code=2)
    assert """write '"year:2023"' (at""" in said
    assert ok("search", '"year:2023"', *LIBRARY)
    with pytest.raises(InvalidQuery, match='write "year:2023" '):
        parse("year:2023")


def test_each_interface_names_its_own_way_to_allow_addresses() -> None:
    with pytest.raises(InvalidQuery, match="only with --allow-url ") as caught:
        typed(["https://example.org/a.jpg"])
    assert "allow_url" not in str(caught.value)
    with pytest.raises(InvalidQuery, match="only with allow_url=True ") as caught:
        parse("https://example.org/a.jpg")
    assert "--allow-url" not in str(caught.value)


@pytest.mark.parametrize("filter", ["in: pics", "after: 2023", "camera: pixel", "Format: png"])
def test_a_space_after_the_colon(filter: str) -> None:
    name, value = filter.lower().split()
    for read in (lambda: parse(f"a dog {filter}"), lambda: typed(["a", "dog", *filter.split()])):
        with pytest.raises(InvalidQuery, match=f"no space after “{name}”; write “{name}{value}”"):
            read()


@pytest.mark.parametrize("name", ["nope", "./nope", "small/nope"])
def test_an_unknown_folder_is_told_alike_wherever_one_is(
    indexed: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRIEVE_LIBRARY", str(indexed))
    for here in (indexed.parent, indexed):
        monkeypatch.chdir(here)
        said = f"the folder {name} is not in the library"
        assert said in refused("search", f"dog in:{name}")
        assert said in refused("search", "dog", "--in", name)
        assert said in refused("duplicates", "--in", name)
    assert "did you mean “small”?" in refused("search", "dog in:smal")
    with Library.open(indexed) as library, pytest.raises(PathNotFound, match="is not in the lib"):
        library.search("dog", folder=name)


def test_an_unknown_format_is_answered_with_the_known_ones(indexed: Path) -> None:
    for call in (["dog format:nope"], ["dog", "--format", "nope"]):
        said = refused("search", *call, *LIBRARY, code=2)
        assert "'nope' is not a known format" in said and "jpeg" in said and "heif" in said
    assert "did you mean jpg? " in refused("search", "format:jpgg dog", *LIBRARY, code=2)


# -- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["find", "a", "dog"], "search a dog"),
        (["serach", "a cat", "-n", "3"], "search 'a cat' -n 3"),
        (["a", "red", "car"], "search a red car"),
        (["add", "photos"], "index photos"),
        (["dupes", "--json"], "duplicates --json"),
    ],
)
def test_what_is_no_command_is_answered_with_the_whole_line(
    arguments: list[str], meant: str
) -> None:
    said = refused(*arguments, code=2)
    assert f"did you mean `retrieve {meant}`? See `" in said


def test_a_question_is_not_followed_by_a_semicolon(home: Path) -> None:
    for call in (["serach"], ["search", "dog", "--lmit", "3"], ["search", "--josn", "dog"]):
        said = refused(*call, code=2)
        assert "?;" not in said and "?);" not in said and " See `" in said


# -- patterns to exclude -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("None", "did you mean “none”?"),
        (" NONE", "did you mean “none”?"),
        ("[", "[[] stands for the bracket itself"),
        ("IMG[0-9", "a bracket is not closed"),
        ("[]", "a bracket is not closed"),
        ("[z-a].png", "the range in its brackets is empty"),
        ("/home/me/tmp", "relative to the folder"),
        ("./tmp", "without ./ and ../"),
        ("a//b", "without ./ and ../"),
        ("*.{png,gif}", "a pattern for each"),
        ("", "it is empty"),
    ],
)
def test_a_pattern_that_cannot_match(photos: Path, pattern: str, remedy: str) -> None:
    for command in ("index", "watch"):
        said = refused(command, photos, "--exclude", pattern, code=2)
        assert repr(pattern) in said and remedy in said
    with Library.open("library") as library, pytest.raises(InvalidValue, match="the pattern"):
        library.index(photos, exclude=[pattern])
    assert not Path("library").exists()


@pytest.mark.parametrize(
    "pattern", ["none", "*.png", "[N]one", "[[]1]", "[]x]*", "[!a]*", "tmp/", "**/x", "small/r*"]
)
def test_a_pattern_that_can(photos: Path, pattern: str) -> None:
    assert "done in" in ok("index", photos, "--exclude", pattern, "--workers", 0)


# -- dates, streams, and how it ends -------------------------------------------------------------


def test_a_date_of_the_file_is_told_as_such_where_it_is_sorted_by(indexed: Path) -> None:
    [line] = ok("search", "a dog", "--sort", "date", "-n", 1, *LIBRARY).splitlines()
    assert line.split("\t")[3].endswith(" (file)")
    [line] = ok("search", "a dog", "-n", 1, *LIBRARY).splitlines()
    assert line.split("\t")[3] == "-"


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("command", "ends"),
    [
        ("search dog", 1),
        ("search dog --json", 1),
        ("status", 1),
        ("similar photos/large/red.png", 1),
        ("index", 0),  # what it was to do is done
    ],
)
def test_an_answer_that_cannot_be_written_is_an_error(
    indexed: Path, command: str, ends: int
) -> None:
    program = f"{sys.executable} -m retrieval.cli.main {command} --library photos >&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(["sh", "-c", program], env=environment, capture_output=True, text=True)
    assert run.returncode == ends
    assert ("standard output is closed" in run.stderr) == bool(ends)


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "dog", "--min-score", "7"],
        ["search", "dog", "--min-relevance", "-1"],
        ["search", "dog", "--near", "1,2"],
        ["search", "dog", "--after", "soon"],
        ["search", "dog", "--in", ""],
        ["search", "dog", "--sort", "name"],
        ["search", "dog", "--template", "no hole"],
        ["search", "dog near:1,2"],
        ["search", "dog", "-"],
        ["search", "id:999"],
        ["search", " "],
        ["duplicates", "--threshold", "5"],
        ["index", "photos", "--device", "gpu"],
        ["index", "photos", "--exclude", "["],
        ["serve", "--host", "0.0.0.0"],
        ["serve", "--token", ""],
        ["serve", "--host", ""],
        ["serve", "--allow-host", ""],
        ["serve", "--allow-host", "http://photos.example.org/"],
        ["serve", "--allow-host", "photos.example.org:8000"],
        ["serve", "--allow-host", "*"],
        ["serve", "--port", "http"],
        ["search", "dog", "-n", "many"],
        ["search", "dog", "--not", ""],
        ["search", "dog", "--min-score", "high"],
        ["search", "dog", "--camera", " "],
        ["search", "dog", "--after", "2024", "--before", "2023"],
        ["search", "dog after:2024 before:2023"],
        ["duplicates", "--threshold", "close"],
        ["index", "photos", "--workers", "-1"],
        ["tag", "photos", "--labels", "photos/small/red.png"],
    ],
)
def test_a_bad_value_ends_with_2(indexed: Path, arguments: list[str]) -> None:
    assert refused(*arguments, *LIBRARY, code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "missing.jpg"],
        ["search", "dog", "--in", "nowhere"],
        ["similar", "missing.jpg"],
        ["index", "nowhere"],
        ["index", "photos", "--model", "nowhere"],
        ["forget", "nowhere"],
        ["tag", "photos", "--labels", "missing.txt"],
    ],
)
def test_a_failure_ends_with_1(indexed: Path, arguments: list[str]) -> None:
    assert refused(*arguments, *LIBRARY)


def test_the_exit_status_is_documented() -> None:
    said = " ".join(CliRunner().invoke(cli, ["--help"]).output.split())
    assert "1 failure, 2 wrong usage, 130 interrupted" in said


def test_an_empty_model_is_no_default(indexed: Path) -> None:
    """As from an unset variable: --model "$MODEL"."""
    result = CliRunner().invoke(cli, ["index", "--model", ""])
    assert result.exit_code == 2 and "the model's name is empty" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "dog", "-n", "many"], "'many' is not a whole number from 1 up"),
        (["search", "dog", "-n", "0"], "0 is not in the range x>=1"),
        (["serve", "--port", "http"], "'http' is not a whole number from 0 to 65535"),
        (["search", "dog", "--min-score", "high"], "'high' is not a number"),
        (["search", "dog", "--not", ""], "a description to subtract is empty"),
        (["search", "dog", "--after", "2024", "--before", "2023"], "swap the two"),
        (["serve", "--allow-host", ""], "'' is not a host name"),
        (["serve", "--host", ""], "the host is empty"),
        (["tag", "photos", "--labels", "photos/small/red.png"], "a label on each line"),
    ],
)
def test_a_bad_value_is_named_with_what_is_right(
    indexed: Path, arguments: list[str], said: str
) -> None:
    assert said in refused(*arguments, *LIBRARY, code=2)


@pytest.mark.parametrize("command", [["tag", "x.png", "--labels", "labels"], ["similar", "x.png"]])
def test_a_file_that_is_no_picture_is_not_searched_for(indexed: Path, command: list[str]) -> None:
    Path("x.png").write_text("no picture")
    Path("labels").write_text("cat\ndog\n")
    assert "cannot use x.png: it is not a picture" in refused(*command, *LIBRARY)


@pytest.mark.parametrize(
    "command", [["status"], ["search", "dog"], ["index", "photos/small"], ["check"]]
)
def test_a_file_is_no_library(indexed: Path, command: list[str]) -> None:
    catalog = beside(indexed).absolute() / FILE_NAME
    picture = indexed.absolute() / "small/red.png"
    for file, hint in ((picture, "name its folder"), (catalog, f"did you mean {catalog.parent}?")):
        said = refused(*command, "--library", file, code=2)
        assert f"the library must be a folder, not the file {file}; {hint}" in said


def test_more_files_than_pictures_are_explained(indexed: Path) -> None:
    assert "12 pictures in 14 files (1 copy, 1 unreadable)" in ok("status", *LIBRARY)


def test_a_switch_of_models_is_told(indexed: Path, models: Models) -> None:
    said = ok("index", "--model", models.other, "--workers", 0, *LIBRARY)
    kept = f"searches now use {models.other} instead of {models.small}, whose 12 vectors are kept"
    assert kept in said and f"`retrieve forget --model {models.small}` drops them" in said
    assert "searches now use" not in ok("index", "--workers", 0, *LIBRARY)


def test_a_model_that_moved_is_found_again(indexed: Path, models: Models, home: Path) -> None:
    """Weights are known by their content: nothing is encoded again, and searches find them."""
    old, new = home / "old", home / "new"
    shutil.copytree(models.small, old)
    ok("index", "photos", "--model", old, "--workers", 0, "--library", "own")
    old.rename(new)
    for command in (["search", "dog"], ["index"]):
        said = refused(*command, "--library", "own")
        assert f"the library's model {old} is gone; if it has moved, run" in said
    said = ok("index", "--model", new, "--workers", 0, "--library", "own")
    assert f"the weights of {old}, which is gone, are now found as {new}" in said
    assert "encoded 0 pictures" in said
    assert ok("search", "dog", "-n", 1, "--library", "own")
    assert str(new) in ok("status", "--library", "own")
