"""OpenAI's module `clip.simple_tokenizer`: the tokenizer of tokenizer.py under its names."""

from collections.abc import Sequence
from pathlib import Path

from clipmodel.tokenizer import TABLE, Tokenizer, printable_bytes, repaired

__all__ = ["SimpleTokenizer", "basic_clean", "bytes_to_unicode", "default_bpe", "whitespace_clean"]


def default_bpe() -> str:
    """Return the path of the table of merges."""
    return str(TABLE)


def bytes_to_unicode() -> dict[int, str]:
    """Return a printable character for each byte."""
    return printable_bytes()


def basic_clean(text: str) -> str:
    """Repair wrongly decoded text, resolve HTML entities and remove white space at both ends."""
    return repaired(text).strip()


def whitespace_clean(text: str) -> str:
    """Turn each run of white space into one space, and remove it at both ends."""
    return " ".join(text.split())


class SimpleTokenizer:
    """Text -> ids and back: `encode`, `decode`.

    encoder, decoder: tokens to ids, and back. bpe_ranks: pairs of tokens to their place in the
    table of merges. byte_encoder, byte_decoder: bytes to printable characters, and back.
    """

    def __init__(self, bpe_path: str | Path = TABLE) -> None:
        """bpe_path: of a table of merges, compressed by gzip, like that of `default_bpe()`."""
        self._tokenizer = Tokenizer(Path(bpe_path))
        self.encoder = self._tokenizer.vocabulary()
        self.decoder = {token: spelt for spelt, token in self.encoder.items()}
        self.bpe_ranks = self._tokenizer.ranks()
        self.byte_encoder = printable_bytes()
        self.byte_decoder = {letter: byte for byte, letter in self.byte_encoder.items()}

    def bpe(self, token: str) -> str:
        """Return the tokens of a word, which is spelt as by `byte_encoder`, with spaces between."""
        if token in ("<|startoftext|>", "<|endoftext|>"):
            return token
        return " ".join(self.decoder[part] for part in self._tokenizer.merged([*token]))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end."""
        return self._tokenizer.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of ids: lower-case words, each followed by a space."""
        return self._tokenizer.decode(tokens)
