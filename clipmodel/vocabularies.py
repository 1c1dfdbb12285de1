"""The vocabularies of texts: an entry holds everything that the rest of this package needs of one.

The functions of an entry are imported when they are called.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipmodel.config import TextTowerConfig
from clipmodel.families import Later

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tokenize = Callable[[Sequence[str], int, bool], NDArray[np.int64]]
    """(texts, L, truncate) -> (B, L) token ids, padding after the end; see tokenizer.token_ids."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, which may need files of a model's own."""

    name: str  # in config.json
    padding: int  # the token id after a text's end
    files: tuple[str, ...]  # that a model folder holds for the tokenizer
    tokenizer: "Callable[[Path], Tokenize]"  # of a model folder
    # (config, files beside the weights) -> the contents of `files`; raises CheckpointError for
    # another tokenizer's files
    collect: "Callable[[TextTowerConfig, Mapping[str, Path]], dict[str, bytes]]"


VOCABULARIES = (
    Vocabulary(
        name="clip",
        padding=0,
        files=(),
        tokenizer=Later("clipmodel.tokenizer:of_folder"),
        collect=Later("clipmodel.checkpoints.vocabulary:collect"),
    ),
    Vocabulary(
        name="bert",
        padding=0,
        files=("vocab.txt",),
        tokenizer=Later("clipmodel.towers.wordpiece:of_folder"),
        collect=Later("clipmodel.towers.wordpiece:collect"),
    ),
    Vocabulary(
        name="bert-cased",
        padding=0,
        files=("vocab.txt",),
        tokenizer=Later("clipmodel.towers.wordpiece:of_cased"),
        collect=Later("clipmodel.towers.wordpiece:collect"),
    ),
    Vocabulary(
        name="clipa",
        padding=0,
        files=("vocab.txt",),
        tokenizer=Later("clipmodel.towers.wordpiece:of_clipa"),
        collect=Later("clipmodel.towers.wordpiece:collect"),
    ),
    Vocabulary(
        name="siglip",
        padding=1,
        files=("pieces.model",),
        tokenizer=Later("clipmodel.towers.sentencepieces:of_siglip"),
        collect=Later("clipmodel.checkpoints.sentencepieces:of_siglip"),
    ),
    Vocabulary(
        name="siglip2",
        padding=0,
        files=("pieces.model",),
        tokenizer=Later("clipmodel.towers.sentencepieces:of_siglip2"),
        collect=Later("clipmodel.checkpoints.sentencepieces:of_siglip2"),
    ),
    Vocabulary(
        name="mt5",
        padding=0,
        files=("pieces.model",),
        tokenizer=Later("clipmodel.towers.sentencepieces:of_mt5"),
        collect=Later("clipmodel.checkpoints.sentencepieces:of_mt5"),
    ),
    Vocabulary(
        name="mt5-cased",
        padding=0,
        files=("pieces.model",),
        tokenizer=Later("clipmodel.towers.sentencepieces:of_mt5_cased"),
        collect=Later("clipmodel.checkpoints.sentencepieces:of_mt5"),
    ),
    Vocabulary(
        name="nllb",
        padding=1,
        files=("pieces.model",),
        tokenizer=Later("clipmodel.towers.sentencepieces:of_nllb"),
        collect=Later("clipmodel.checkpoints.sentencepieces:of_nllb"),
    ),
    Vocabulary(
        name="roberta",
        padding=1,
        files=("tokenizer.json",),
        tokenizer=Later("clipmodel.towers.byte_pairs:of_roberta"),
        collect=Later("clipmodel.towers.byte_pairs:collect"),
    ),
    Vocabulary(
        name="m-clip",
        padding=1,
        files=("pieces.model",),
        tokenizer=Later("clipmodel.towers.sentencepieces:of_m_clip"),
        collect=Later("clipmodel.checkpoints.sentencepieces:of_xlm_roberta"),
    ),
    Vocabulary(
        name="xlm-roberta",
        padding=1,
        files=("pieces.model",),
        tokenizer=Later("clipmodel.towers.sentencepieces:of_xlm_roberta"),
        collect=Later("clipmodel.checkpoints.sentencepieces:of_xlm_roberta"),
    ),
)


def vocabulary_of(config: TextTowerConfig) -> Vocabulary:
    """Return the vocabulary of a text tower."""
    return next(one for one in VOCABULARIES if one.name == config.vocabulary)
