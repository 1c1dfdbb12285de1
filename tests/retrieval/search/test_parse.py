"""What the user typed, or handed over: words, a picture, a vector, or an error that says why."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retrieval.errors import InvalidQuery, PathNotFound
from retrieval.filters import Filters
from retrieval.search.parse import parse, typed
from retrieval.search.question import Example, Mix, Query, Question, Term, Vector, Words


def query(asked: Any) -> Query:
    question = parse(asked)
    assert not question.filters
    return question.query


def test_a_str_is_words() -> None:
    assert query("  a red car ") == Words("a red car")
    assert query("beach.jpg") == Words("beach.jpg")  # in Python a picture is a Path


def test_words_that_are_no_text_still_are() -> None:
    assert query("caf\udce9") == Words("caf?")


def test_a_path_a_picture_and_the_bytes_of_one_are_examples() -> None:
    picture = Image.new("RGB", (4, 3))
    assert query(Path("beach.jpg")) == Example(Path("beach.jpg"))
    assert query(picture) == Example(picture)
    assert query(b"a file's bytes") == Example(b"a file's bytes")


def test_what_is_to_be_taken_away() -> None:
    mix = Mix((Term(1, Words("a dog")), Term(-1, Words("leash"))))
    assert parse("a dog", without=["leash"]) == parse("a dog - leash") == Question(mix)
    assert parse("in:x a dog", without=["leash"]).filters == Filters("x")
    picture = Example(b"...")
    asked = parse(b"...", without=["a", "b - c"]).query
    terms = (Term(1, picture), Term(-1, Words("a")), Term(-1, Words("b - c")))
    assert asked == Mix(terms)
    with pytest.raises(InvalidQuery, match="empty"):
        parse("a dog", without=[" "])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_vector_gets_unit_length(dtype: type[np.floating[Any]]) -> None:
    vector = query(np.array([3, 4], dtype))
    assert isinstance(vector, Vector) and vector.values.dtype == np.float32
    np.testing.assert_allclose(vector.values, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        (7, "int"),
        (None, "NoneType"),
        ([1.0], "list"),
        (bytearray(b"a car"), "bytearray"),
        (np.zeros(4), "all zeros"),
        (np.array([1.0, np.nan]), "finite"),
        (np.array([1.0, np.inf]), "finite"),
        (np.ones((2, 4)), r"\(2, 4\).*list"),
        (np.ones(4, np.int64), "int64"),
        (np.empty(0), "shape"),
    ],
)
def test_what_cannot_be_searched_for(asked: Any, said: str) -> None:
    with pytest.raises(InvalidQuery, match=said):
        parse(asked)


# -- on the command line -------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("beach.jpg", "my holiday.png", "noextension"):
        Path(name).touch()
    Path("cats").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["beach.jpg"], Path("beach.jpg")),
        (["./beach.jpg"], Path("./beach.jpg")),
        (["noextension"], Path("noextension")),
        (["my", "holiday.png"], Path("my holiday.png")),
        (["a", "red", "car"], "a red car"),
        (["a red car"], "a red car"),
        (["cats"], "cats"),  # a folder is no picture
        (["version 2.0"], "version 2.0"),
        (["a\0b"], "a\0b"),
        (["a", "noextension", "photo"], "a noextension photo"),  # among words it is one
    ],
)
def test_words_or_a_picture(here: Path, words: list[str], meant: str | Path) -> None:
    expected = Example(meant) if isinstance(meant, Path) else Words(meant)
    assert typed(words) == Question(expected)


def test_nothing_at_all(here: Path) -> None:
    with pytest.raises(InvalidQuery, match="empty"):
        typed([""])


@pytest.mark.parametrize("word", ["missing.jpg", "no/such/PHOTO.JPEG"])
def test_a_picture_that_is_not_there(here: Path, word: str) -> None:
    with pytest.raises(PathNotFound, match="no such picture"):
        typed([word])


def test_one_picture_at_a_time(here: Path) -> None:
    with pytest.raises(InvalidQuery, match="several pictures"):
        typed(["beach.jpg", "beach.jpg"])
    with pytest.raises(InvalidQuery, match="a picture and words.*beach.jpg"):
        typed(["sunset", "beach.jpg"])


def test_names_that_are_no_text(here: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    Path(name).touch()
    assert typed([name]) == Question(Example(Path(name)))
