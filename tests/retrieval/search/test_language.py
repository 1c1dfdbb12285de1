"""The query language: what each form means, that plain words stay words, and where an error is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import InvalidQuery, PathNotFound, RetrieveError
from retrieval.filters import Filters
from retrieval.search.parse import parse, typed
from retrieval.search.question import Address, Example, Mix, Query, Question, Term, Words

POOL = Example(Path("./pool.jpg"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("pool.jpg", "my pool.jpg", "car"):
        Path(name).touch()
    Path("my holiday").mkdir()
    return tmp_path


def mix(*terms: tuple[float, Words | Example | str]) -> Mix:
    return Mix(tuple(Term(w, Words(of) if isinstance(of, str) else of) for w, of in terms))


RETRIEVER = mix((2, "golden retriever"), (1, POOL), (-1, "leash"))


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ('2:"golden retriever" + ./pool.jpg - leash', RETRIEVER),
        ("2:golden retriever + ./pool.jpg - leash", RETRIEVER),
        ("+ 2:golden retriever  +\t./pool.jpg - leash", RETRIEVER),
        ("- leash", mix((-1, "leash"))),
        ("0.5:a dog + .25:a cat", mix((0.5, "a dog"), (0.25, "a cat"))),
        ("./pool.jpg", POOL),
        ("3:a dog", Words("a dog")),
        ('"a + b" - c', mix((1, "a + b"), (-1, "c"))),
        ('"in:side" out', Words("in:side out")),
    ],
)
def test_one_line(line: str, meant: Query) -> None:
    assert parse(line) == Question(meant)
    assert typed([line]) == Question(meant)  # quoted as a whole


@pytest.mark.parametrize(
    "arguments",
    [
        ["2:golden retriever", "+", "./pool.jpg", "-", "leash"],
        ["2:golden", "retriever", "+", "./pool.jpg", "-", "leash"],
        ['2:"golden retriever" + ./pool.jpg - leash'],
        ['2:"golden retriever" +', "./pool.jpg", "- leash"],
    ],
)
def test_the_same_from_a_shell(arguments: list[str]) -> None:
    assert typed(arguments) == Question(RETRIEVER)


def test_names_with_blanks_that_a_shell_kept_whole() -> None:
    mine = Example(Path("my pool.jpg"))
    assert typed(["2:my pool.jpg", "-", "leash"]).query == mix((2, mine), (-1, "leash"))
    assert typed(["a dog", "in:my holiday"]).filters == Filters("my holiday")


def test_a_bare_name_is_a_picture_in_a_shell_only() -> None:
    assert typed(["a dog + pool.jpg"]).query == mix((1, "a dog"), (1, Example(Path("pool.jpg"))))
    assert parse("a dog + pool.jpg").query == mix((1, "a dog"), (1, "pool.jpg"))
    assert typed(["a", "red", "car"]) == Question(Words("a red car"))  # there is a file `car`


@pytest.mark.parametrize(
    "words",
    [
        "a black-and-white photo",
        "t-shirt -striped +size",
        "16:9 landscape",
        "at 10:30",
        "C++ code",
        "note: remember the milk",
        'a 12" record',
        "50:50",
        "what? 100% / 7",
        "~ tilde",
        "in",
        "a photo.jpg of a cat",
    ],
)
def test_plain_words_stay_words(words: str) -> None:
    assert parse(words) == Question(Words(words)) == typed([words])
    assert typed(words.split()) == Question(Words(words))


# -- filters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "a cake after:2023-06 in:holiday camera:pixel",
        "after:2023-06 a camera:pixel cake in:holiday",
        'in:"holiday" camera:"pixel" a cake after:"2023-06"',
    ],
)
def test_filters_stand_anywhere(line: str) -> None:
    filters = Filters("holiday", after="2023-06", camera="pixel")
    assert parse(line) == Question(Words("a cake"), filters) == typed([line])


def test_every_filter() -> None:
    line = "x before:2024 near:48.14,11.58,5 min-size:1920x1080 format:heic orientation:Portrait"
    assert parse(line).filters == Filters(
        before="2024",
        near=(48.14, 11.58, 5.0),
        min_size=(1920, 1080),
        format="heic",
        orientation="portrait",
    )


# -- pictures from elsewhere ---------------------------------------------------------------------


def test_standard_input() -> None:
    def stdin() -> bytes:
        return b"picture"

    given = Example(b"picture")
    assert typed(["-"], stdin) == Question(given)
    assert typed(["a dog", "+", "-"], stdin).query == mix((1, "a dog"), (1, given))
    assert typed(["-", "-", "leash"], stdin).query == mix((1, given), (-1, "leash"))
    assert typed(["-", "leash"], stdin).query == mix((-1, "leash"))


def test_addresses_have_to_be_allowed() -> None:
    line = "a dog + https://example.org/a.png"
    expected = mix((1, "a dog"), (1, Example(Address("https://example.org/a.png"))))
    assert parse(line, allow_url=True).query == typed([line], allow_url=True).query == expected
    with pytest.raises(InvalidQuery, match=r"allow_url=True.*at character 9: “https"):
        parse(line)
    with pytest.raises(InvalidQuery, match=r"--allow-url.*at character 9: “https"):
        typed([line])


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said", "at"),
    [
        ("a dog +", "nothing follows the sign", 7),
        ("a + - b", "nothing follows the sign", 3),
        ("a dog - ", "nothing follows the sign", 7),
        ("0:dog + cat", "a weight must be above 0", 1),
        ('a + "dog', "quotation mark is not closed", 5),
        ("a ./pool.jpg", "a picture and words", 3),
        ("./pool.jpg ./pool.jpg", "several pictures", 12),
        ("in:a in:b x", "the filter in is given twice", 6),
        ("x after:soon", "'soon' is not a valid date", 3),
        ("x after:2023-13", "month must be in 1..12", 3),
        ("x near:1,2", "write LAT,LON,KM", 3),
        ("x near:91,0,1", "is not a valid place", 3),
        ("x min-size:big", "write WIDTHxHEIGHT", 3),
        ("x orientation:up", "landscape, portrait, square", 3),
        ("after:2023 in:x", "only filters; add a description", 1),
    ],
)
def test_an_error_says_where(line: str, said: str, at: int) -> None:
    for ask in (lambda: parse(line), lambda: typed([line]), lambda: typed(line.split())):
        with pytest.raises(InvalidQuery, match=said) as caught:
            ask()
        assert f"at character {at}: " in str(caught.value)


def test_a_picture_that_is_missing_says_where() -> None:
    for ask in (lambda: parse("a + ./no.jpg"), lambda: typed(["a", "+", "no.jpg"])):
        with pytest.raises(PathNotFound, match=r"no such picture: .*no.jpg \(at character 5"):
            ask()


@given(st.text(st.sampled_from('ab:+-"./~ 12in\0é'), max_size=30))
def test_any_line_means_something_or_is_an_error(line: str) -> None:
    for ask in (lambda: parse(line), lambda: typed([line]), lambda: typed(line.split(" "))):
        try:
            assert ask().query
        except RetrieveError as error:
            assert str(error)


@given(st.lists(st.text("abcdefghij", min_size=1, max_size=8), min_size=1, max_size=6))
def test_words_alone_are_never_anything_else(words: list[str]) -> None:
    line = " ".join(words)
    assert parse(line) == typed(words) == Question(Words(line))
