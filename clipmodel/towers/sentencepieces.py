"""Text -> token ids: the pieces of a sentencepiece model, with equal ids for every text.

The package `sentencepiece` reads a model of 256,000 pieces in 0.1 s; `tokenizers` takes more than a
second for the same (docs/models.md).
"""

import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import CheckpointError, ClipModelError
from clipmodel.tokenizer import MAX_CHARACTERS, TextTooLong, repaired

if TYPE_CHECKING:
    from clipmodel.vocabularies import Tokenize

MODEL = "pieces.model"  # in a model folder; its ids are those of the weights


class Frame(NamedTuple):
    """What precedes and follows the pieces of a text, and how the text is cleaned before."""

    start: tuple[str, ...]
    end: tuple[str, ...]
    padding: int
    clean: Callable[[str], str]

    def check(self, names: Sequence[str]) -> None:
        """Raise CheckpointError for a vocabulary without these pieces."""
        if missing := [name for name in (*self.start, *self.end) if name not in names]:
            raise CheckpointError(f"the vocabulary lacks {', '.join(missing)}")


def canonical(text: str) -> str:
    """Clean a text as SigLIP's authors do (big_vision): lower case, without ASCII's punctuation."""
    bare = repaired(text).replace("_", " ").translate(_NO_PUNCTUATION)
    return " ".join(bare.lower().split())


def spaced(text: str) -> str:
    """Repair a text and collapse its white space."""
    return " ".join(repaired(text).split())


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

SIGLIP = Frame((), ("</s>",), padding=1, clean=canonical)  # T5's pieces
SIGLIP2 = Frame((), ("<eos>",), padding=0, clean=canonical)  # Gemma's
MT5 = Frame((), ("</s>",), padding=0, clean=canonical)
MT5_CASED = Frame((), ("</s>",), padding=0, clean=spaced)
NLLB = Frame(("eng_Latn",), ("</s>",), padding=1, clean=spaced)  # whatever the language
XLM_ROBERTA = Frame(("<s>",), ("</s>",), padding=1, clean=spaced)  # XLM-V's, too
M_CLIP = XLM_ROBERTA._replace(clean=str)  # its pieces; a text is left as it is


class SentencePieces:
    """A sentencepiece model and the frame of a text."""

    def __init__(self, file: Path, frame: Frame) -> None:
        """Raises CheckpointError, and ClipModelError if the package is missing."""
        try:
            import sentencepiece
        except ImportError as error:
            raise ClipModelError(
                "this model's texts need the package sentencepiece: pip install sentencepiece"
            ) from error
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_file=str(file))
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f"{file} is damaged: {error}") from error
        self._frame = frame
        self._start = [self._model.piece_to_id(name) for name in frame.start]
        self._end = [self._model.piece_to_id(name) for name in frame.end]

    def token_ids(
        self, texts: str | Sequence[str], context_length: int, truncate: bool = False
    ) -> NDArray[np.int64]:
        """Return (B, context_length): start, the text, end, padding; one row for each text.

        Raises TextTooLong (a ValueError) for a text that does not fit, unless `truncate` cuts off
        its end.
        """
        batch = [texts] if isinstance(texts, str) else texts
        room = context_length - len(self._start) - len(self._end)
        rows = np.full((len(batch), context_length), self._frame.padding, np.int64)
        for row, text in zip(rows, batch, strict=True):
            cleaned = self._frame.clean(text[:MAX_CHARACTERS] if truncate else text)
            pieces = self._model.encode(cleaned)
            if len(pieces) > room and not truncate:
                raise TextTooLong.of(text, len(pieces), context_length)
            ids = [*self._start, *pieces[:room], *self._end]
            row[: len(ids)] = ids
        return rows


def of_siglip(folder: Path) -> "Tokenize":
    """Return `token_ids` of SigLIP. Raises CheckpointError, ClipModelError."""
    return SentencePieces(folder / MODEL, SIGLIP).token_ids


def of_siglip2(folder: Path) -> "Tokenize":
    """Return `token_ids` of SigLIP 2. Raises CheckpointError, ClipModelError."""
    return SentencePieces(folder / MODEL, SIGLIP2).token_ids


def of_mt5(folder: Path) -> "Tokenize":
    """Return `token_ids` of mT5. Raises CheckpointError, ClipModelError."""
    return SentencePieces(folder / MODEL, MT5).token_ids


def of_m_clip(folder: Path) -> "Tokenize":
    """Return `token_ids` of M-CLIP. Raises CheckpointError, ClipModelError."""
    return SentencePieces(folder / MODEL, M_CLIP).token_ids


def of_mt5_cased(folder: Path) -> "Tokenize":
    """Return `token_ids` of mT5, with capitals and punctuation. Raises as `of_mt5`."""
    return SentencePieces(folder / MODEL, MT5_CASED).token_ids


def of_nllb(folder: Path) -> "Tokenize":
    """Return `token_ids` of NLLB. Raises CheckpointError, ClipModelError."""
    return SentencePieces(folder / MODEL, NLLB).token_ids


def of_xlm_roberta(folder: Path) -> "Tokenize":
    """Return `token_ids` of XLM-RoBERTa or XLM-V. Raises CheckpointError, ClipModelError."""
    return SentencePieces(folder / MODEL, XLM_ROBERTA).token_ids
