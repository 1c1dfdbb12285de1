"""A query, typed or given in Python → a valid `Question`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import InvalidQuery
from retrieval.paths import is_file
from retrieval.search.question import (
    Example,
    Mix,
    Question,
    Term,
    Vector,
    Words,
)
from retrieval.values import shown

if TYPE_CHECKING:
    import PIL.Image

    from retrieval.search.language import Has, Line, Parsed

    Array = NDArray[np.floating[Any]]
    Asked: TypeAlias = "str | Path | PIL.Image.Image | bytes | Array | Question"


MARKS = frozenset('+-:"./~\\')  # without any of these, a line is words or the name of a file


def any_number(number: int) -> bool:
    """Return True: an unknown library may have a picture with any number."""
    return True


def parse(
    asked: "Asked",
    *,
    without: Sequence[str] = (),
    allow_url: bool = False,
    has: "Has" = any_number,
) -> Question:
    """Return the question that a query asks. Raises InvalidQuery, PathNotFound.

    asked: a str is a line of the query language; a Path, a Pillow image or the bytes of a file are
    an example; a float array (D,) is a vector. without: words to subtract. has: tells whether the
    library has a picture with a number.
    """
    if isinstance(asked, Question):
        return _less(asked, without)
    if isinstance(asked, str):
        return _less(_question([asked], None, allow_url, has), without)
    if isinstance(asked, (Path, bytes)) or _is_picture(asked):
        return _less(Question(Example(asked)), without)  # type: ignore[arg-type]  # see _is_picture
    if isinstance(asked, np.ndarray):
        return _less(Question(_vector(asked)), without)
    raise InvalidQuery(
        "a query must be a str, a Path, a Pillow image, the bytes of a picture or a float array "
        f"(D,), not {shown(asked)} ({type(asked).__name__})"
    )


def typed(
    words: Sequence[str],
    stdin: Callable[[], bytes] = bytes,
    allow_url: bool = False,
    has: "Has" = any_number,
) -> Question:
    """Return the question that arguments of the command line ask. `stdin` reads what "-" means.

    An argument that names an existing file is a picture; so is a path whose spaces were not quoted.
    A single word that ends like a picture's name (.jpg) must be one. Raises InvalidQuery,
    PathNotFound.
    """
    joined = " ".join(words)
    if len(words) > 1 and is_file(joined):
        return Question(Example(Path(joined)))
    if (len(words) > 1 and any(map(is_file, words))) or is_file(joined):
        return _read(words, stdin, allow_url, has)
    return _question(words, stdin, allow_url, has)


def _question(
    words: Sequence[str], stdin: Callable[[], bytes] | None, allow_url: bool, has: "Has"
) -> Question:
    """Return the question without importing the query language if it is plain words, the usual
    case.
    """
    joined = " ".join(words)
    if MARKS.isdisjoint(joined):
        return Question(_words(" ".join(joined.split())))
    return _read(words, stdin, allow_url, has)


def _read(
    words: Sequence[str], stdin: Callable[[], bytes] | None, allow_url: bool, has: "Has"
) -> Question:
    from retrieval.search.language import Line, LocalNames

    return question_of(Line(words, LocalNames(has, allow_url, in_shell=stdin is not None), stdin))


def question_of(line: "Line") -> Question:
    """Return the question that a line asks. Raises InvalidQuery, PathNotFound."""
    terms = [_term(parsed) for parsed in line.terms()]
    if len(terms) == 1 and terms[0].weight > 0:
        return Question(terms[0].of, line.filters, tuple(line.notes))
    return Question(Mix(tuple(terms)), line.filters, tuple(line.notes))


def _term(parsed: "Parsed") -> Term:
    of = _words(parsed.of) if isinstance(parsed.of, str) else Example(parsed.of)
    return Term(parsed.weight, of)


def _less(question: Question, without: Sequence[str]) -> Question:
    if not without:
        return question
    query = question.query
    terms = query.terms if isinstance(query, Mix) else (Term(1.0, query),)
    subtracted = tuple(Term(-1.0, _words(text)) for text in without)
    return Question(Mix(terms + subtracted), question.filters, question.notes)


def _words(text: str) -> Words:
    if not (text := text.strip()):
        raise InvalidQuery("the query is empty; say in a few words what the picture shows")
    # Replaces lone surrogates, for bytes of the command line that are not valid UTF-8.
    return Words(text.encode("utf-8", "replace").decode("utf-8"))


def _vector(values: NDArray[np.floating[Any]]) -> Vector:
    if values.ndim != 1 or not len(values) or values.dtype.kind != "f":
        shape = f"{values.dtype} array of shape {values.shape}"
        raise InvalidQuery(
            f"a vector is a float array of shape (D,), not a {shape}; for several, give a list"
        )
    exact = values.astype(np.float64)
    length = float(np.linalg.norm(exact))
    if not np.isfinite(length) or length == 0:
        raise InvalidQuery("a vector must be finite, and not all zeros")
    return Vector((exact / length).astype(np.float32))


def _is_picture(asked: object) -> bool:
    """Return whether it is a Pillow image, without importing Pillow if nobody has."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(asked, pillow.Image)
