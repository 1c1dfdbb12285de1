"""Text -> token ids: the word pieces of BERT, with equal ids for every text.

A text is cleaned and, unless the vocabulary has capitals, lowered and stripped of its accents;
words and single punctuation marks are cut into the longest pieces that the vocabulary holds. Plain
ASCII needs no table of Unicode.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipmodel.config import TextTowerConfig
from clipmodel.errors import CheckpointError, cannot_read
from clipmodel.tokenizer import repaired, token_rows

if TYPE_CHECKING:
    from clipmodel.vocabularies import Tokenize

VOCABULARY = "vocab.txt"  # in a model folder: one piece per line; its id is the line number
MAX_WORD = 100  # characters; a longer word is unknown
PADDING, START, END, UNKNOWN = "[PAD]", "[CLS]", "[SEP]", "[UNK]"

_SPECIAL = re.compile(r"(\[(?:UNK|CLS|SEP|MASK)\])")  # [PAD] in a text would end it
_ASCII_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_ASCII_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_IDEOGRAPHS = (  # compiled when a text has more than ASCII
    "([\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f])"
)


class WordPieces:
    """A vocabulary of pieces; those inside a word begin with `##`."""

    def __init__(
        self, pieces: Sequence[str], *, is_clipas: bool = False, is_cased: bool = False
    ) -> None:
        """is_clipas: texts are repaired before, and end without a token.

        is_cased: capitals and accents stay.
        """
        self._ids = {piece: number for number, piece in enumerate(pieces)}
        self._start, self._end = [self._ids[START]], [] if is_clipas else [self._ids[END]]
        self._unknown, self._is_clipas = self._ids[UNKNOWN], is_clipas
        self._words = _with_capitals if is_cased else _words
        self._of_word = lru_cache(10_000)(self._cut)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end."""
        return [*self._tokens(text)]

    def token_ids(
        self, texts: str | Sequence[str], context_length: int, truncate: bool = False
    ) -> NDArray[np.int64]:
        """Return (B, context_length), as `token_rows`."""
        return token_rows(
            *(texts, context_length, truncate, self._encode),
            start=self._start,
            end=self._end,
            room=context_length - 2,  # CLIPA's as well, though it has no token at the end
        )

    def _encode(self, text: str) -> list[int]:
        return self.encode(repaired(text) if self._is_clipas else text)

    def _tokens(self, text: str) -> Iterator[int]:
        for number, part in enumerate(_SPECIAL.split(text)):
            if number % 2:
                yield self._ids[part]
            else:
                for word in self._words(part):
                    yield from self._of_word(word)

    def _cut(self, word: str) -> tuple[int, ...]:
        """Take the longest piece from the front until nothing is left."""
        if len(word) > MAX_WORD:
            return (self._unknown,)
        ids, start = list[int](), 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                found = self._ids.get(prefix + word[start:end])
                if found is not None:
                    break
            else:
                return (self._unknown,)
            ids.append(found)
            start = end
        return tuple(ids)


def of_folder(folder: Path) -> "Tokenize":
    """Return `token_ids` of the vocabulary in a model folder. Raises CheckpointError."""
    return WordPieces(read_pieces(folder / VOCABULARY)).token_ids


def of_cased(folder: Path) -> "Tokenize":
    """Return `token_ids` of a vocabulary with capitals and accents. Raises CheckpointError."""
    return WordPieces(read_pieces(folder / VOCABULARY), is_cased=True).token_ids


def of_clipa(folder: Path) -> "Tokenize":
    """Return `token_ids` without the token of an end, as CLIPA was trained."""
    return WordPieces(read_pieces(folder / VOCABULARY), is_clipas=True).token_ids


def collect(config: TextTowerConfig, beside: Mapping[str, Path]) -> dict[str, bytes]:
    """Return the file beside a model's weights, if it fits them. Raises CheckpointError."""
    file = beside["pieces"]
    if not file.is_file():
        raise CheckpointError(f"its word pieces are missing: put its {VOCABULARY} beside it")
    found, is_clipa = len(read_pieces(file)), config.vocabulary == "clipa"
    if found != config.vocab_size and not (is_clipa and found < config.vocab_size):
        raise CheckpointError(
            f"{file} has {found:,} pieces, and the weights are for {config.vocab_size:,}"
        )
    return {VOCABULARY: file.read_bytes()}


def read_pieces(file: Path) -> list[str]:
    """Return the pieces of a vocabulary in the order of their ids. Raises CheckpointError."""
    try:
        pieces = file.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except OSError as error:
        raise cannot_read(file, error) from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{file} is damaged: {error}") from error
    if pieces[0] != PADDING or not all(piece in pieces for piece in (UNKNOWN, START, END)):
        raise CheckpointError(
            f"{file} is not a vocabulary of BERT's: {PADDING} must be its first line, and "
            f"{START}, {END} and {UNKNOWN} among the others"
        )
    return pieces


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORDS.findall(_ASCII_CONTROLS.sub("", text).lower())
    return _of_any_script(text)


def _of_any_script(text: str) -> list[str]:
    spaced = _spaced(text)
    bare = (c for c in unicodedata.normalize("NFD", spaced) if unicodedata.category(c) != "Mn")
    lowered = "".join(c.lower() for c in bare)  # one by one: σ at the end of a word stays σ
    return "".join(f" {c} " if _is_punctuation(c) else c for c in lowered).split()


def _with_capitals(text: str) -> list[str]:
    return "".join(f" {c} " if _is_punctuation(c) else c for c in _spaced(text)).split()


def _spaced(text: str) -> str:
    """Clean a text, and make each ideograph a word."""
    return re.sub(_IDEOGRAPHS, r" \1 ", "".join(_cleaned(text)))


def _cleaned(text: str) -> Iterator[str]:
    """Yield the characters of a text: spaces for white space, without controls."""
    for c in text:
        if c in "\t\n\r" or (c.isspace() and unicodedata.category(c) != "Cc"):
            yield " "
        elif c != "\ufffd" and unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs"):
            yield c


def _is_punctuation(c: str) -> bool:
    """Return whether a character is a word of its own; all symbols of ASCII are."""
    return c in "$+<=>^`|~" or unicodedata.category(c).startswith("P")
