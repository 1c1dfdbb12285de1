"""The query language: a line, or the arguments of a shell → terms with weights, and filters.

    query   = { filter | sign | term }          signs stand between terms, or before the first
    sign    = "+" | "-"                         with spaces (or the ends) on both sides
    term    = [ number ":" ] ( words | picture )
    words   = word { word }                     a word may be quoted: "not a + sign"
    picture = path | address | "id:" number | "-"    a term of its own
    filter  = name ":" value                    in, after, before, camera, near, min-size, format,
                                                orientation, in upper or lower case; the value
                                                may be quoted

A path begins with ./ ../ / or ~/; in a shell, the name of any existing file is a path, too, and "-"
is standard input. The number after "id:" is that of a picture in the library. Everything else is
words, including a hyphen in a word, a colon after any other name, and a number with a colon and a
digit.
"""

import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from retrieval.decoding.formats import is_named_as_picture
from retrieval.errors import InvalidQuery, PathNotFound
from retrieval.filters import FIELDS, Filters, written
from retrieval.paths import given, is_file, with_home
from retrieval.search.question import Address, ImageId, PreparedPicture

CHUNK = re.compile(r"\s*(\S+)")
WEIGHT = re.compile(r"(\d+\.?\d*|\.\d+):(?=[^\s\d])")
FILTER = re.compile(rf"({'|'.join(FIELDS)}):(?=\S)", re.IGNORECASE | re.ASCII)
MAYBE_FILTER = re.compile(r"([A-Za-z][A-Za-z_-]+):(.*)", re.DOTALL)
MINUS_WORD = re.compile(r"-[^\W\d_]")  # how other programs subtract a word
QUOTED = re.compile(r'"([^"]*)"(?=\s|$)')
ADDRESS = re.compile(r"https?://\S+")
ID = re.compile(r"id:(\d{1,18})", re.ASCII)
PATH = re.compile(r"\.{0,2}/|~[/\\]|\.{1,2}\\|[A-Za-z]:[/\\]")
SIGNS = ("+", "-")
MAX_SHOWN = 24  # characters of a line that an error repeats

Picture = Path | Address | ImageId | PreparedPicture | bytes
Names = Callable[[str], Picture | None]  # returns the picture that a word names, or None
Has = Callable[[int], bool]  # whether the library has a picture with this number


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a term, or a sign."""

    kind: Literal["sign", "word", "picture"]
    value: str | Picture
    at: int  # position of its first character in the line
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A term: text or a picture. The weight includes the sign."""

    weight: float
    of: str | Picture


class LocalNames:
    """The names that a query may use: local files, addresses, and numbers of the library's
    pictures. `retrieve serve` has its own names (query_names.py).
    """

    def __init__(self, has: Has, allow_url: bool, in_shell: bool) -> None:
        self._has = has
        self._allow_url = allow_url
        self._in_shell = in_shell

    def __call__(self, word: str) -> Picture | None:
        if found := ID.fullmatch(word):
            return by_number(int(found[1]), self._has)
        if ADDRESS.fullmatch(word):
            if not self._allow_url:
                how = "--allow-url" if self._in_shell else "allow_url=True"
                raise InvalidQuery(f"pictures are fetched from the network only with {how}")
            return Address(word)
        return given(word) if self._is_path(word) else None

    def _is_path(self, word: str) -> bool:
        if self._in_shell and is_file(word):
            return True
        if not PATH.match(word):
            return False
        return is_named_as_picture(word) or _is_home_file(word)


def _is_home_file(word: str) -> bool:
    """Return whether a path, which may begin with ~, leads to a regular file."""
    try:
        return is_file(os.fspath(with_home(word)))
    except PathNotFound:
        return False


def by_number(number: int, has: Has) -> ImageId:
    """Return the picture with this number. Raises InvalidQuery if there is none."""
    if not has(number):
        raise InvalidQuery(f"the library has no picture {number}; --json shows the numbers")
    return ImageId(number)


class Line:
    """A query, given as a line or as arguments, read from left to right."""

    def __init__(
        self, arguments: Sequence[str], names: Names, stdin: Callable[[], bytes] | None = None
    ) -> None:
        """stdin: reads the picture that "-" stands for; None if the query is not from a shell."""
        self.line = " ".join(arguments)
        self.filters = Filters()
        self._names = names
        self._stdin = stdin
        self._in_shell = stdin is not None
        self.notes: list[str] = []  # about words that may have been meant as something else
        self._pieces: list[Piece] = []
        self._detached: dict[int, str] = {}  # number of a piece -> filter that it names
        at = 0
        for argument in arguments:
            self._read(argument, at)
            at += len(argument) + 1

    @property
    def has_terms(self) -> bool:
        """True if there is anything besides filters."""
        return bool(self._pieces)

    def terms(self) -> list[Parsed]:
        """Return the terms, at least one. Raises InvalidQuery, PathNotFound."""
        terms: list[Parsed] = []
        self._check_detached()
        pieces = [self._or_stdin(i) for i in range(len(self._pieces))]
        start = 0
        while start < len(pieces):
            sign, first = 1.0, pieces[start]
            if first.kind == "sign":
                sign, start = (-1.0 if first.value == "-" else 1.0), start + 1
            end = next((i for i in range(start, len(pieces)) if pieces[i].kind == "sign"), None)
            end = len(pieces) if end is None else end
            if start == end:
                raise self._wrong("nothing follows the sign", first.at)
            terms.append(self._term(sign, pieces[start:end]))
            start = end
        if not terms and self.filters:
            raise self._wrong("the query has only filters; add a description", 0)
        if not terms:
            raise InvalidQuery("the query is empty; say in a few words what the picture shows")
        return terms

    # -- from characters to pieces ---------------------------------------------------------------

    def _read(self, argument: str, start: int) -> None:
        if self._in_shell and self._is_whole(argument, start):
            return
        at = 0
        while found := CHUNK.match(argument, at):
            at = self._chunk(argument, found.start(1), found.end(1), start)

    def _is_whole(self, argument: str, start: int) -> bool:
        """Read the whole argument as a file, or as "in:" and a folder: their names may have spaces.

        Return whether it is one.
        """
        weight, rest = self._weight(argument, 0)
        if argument not in SIGNS and is_file(argument[rest:]):
            self._pieces.append(Piece("picture", given(argument[rest:]), start, weight))
            return True
        folder = argument[3:] if argument[:3].lower() == "in:" else ""
        if folder and os.path.isdir(given(folder)):
            self._filter("in", folder, start)
            return True
        return False

    def _chunk(self, text: str, at: int, end: int, start: int) -> int:
        """Read one piece or filter of `text`, from `at` to the next space; return where it ends."""
        here = start + at
        if text[at:end] in SIGNS:
            self._pieces.append(Piece("sign", text[at:end], here))
            return end
        if found := FILTER.match(text, at):
            value, end = self._value(text, found.end(), end, start)
            self._filter(found[1].lower(), value, here)
            return end
        weight, at = self._weight(text, at) if self._begins_term() else (None, at)
        is_quoted = text[at] == '"'
        value, end = self._value(text, at, end, start)
        if not is_quoted and (picture := self._named(value, here)) is not None:
            self._pieces.append(Piece("picture", picture, here, weight))
        elif value.strip():
            if not is_quoted and (found := MAYBE_FILTER.fullmatch(value)):
                self._check_filter(found[1], found[2].strip('"'), here)
            if not is_quoted and MINUS_WORD.match(value):
                minus = f"- {value[1:]}"
                said = f"“{value}” is searched for as a word; “{minus}” would subtract it"
                self.notes.append(said)
            self._pieces.append(Piece("word", value, here, weight))
        return end

    def _check_filter(self, name: str, value: str, at: int) -> None:
        """Raise InvalidQuery for a misspelled filter, which would otherwise become words."""
        from retrieval.search import hints

        if not value and name.lower() in FIELDS:
            self._detached[len(self._pieces)] = name.lower()
        elif value and (meant := hints.meant(name, value)):
            raise self._wrong(
                f"there is no filter “{name}:”; did you mean “{meant}”? "
                f"To search for it as words, write {self._quoted(f'{name}:{value}')}",
                at,
            )

    def _quoted(self, text: str) -> str:
        """Quote text so that it is read as words; in a shell, its own quotes go around."""
        return shlex.quote(f'"{text}"') if self._in_shell else f'"{text}"'

    def _check_detached(self) -> None:
        for i, name in self._detached.items():
            from retrieval.search import hints

            after = self._pieces[i + 1] if i + 1 < len(self._pieces) else None
            said = hints.of_detached(name, str(after.value) if after else None)
            as_words = f"to search for it as a word, write {self._quoted(f'{name}:')}"
            raise self._wrong(f"{said}; {as_words}", self._pieces[i].at)

    def _weight(self, text: str, at: int) -> tuple[float | None, int]:
        found = WEIGHT.match(text, at)
        return (float(found[1]), found.end()) if found else (None, at)

    def _value(self, text: str, at: int, end: int, start: int) -> tuple[str, int]:
        """Return a quoted value, or everything up to the next space; and where it ends."""
        if text[at] != '"':
            return text[at:end], end
        if found := QUOTED.match(text, at):
            return found[1], found.end()
        raise self._wrong("the quotation mark is not closed", start + at)

    def _filter(self, name: str, value: str, at: int) -> None:
        try:
            self.filters = self.filters.with_(written(name, value))
        except InvalidQuery as error:
            raise self._wrong(str(error), at) from error

    def _named(self, word: str, at: int) -> Picture | None:
        try:
            return self._names(word)
        except InvalidQuery as error:
            raise self._wrong(str(error), at) from error

    def _begins_term(self) -> bool:
        return not self._pieces or self._pieces[-1].kind == "sign"

    # -- from pieces to terms --------------------------------------------------------------------

    def _or_stdin(self, i: int) -> Piece:
        """Return standard input for a "-" that has nothing to subtract; else the piece itself."""
        piece, around = self._pieces[i], self._pieces
        if self._stdin is None or piece.kind != "sign" or piece.value != "-":
            return piece
        is_first = i == 0 or around[i - 1].kind == "sign"
        is_last = i + 1 == len(around) or around[i + 1].kind == "sign"
        return Piece("picture", self._stdin(), piece.at) if is_first and is_last else piece

    def _term(self, sign: float, pieces: Sequence[Piece]) -> Parsed:
        if len(pieces) > 1:
            pieces = [_as_word(piece) for piece in pieces]
        first = pieces[0]
        weight = 1.0 if first.weight is None else first.weight
        if not 0 < weight < 1e6:
            raise self._wrong("a weight must be above 0 and below 1,000,000", first.at)
        pictures = [piece for piece in pieces if piece.kind == "picture"]
        if pictures and len(pieces) > 1:
            both = "several pictures" if len(pictures) == len(pieces) else "a picture and words"
            raise self._wrong(f"{both} in one term; put + or - between them", pictures[-1].at)
        if not pictures:
            text = " ".join(str(piece.value) for piece in pieces)
            self._check_name(text, pieces)
            return Parsed(sign * weight, text)
        [picture] = pictures
        if isinstance(picture.value, Path) and not os.path.exists(picture.value):
            raise self._no_picture(str(picture.value), picture.at)
        return Parsed(sign * weight, picture.value)

    def _check_name(self, text: str, pieces: Sequence[Piece]) -> None:
        """In a shell, raise PathNotFound for a single word that looks like a picture's name."""
        if self._in_shell and len(pieces) == 1 and is_named_as_picture(text):
            raise self._no_picture(text, pieces[0].at)

    def _no_picture(self, name: str, at: int) -> PathNotFound:
        where = "" if self.line == name else f" {self._place(at)}"
        error = PathNotFound(f"no such picture: {name}{where}")
        error.position = at
        return error

    def _wrong(self, said: str, at: int) -> InvalidQuery:
        error = InvalidQuery(f"{said} {self._place(at)}")
        error.position = at
        return error

    def _place(self, at: int) -> str:
        return f"(at character {at + 1}: “{self.line[at : at + MAX_SHOWN]}”)"


def _as_word(piece: Piece) -> Piece:
    """Return a piece of a longer text as a word, even if a file happens to have that name."""
    name = piece.value
    if not isinstance(name, Path) or PATH.match(str(name)) or is_named_as_picture(str(name)):
        return piece
    return replace(piece, kind="word", value=str(name))
