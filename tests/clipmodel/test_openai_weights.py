"""With OpenAI's own ViT-B/32, which has to be fetched: `make test ARGS="-m network"`.

The numbers are others' readings of the same weights (see the README of the reference data).
"""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import clipmodel
from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.pretrained import resolve

VECTORS = Path(__file__).parents[2] / "../shared/data/clip_vectors"

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def vit_b_32() -> ModelFolder:
    return resolve("ViT-B/32")


def test_a_greeting_is_where_it_should_be(vit_b_32: ModelFolder) -> None:
    [vector] = TextEncoder(vit_b_32).encode(["hello world"])
    np.testing.assert_allclose(vector[:5], [0.0083, 0.0103, -0.0138, 0.0199, -0.0069], atol=1e-3)


def test_captions_are_where_openai_has_them(vit_b_32: ModelFolder) -> None:
    if not VECTORS.is_dir():
        pytest.skip("the reference vectors are not here")
    with (VECTORS / "captions.tsv").open(encoding="utf-8", newline="") as file:
        texts = [text for _, text in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    ours, theirs = TextEncoder(vit_b_32).encode(texts), np.load(VECTORS / "text.npy")
    assert (ours * theirs).sum(axis=1).min() > 0.999


def test_both_towers_agree_on_the_words(vit_b_32: ModelFolder) -> None:
    texts = ["a photo of a cat", "a photo of a dog", "a diagram"]
    model, _ = clipmodel.load("ViT-B/32", device="cpu")
    with torch.inference_mode():
        vectors = torch.nn.functional.normalize(model.encode_text(clipmodel.tokenize(texts)))
    np.testing.assert_allclose(TextEncoder(vit_b_32).encode(texts), vectors.numpy(), atol=1e-5)
