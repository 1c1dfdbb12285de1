"""Small models of every family of towers, with random weights: what a benchmark of ranking runs on.

Their figures mean nothing, as a random model finds nothing: the right picture comes first once in
as many queries as there are pictures. What they show is that the query bank, the ranking, labels
and near copies work with each family, and that nothing is claimed for it.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import peers
from benchmarks.harness.libraries import SMALL
from benchmarks.harness.report import Row
from benchmarks.relevance import captioned, recalls
from clipmodel.config import (
    BertConfig,
    CocaTextConfig,
    EfficientNetConfig,
    ModelConfig,
    OpenClipVisionConfig,
    Resize,
    ResNetConfig,
    SiglipVisionConfig,
    Stage,
    T5Config,
    TextConfig,
)
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.scenes.painting import paint
from clipmodel.scenes.scene import captions, imagine
from clipmodel.vocabularies import vocabulary_of
from retrieval.records import ModelRecord
from retrieval.search.relevance import calibration_of
from retrieval.vectors.hubness import QUERY_BANK_FILE

SCENES = 40
PIECES = 400  # of a vocabulary, made from the sentences of the query bank
WORD_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPECIAL_PIECES: dict[
    str, dict[str, Any]
] = {  # of sentencepiece's trainer, by the name of the vocabulary
    "siglip2": {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "eos_piece": "<eos>"},
    "xlm-roberta": {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3},
    "mt5": {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
}
TEXT = (64, 2, 2, 128)  # width, layers, heads, width of the MLP
LITE = EfficientNetConfig(64, 8, (Stage(3, 2, 3, 16, 1),), head_width=32, projection=())
SIGLIP = replace(
    SMALL,
    embed_dim=64,
    vision=SiglipVisionConfig(64, 16, *TEXT, "gelu_tanh"),
    text=TextConfig(
        *(32, PIECES, *TEXT, "gelu_tanh", "siglip2"),
        causal=False,
        pool="last",
        epsilon=1e-6,
        biased=True,
    ),
    resize=Resize(64, "squash"),
    logit_bias=True,
)
OPENCLIP = {"layers": 2, "width": 64, "head_width": 32, "patch_size": 16, "image_size": 64}


def rows(folder: Path) -> Iterator[Row]:
    """Yield the R@1 of each model, and stop at one that claims something."""
    scenes = [imagine(seed, "test") for seed in range(SCENES)]
    pictures = [paint(scene, 64, 64, seed) for seed, scene in enumerate(scenes)]
    texts = [captions(scene, seed)[-1] for seed, scene in enumerate(scenes)]
    for model in models(folder):
        record = ModelRecord(1, model.name, model.digest, model.config.embed_dim, "fp32")
        assert calibration_of(record) is None, "a random model has a relevance"
        by_cosine, by_default = recalls(captioned(model, pictures, texts, np.arange(SCENES)))
        name = f"{model.name} (random)"
        yield {"model": name, "photos": SCENES, "R@1 by cosine": by_cosine, "R@1": by_default}


def models(folder: Path) -> Iterator[ModelFolder]:
    """Yield a model of each pair of towers that published models have, in folders of its name."""
    import torch

    from clipmodel.model import CLIP

    for name, config in configs().items():
        torch.manual_seed(0)
        files = {file: vocabulary(config) for file in vocabulary_of(config.text).files}
        state = CLIP.of(config).state_dict()
        yield save_folder(folder / name, name, config, state, "float32", files=files)


def configs() -> dict[str, ModelConfig]:
    """Return the configs by name; those of packages that are not installed are left out."""
    named = {
        "CLIP": SMALL,
        "CLIP, ResNet": replace(SMALL, vision=ResNetConfig(64, 8, (1, 1, 1, 1), 4)),
        "CoCa": replace(SMALL, text=CocaTextConfig(77, 49408, *TEXT, "gelu")),
        "EfficientNet, BERT": replace(SMALL, vision=LITE, text=_bert("bert", len(word_pieces()))),
    }
    if peers.importable("sentencepiece"):
        named |= {"SigLIP": SIGLIP}
        named |= {"XLM-RoBERTa": replace(SMALL, text=_bert("xlm-roberta", PIECES))}
        named |= {"mT5": replace(SMALL, text=T5Config(32, PIECES, 64, 2, 2, 32, 128, buckets=32))}
    if peers.importable("open_clip"):
        tower = OpenClipVisionConfig(64, SMALL.embed_dim, json.dumps(OPENCLIP), False)
        named |= {"OpenCLIP’s tower": replace(SMALL, vision=tower)}
    return named


def _bert(tokens: str, vocab_size: int) -> BertConfig:
    padding = 1 if tokens == "xlm-roberta" else 0
    return BertConfig(32, vocab_size, *TEXT, projects=True, padding=padding, tokens=tokens)


def vocabulary(config: ModelConfig) -> bytes:
    """Return the vocabulary that a text tower needs, made from the sentences of the query bank."""
    if config.text.vocabulary == "bert":
        return "\n".join(word_pieces()).encode()
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(QUERY_BANK_FILE.read_text("utf-8").splitlines()),
        model_writer=written,
        vocab_size=PIECES,
        minloglevel=2,
        num_threads=1,
        **SPECIAL_PIECES[config.text.vocabulary],
    )
    return written.getvalue()


def word_pieces() -> list[str]:
    return [*WORD_PIECES, *sorted({*QUERY_BANK_FILE.read_text("utf-8").split()})]
