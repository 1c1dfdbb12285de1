"""Text -> token ids: RoBERTa's byte pairs, by the package `tokenizers` from its tokenizer.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipmodel.checkpoints.json_values import part, read_json
from clipmodel.config import TextTowerConfig
from clipmodel.errors import CheckpointError, ClipModelError, cannot_read
from clipmodel.tokenizer import token_rows
from clipmodel.towers.sentencepieces import spaced

if TYPE_CHECKING:
    from clipmodel.vocabularies import Tokenize

FILE = "tokenizer.json"  # in a model folder
START, END, PADDING = "<s>", "</s>", 1


class BytePairs:
    """A tokenizer of Hugging Face's, and the tokens around a text."""

    def __init__(self, file: Path) -> None:
        """Raises CheckpointError, and ClipModelError if the package is missing."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ClipModelError(
                "this model's texts need the package tokenizers: pip install tokenizers"
            ) from error
        try:
            self._model = Tokenizer.from_file(str(file))
        except Exception as error:  # the package raises nothing more precise
            raise CheckpointError(f"{file} is damaged: {error}") from error
        self._model.no_truncation()
        self._model.no_padding()
        start, end = self._model.token_to_id(START), self._model.token_to_id(END)
        assert start is not None and end is not None  # `collect` found both
        self._start, self._end = [start], [end]

    def token_ids(
        self, texts: str | Sequence[str], context_length: int, truncate: bool = False
    ) -> NDArray[np.int64]:
        """Return (B, context_length), as `token_rows`."""
        return token_rows(
            *(texts, context_length, truncate, self._encode),
            start=self._start,
            end=self._end,
            padding=PADDING,
        )

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._model.encode(spaced(text), add_special_tokens=False).ids
        return ids


def of_roberta(folder: Path) -> "Tokenize":
    """Return `token_ids` of RoBERTa. Raises CheckpointError, ClipModelError."""
    return BytePairs(folder / FILE).token_ids


def collect(config: TextTowerConfig, beside: Mapping[str, Path]) -> dict[str, bytes]:
    """Return the file beside a model's weights, if it fits them. Raises CheckpointError."""
    file = beside["tokenizer"]
    if not file.is_file():
        raise CheckpointError(f"its vocabulary is missing: put its {FILE} beside it")
    held = read_json(file)
    model = part(file, held, "model")
    if model.get("type") != "BPE":
        raise CheckpointError(f"layout not supported: {file} holds a {model.get('type')!r}")
    added = {str(each.get("content")): each.get("id") for each in held.get("added_tokens") or []}
    ids = part(file, model, "vocab") | added
    for name, wanted in ((START, None), (END, None), ("<pad>", PADDING)):
        if name not in ids or wanted not in (None, ids[name]):
            raise CheckpointError(f"{file} is not a vocabulary of RoBERTa's: it lacks {name}")
    if max(ids.values()) >= config.vocab_size:
        raise CheckpointError(
            f"{file} has {len(ids):,} tokens, and the weights are for {config.vocab_size:,}"
        )
    try:
        return {FILE: file.read_bytes()}
    except OSError as error:
        raise cannot_read(file, error) from error
