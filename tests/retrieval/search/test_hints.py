"""What is nearly right gets an answer: filters, commands, names; no input leads to a trace."""

import string
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from retrieval import InvalidQuery, Library
from retrieval.cli.main import cli
from retrieval.errors import RetrieveError
from retrieval.filters import Filters
from retrieval.search.parse import parse, typed
from retrieval.search.question import Words


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)


# -- filters -------------------------------------------------------------------------------------


def test_the_name_of_a_filter_may_be_in_any_case() -> None:
    meant = Filters(after="2023", camera="Pixel")
    assert parse("a dog After:2023 CAMERA:Pixel").filters == meant
    assert typed(["a", "dog", "After:2023", "Camera:Pixel"]).filters == meant


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("a dog year:2023", "after:2023 before:2024"),
        ("a dog aftr:2023", "after:2023"),
        ("a dog afer:2023-05", "after:2023-05"),
        ("since:2023 a dog", "after:2023"),
        ("a dog until:2023-06-01", "before:2023-06-01"),
        ("a dog cam:canon", "camera:canon"),
        ("a dog camra:canon", "camera:canon"),
        ("a dog folder:holiday", "in:holiday"),
        ("a dog minsize:800x600", "min-size:800x600"),
        ("a dog type:png", "format:png"),
        ("a dog shape:portrait", "orientation:portrait"),
        ("a dog gps:48.1,11.5,5", "near:48.1,11.5,5"),
        ("a dog after: 2023", "after:2023"),
        ("a dog format: png", "format:png"),
        ("a dog Camera:", "camera:pixel"),
        ("a dog before:", "before:2023"),
    ],
)
def test_what_is_nearly_a_filter_says_which(line: str, meant: str) -> None:
    for read in (lambda: parse(line), lambda: typed(line.split())):
        with pytest.raises(InvalidQuery, match=r"\(at character \d") as caught:
            read()
        assert meant in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        "16:9",
        "Spider-Man: Homecoming",
        "note: the dog",
        "ratio 4:3 photo",
        "year:dragon",
        "type:writer",
        "from:here",
        "water:colour",
        '"year:2023"',
    ],
)
def test_words_stay_words(words: str) -> None:
    assert parse(words).query == Words(words.strip('"'))


@pytest.mark.parametrize("words", ["camera: a leica", "before: a storm", "what is in: a box"])
def test_the_name_of_a_filter_alone_is_never_taken_for_a_word(words: str) -> None:
    assert parse("note: a dog").notes == () == parse("a red car").notes
    with pytest.raises(InvalidQuery, match="to search for it as a word, write"):
        parse(words)
    name = next(word for word in words.split() if word.endswith(":"))
    quoted = words.replace(name, f'"{name}"')
    assert parse(quoted).query == Words(words)


@pytest.mark.parametrize("name", ["nope", "jpgg", "pnf"])
def test_an_unknown_format(name: str) -> None:
    with pytest.raises(InvalidQuery, match="is not a known format; .*jpeg, mpo, png"):
        Filters(format=name)
    for known in ("jpeg", ".JPG", "webp", "tif", "mpo", "heic", "jpeg2000", "ppm"):
        assert Filters(format=known).format == known


# -- options and commands ------------------------------------------------------------------------


def test_a_minimum_score_is_a_cosine(indexed: Path) -> None:
    for score in (2, -1.5, "nan", "inf"):
        result = run("search", "x", "--min-score", score, "--library", "photos")
        assert result.exit_code == 2 and "between -1 and 1" in result.stderr
    assert run("search", "x", "--min-score", -1, "--library", "photos").exit_code == 0


def test_a_command_that_there_is_not() -> None:
    result = run("a red car")
    assert result.exit_code == 2
    assert "“a red car” is not a command; did you mean `retrieve search 'a red car'`?" in (
        result.stderr
    )
    assert "did you mean `retrieve search x`?" in run("serach", "x").stderr


def test_a_model_that_is_nearly_a_name(home: Path) -> None:
    for name, meant in (
        ("vit-b/33", "ViT-B/32"),
        ("siglib2-b32", "siglip2-b32-256"),
        ("Tiny", "tiny"),
    ):
        result = run("index", ".", "--model", name)
        assert result.exit_code == 1 and f"did you mean {meant}?" in result.stderr


# -- anything at all -----------------------------------------------------------------------------

ODD = ["~nosuchuser", "~nosuchuser/a.jpg", "./" + "a" * 5000, "a" * 300 + ".jpg", "\0", "a\0b.jpg"]
ODD += ["\ud800", "\udcff.jpg", "./\udcff", "/", "//", "~", "-", "+", "http://[", "https://[::1"]
ODD += [
    "",
    "id:0",
    "id:999999999999999999",
    "1e9:x",
    "in:",
    "after:",
    '"',
    "C:\\",
    "\u202e",
    "é" * 99,
]
NAMES = ("in", "after", "before", "camera", "near", "min-size", "format", "orientation", "year")
VALUES = ["0000", "9999", "10000", "2023-02-30", "nan,inf,1", "0x0", "999999999x1", "1e400,0,0"]
WORDS = st.one_of(
    st.sampled_from(ODD + VALUES),
    st.text(st.characters(blacklist_categories=()), max_size=12),
    st.text(string.punctuation + " 0a", max_size=12),
    st.builds(
        "{}:{}".format, st.sampled_from(NAMES), st.sampled_from(ODD + VALUES) | st.text(max_size=8)
    ),
)
OPTIONS = ["--in", "--after", "--before", "--camera", "--near", "--min-size", "--format"]
OPTIONS += ["--orientation", "--not", "--template", "--min-score", "--min-relevance", "-n"]
OPTION = st.tuples(st.sampled_from(OPTIONS), WORDS)
QUICK = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(st.lists(WORDS, max_size=4), st.lists(OPTION, max_size=2))
@example(["in:~nosuchuser", "x"], [])
@example(["x"], [("--in", "a" * 5000)])
@example(["x"], [("--in", "a\0b")])
@example(["x"], [("--camera", "\ud800")])
def test_no_search_is_unexpected(
    indexed: Path, words: list[str], options: list[tuple[str, str]]
) -> None:
    more = [part for option in options for part in option]
    result = run("search", "--library", "photos", *more, "--", *words)
    assert "please report" not in result.stderr and result.exit_code in (0, 1, 2)


@QUICK
@given(WORDS)
def test_no_query_in_python_is_unexpected(indexed: Path, line: str) -> None:
    with Library.open("photos") as library:
        try:
            library.search(line)
        except RetrieveError as error:
            assert str(error)


COMMANDS = [
    ["similar", "{}"], ["index", "{}"], ["forget", "{}"], ["relocate", "{}", "{}"], ["{}"],
    ["tag", "{}", "--labels", "{}"], ["export", "/dev/null/{}"], ["status", "--library", "{}"],
    ["duplicates", "--in", "{}"], ["duplicates", "--threshold", "{}"], ["index", "--model", "{}"],
    ["index", "photos", "--exclude", "{}"], ["search", "x", "--sheet", "/dev/null/{}.png"],
    ["index", "--device", "{}"], ["backup", "/dev/null/{}"], ["--library", "{}", "models"],
    ["tag", "{}", "--labels", "labels.txt", "--template", "{}"],
    ["demo", "{}", "--into", "/dev/null"],
]  # fmt: skip


@settings(QUICK, max_examples=150)
@given(st.sampled_from(COMMANDS), st.sampled_from(ODD))
def test_no_argument_is_unexpected(indexed: Path, command: list[str], value: str) -> None:
    Path("labels.txt").write_text("red\nblue\n")
    if any(part == value for part in ("/", "//", "~")) and command[0] == "index":
        return  # they are what they are
    arguments = [part.replace("{}", value) for part in command]
    named = [] if "--library" in command else ["--library", "photos"]
    result = run(*arguments, *named)
    assert "please report" not in result.stderr, (arguments, result.stderr)
