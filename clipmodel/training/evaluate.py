"""Evaluation of a model on unseen pictures, with the encoders that a library uses."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from clipmodel.model_folder import read_tensors
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.preprocess import to_pixels
from clipmodel.pretrained import ModelFolder
from clipmodel.scenes.painting import paint
from clipmodel.scenes.scene import imagine, queries
from clipmodel.torch_backend.image_encoder import ImageEncoder
from clipmodel.torch_backend.loading import load_image_tower
from clipmodel.training.data import flickr8k, tiny_imagenet

FIRST_PHOTOS = 100  # as many as there are vectors of ViT-B/32 to compare with
HITS = 10  # that precision looks at
MENTIONS = 2  # captions of a photo that must match a query's pattern
ZERO_SHOT_PROMPTS = ("a photo of a {}", "a picture of a {}", "a close-up photo of a {}", "{}")


def encode_pictures(
    folder: ModelFolder, pictures: Sequence[NDArray[np.uint8]]
) -> NDArray[np.float32]:
    """Encode N pictures (S, S, 3). Returns (N, D), unit norm."""
    encoder = ImageEncoder(folder)
    size = folder.config.vision.image_size
    parts = []
    for start in range(0, len(pictures), encoder.batch_size):
        chunk = pictures[start : start + encoder.batch_size]
        parts.append(encoder.encode(np.stack([to_pixels(Image.fromarray(p), size) for p in chunk])))
    return np.concatenate(parts)


def recall(
    pictures: NDArray[np.float32], texts: NDArray[np.float32], owner: NDArray[np.int64], k: int
) -> float:
    """Return the fraction of texts (i belongs to owner[i]) whose picture is in the top k."""
    scores = texts @ pictures.T  # (T, N)
    own = scores[np.arange(len(texts)), owner]
    return float(((scores > own[:, None]).sum(axis=1) < k).mean())


def costs(folder: ModelFolder) -> dict[str, float]:
    """Count parameters in millions, and operations in billions (a product and a sum are two)."""
    tower = load_image_tower(folder)
    size = folder.config.vision.image_size
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        tower(torch.zeros(1, 3, size, size))
    texts = read_tensors(folder.text_file).values()
    return {
        "image tower, million parameters": sum(p.numel() for p in tower.parameters()) / 1e6,
        "image tower, GFLOP a picture": counter.get_total_flops() / 1e9,
        "text tower, million parameters": sum(weights.size for weights in texts) / 1e6,
        "files, MB": sum(path.stat().st_size for path in folder.path.iterdir()) / 1e6,
    }


def measures(folder: ModelFolder, data: Path) -> Iterator[tuple[str, float]]:
    """Yield name and value of all that is measured."""
    yield from costs(folder).items()
    yield from words_and_photos(folder, data).items()
    yield from zero_shot(folder, data).items()
    yield from painted_scenes(folder).items()


def words_and_photos(folder: ModelFolder, data: Path) -> dict[str, float]:
    """Measure text-to-image recall on 1,000 test photos with 5,000 captions, and on 100 of them.

    And precision of everyday queries, if `data` has them: a photo is right if MENTIONS of its
    captions match the query's pattern.
    """
    test = flickr8k(data, "test")
    owner = np.repeat(np.arange(len(test)), [len(captions) for captions in test.captions])
    encoder = TextEncoder(folder)
    texts = encoder.encode([text for captions in test.captions for text in captions])
    pictures = encode_pictures(folder, list(test.pictures))
    measured = {
        f"Flickr8k test, text to image, R@{k}": recall(pictures, texts, owner, k)
        for k in (1, 5, 10)
    }
    few = owner < FIRST_PHOTOS
    few_found = recall(pictures[:FIRST_PHOTOS], texts[few], owner[few], 10)
    measured |= {f"… among its first {FIRST_PHOTOS} photos, R@10": few_found}
    if (data / "queries.json").exists():
        patterns = json.loads((data / "queries.json").read_text(encoding="utf-8"))
        right = np.array([_shown(pattern, test.captions) for pattern in patterns.values()])
        found = precision(encoder.encode(list(patterns)) @ pictures.T, right)
        measured |= {f"… {len(patterns)} short queries, by cosine, P@{HITS}": found}
    return measured


def precision(scores: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """Return the fraction of right ones among the first HITS of each row. Both: (Q, N)."""
    first = np.argsort(-scores, axis=1)[:, :HITS]
    return float(np.take_along_axis(right, first, axis=1).mean())


def _shown(pattern: str, captions: Sequence[Sequence[str]]) -> list[bool]:
    said = re.compile(pattern, re.IGNORECASE)
    return [sum(bool(said.search(text)) for text in texts) >= MENTIONS for texts in captions]


def zero_shot(folder: ModelFolder, data: Path) -> dict[str, float]:
    """Measure top-1 and top-5 of 200 labels on 600 test pictures; a label averages its prompts."""
    test, labels = tiny_imagenet(data, "test")
    names = sorted(set(labels))
    texts = [prompt.format(name.split(",")[0]) for name in names for prompt in ZERO_SHOT_PROMPTS]
    encoded = (
        TextEncoder(folder)
        .encode(texts)
        .reshape(len(names), len(ZERO_SHOT_PROMPTS), -1)
        .mean(axis=1)
    )
    encoded /= np.linalg.norm(encoded, axis=1, keepdims=True)
    scores = encode_pictures(folder, list(test.pictures)) @ encoded.T  # (N, 200)
    own = scores[np.arange(len(labels)), [names.index(label) for label in labels]]
    rank = (scores > own[:, None]).sum(axis=1)
    return {f"Tiny ImageNet test, zero-shot top-{k}": float((rank < k).mean()) for k in (1, 5)}


def painted_scenes(folder: ModelFolder, count: int = 4000) -> dict[str, float]:
    """Measure searches of test scenes by words and by a scene, whose kinds right ones share."""
    size = folder.config.vision.image_size
    scenes = [imagine(seed, "test") for seed in range(count)]
    painted = [np.asarray(paint(scene, size, size, seed)) for seed, scene in enumerate(scenes)]
    pictures = encode_pictures(folder, painted)
    asked = queries()
    texts = TextEncoder(folder).encode([query.text for query in asked])
    right = np.array([[query.matches(scene) for scene in scenes] for query in asked])
    kinds = [{thing.kind for thing in scene.things} for scene in scenes]
    examples = range(0, count, count // 200)
    alike = np.array([[bool(kinds[one] & held) for held in kinds] for one in examples])
    scores = pictures[examples] @ pictures.T
    scores[np.arange(len(examples)), examples] = -np.inf  # not the example itself
    by_words = precision(texts @ pictures.T, right)
    return {
        f"painted scenes, {len(asked)} unseen queries, P@{HITS}": by_words,
        f"painted scenes, by a scene, of the same kind, P@{HITS}": precision(scores, alike),
    }
