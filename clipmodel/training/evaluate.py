"""Evaluation of a model on unseen pictures, with the encoders that a library uses."""

from collections.abc import Sequence
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


def flickr_recall(folder: ModelFolder, data: Path) -> dict[str, float]:
    """Measure text-to-image recall on 1,000 test photos with 5,000 captions, and on 100 of them."""
    test = flickr8k(data, "test")
    owner = np.repeat(np.arange(len(test)), [len(captions) for captions in test.captions])
    texts = TextEncoder(folder).encode([text for captions in test.captions for text in captions])
    pictures = encode_pictures(folder, list(test.pictures))
    measures = {
        f"Flickr8k test, text to image, R@{k}": recall(pictures, texts, owner, k)
        for k in (1, 5, 10)
    }
    few = owner < FIRST_PHOTOS
    few_found = recall(pictures[:FIRST_PHOTOS], texts[few], owner[few], 10)
    return measures | {f"… among its first {FIRST_PHOTOS} photos, R@10": few_found}


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


def scene_precision(folder: ModelFolder, count: int = 4000) -> dict[str, float]:
    """Measure for how many of the ten nearest test scenes a query is true."""
    size = folder.config.vision.image_size
    scenes = [imagine(seed, "test") for seed in range(count)]
    pictures = [np.asarray(paint(scene, size, size, seed)) for seed, scene in enumerate(scenes)]
    asked = queries()
    texts = TextEncoder(folder).encode([query.text for query in asked])
    nearest = np.argsort(-texts @ encode_pictures(folder, pictures).T, axis=1)[:, :10]
    right = [
        [query.matches(scenes[i]) for i in row] for query, row in zip(asked, nearest, strict=True)
    ]
    return {f"painted scenes, {len(asked)} unseen queries, precision@10": float(np.mean(right))}
