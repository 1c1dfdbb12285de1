"""Text -> token ids: the pieces of a sentencepiece model, with equal ids for every text.

The package `sentencepiece` reads a model of 256,000 pieces in 0.1 s; `tokenizers` takes more than a
second for the same (docs/models.md).
"""

import string
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import CheckpointError, ClipModelError
from clipmodel.tokenizer import repaired, token_rows

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
        """Return (B, context_length), as `token_rows`."""
        return token_rows(
            *(texts, context_length, truncate, self._encode),
            start=self._start,
            end=self._end,
            padding=self._frame.padding,
        )

    def _encode(self, text: str) -> list[int]:
        pieces: list[int] = self._model.encode(self._frame.clean(text))
        return pieces


def of_folder(frame: Frame, folder: Path) -> "Tokenize":
    """Return `token_ids` of the pieces in a folder. Raises CheckpointError, ClipModelError."""
    return SentencePieces(folder / MODEL, frame).token_ids


of_siglip = partial(of_folder, SIGLIP)
of_siglip2 = partial(of_folder, SIGLIP2)
of_mt5 = partial(of_folder, MT5)
of_m_clip = partial(of_folder, M_CLIP)
of_mt5_cased = partial(of_folder, MT5_CASED)
of_nllb = partial(of_folder, NLLB)
of_xlm_roberta = partial(of_folder, XLM_ROBERTA)
