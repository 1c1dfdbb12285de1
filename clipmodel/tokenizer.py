"""Text -> token ids: the byte-level BPE of OpenAI's CLIP, with equal ids for every text.

Every cold search needs it, so plain ASCII imports and builds little: ftfy would not change it, and
the standard library's `re` splits it as `regex` does (both are tested).
"""

import gzip
import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from clipmodel.vocabularies import Tokenize

MERGES = 49152 - 256 - 2  # lines of the table that OpenAI's vocabulary uses
START, END = 49406, 49407
MAX_CHARACTERS = 20_000  # of a text that may be cut: 77 meaningful tokens end long before

TABLE = Path(__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
_SPECIAL = {"<|startoftext|>": START, "<|endoftext|>": END}
_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|{letters}+|{number}|[^\s{other}]+"
)
_ASCII_WORDS = re.compile(_WORDS.format(letters="[a-z]", number="[0-9]", other="a-z0-9"))


class TextTooLong(ValueError, RuntimeError):
    """A text has more tokens than the context holds. OpenAI's package raises a RuntimeError."""

    @classmethod
    def of(cls, text: str, tokens: int, context_length: int) -> "TextTooLong":
        shown = text if len(text) <= 60 else text[:59] + "…"
        return cls(
            f"{shown!r} has {tokens} tokens; the context has {context_length}, two of "
            f"them for start and end; shorten it or pass truncate=True"
        )


def token_rows(
    texts: str | Sequence[str],
    context_length: int,
    truncate: bool,
    encode: Callable[[str], Sequence[int]],
    *,
    start: Sequence[int],
    end: Sequence[int],
    padding: int = 0,
    room: int | None = None,
) -> NDArray[np.int64]:
    """Return (B, context_length): start, the text, end, padding; one row for each text.

    encode: returns the tokens of a text. room: for these; by default what start and end leave.
    Raises TextTooLong (a ValueError) for a text that does not fit, unless `truncate` cuts off its
    end.
    """
    batch = [texts] if isinstance(texts, str) else texts
    room = context_length - len(start) - len(end) if room is None else room
    rows = np.full((len(batch), context_length), padding, np.int64)
    for row, text in zip(rows, batch, strict=True):
        tokens = encode(text[:MAX_CHARACTERS] if truncate else text)
        if len(tokens) > room and not truncate:
            raise TextTooLong.of(text, len(tokens), context_length)
        ids = [*start, *tokens[:room], *end]
        row[: len(ids)] = ids
    return rows


class Tokenizer:
    """A table of merges, with the ids of OpenAI's vocabulary."""

    def __init__(self, table: Path = TABLE) -> None:
        lines = gzip.decompress(table.read_bytes()).decode("utf-8").split("\n")
        self._merges = lines[1 : MERGES + 1]  # "a b": earlier ones first
        self._ranks = dict(zip(self._merges, range(MERGES), strict=True))
        self._letters = printable_bytes()  # each byte as a printable character
        characters = self._letters.values()
        self._ids = {c: i for i, c in enumerate(characters)}  # inside a word
        self._ids |= {c + "</w>": 256 + i for i, c in enumerate(characters)}  # at its end
        self._of_word = lru_cache(10_000)(self._merge)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end."""
        return [token for word in _words(_clean(text)) for token in self._of_word(word)]

    def encode_start(self, text: str, most: int) -> list[int]:
        """Return the first `most` ids of a text of any length."""
        tokens: list[int] = []
        for word in _words(_clean(text[:MAX_CHARACTERS])):
            tokens += self._of_word(word)
            if len(tokens) >= most:
                break
        return tokens[:most]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids: lower-case words, each followed by a space."""
        text = "".join(self._text_of(token) for token in ids)
        bytes_of = {character: byte for byte, character in self._letters.items()}
        spelt = text.replace("</w>", " ")
        return bytes(
            b for c in spelt for b in ([bytes_of[c]] if c in bytes_of else c.encode())
        ).decode("utf-8", errors="replace")

    def vocabulary(self) -> dict[str, int]:
        """Return the id of each token, spelled as in other tokenizers' files."""
        merged = {pair.replace(" ", ""): 512 + rank for rank, pair in enumerate(self._merges)}
        return self._ids | merged | _SPECIAL

    def ranks(self) -> dict[tuple[str, str], int]:
        """Return the place in the table of each pair of tokens."""
        split = (pair.partition(" ") for pair in self._merges)
        return {(first, second): rank for rank, (first, _, second) in enumerate(split)}

    def _text_of(self, token: int) -> str:
        if token >= START:
            return next(name for name, special in _SPECIAL.items() if special == token)
        if token >= 512:
            return self._merges[token - 512].replace(" ", "")
        return list(self._ids)[token]

    def _merge(self, word: str) -> tuple[int, ...]:
        if word in _SPECIAL:
            return (_SPECIAL[word],)
        return self.merged([self._letters[byte] for byte in word.encode(errors="replace")])

    def merged(self, letters: list[str]) -> tuple[int, ...]:
        """Return the ids of a word: join the pair first in the table, until it has none of them.

        A heap and a list of neighbours make it n log n: even a word of a million letters ends.
        """
        parts = [*letters[:-1], letters[-1] + "</w>"]
        ids = [self._ids[part] for part in parts]
        following, before = list(range(1, len(parts) + 1)), list(range(-1, len(parts) - 1))
        heap: list[tuple[int, int, str]] = []

        def offer(left: int) -> None:
            if left >= 0 and (right := following[left]) < len(parts):
                pair = f"{parts[left]} {parts[right]}"
                if (rank := self._ranks.get(pair)) is not None:
                    heapq.heappush(heap, (rank, left, pair))

        for left in range(len(parts)):
            offer(left)
        while heap:
            rank, left, pair = heapq.heappop(heap)
            right = following[left]
            if right >= len(parts) or not parts[left] or pair != f"{parts[left]} {parts[right]}":
                continue  # one of the two has been joined to another part
            parts[left], ids[left] = parts[left] + parts[right], 512 + rank
            parts[right] = ""
            following[left] = following[right]
            if following[left] < len(parts):
                before[following[left]] = left
            offer(before[left])
            offer(left)
        return tuple(token for token, part in zip(ids, parts, strict=True) if part)


def token_ids(
    texts: str | Sequence[str], context_length: int = 77, truncate: bool = False
) -> NDArray[np.int64]:
    """Return (B, context_length): start, the text, end, zeros; one row for each text.

    Raises TextTooLong (a ValueError) for a text that does not fit, unless `truncate` cuts off its
    end.
    """
    tokenizer, room = _shared(), context_length - 2
    encode = partial(tokenizer.encode_start, most=room) if truncate else tokenizer.encode
    return token_rows(texts, context_length, truncate, encode, start=[START], end=[END])


def of_folder(folder: Path) -> "Tokenize":
    """Return `token_ids`: the table is part of this package."""
    return token_ids


def vocabulary() -> dict[str, int]:
    """Return all tokens of CLIP's vocabulary with their ids."""
    return _shared().vocabulary()


@cache
def _shared() -> Tokenizer:
    return Tokenizer()


def repaired(text: str) -> str:
    """Repair wrongly decoded text and resolve HTML entities."""
    if _is_plain(text):
        return text
    import html

    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text)))


def _clean(text: str) -> str:
    """Repair a text, collapse its white space and lower it."""
    text = repaired(text)
    return " ".join(text.split()).lower() if text.isascii() else _collapse(text)


def _is_plain(text: str) -> bool:
    """Return whether cleaning would not change a text: no control characters, no entities."""
    return text.isascii() and text.isprintable() and "&" not in text


def _collapse(text: str) -> str:
    return str(_unicode()[0].sub(" ", text.strip()).strip().lower())


def _words(text: str) -> Iterator[str]:
    pattern = _ASCII_WORDS if text.isascii() else _unicode()[1]
    for found in pattern.finditer(text):
        yield found.group()


@cache
def _unicode() -> tuple[Any, Any]:
    """Return patterns of white space and of words, in every script."""
    import regex

    words = _WORDS.format(letters=r"[\p{L}]", number=r"[\p{N}]", other=r"\p{L}\p{N}")
    return regex.compile(r"\s+"), regex.compile(words, regex.IGNORECASE)


def printable_bytes() -> dict[int, str]:
    """Return a character for each byte: itself if it prints, else one from 256 on (as in GPT-2)."""
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printing]
    return {b: chr(b) for b in printing} | {b: chr(256 + i) for i, b in enumerate(others)}
