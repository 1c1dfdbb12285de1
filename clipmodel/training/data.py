"""Collections of pictures in memory, each picture with captions that are true of it."""

import csv
import gzip
import io
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Split = Literal["train", "test"]

LABEL_PROMPTS = ("a photo of a {}", "a {}", "a picture of a {}", "a close-up photo of a {}", "{}")


@dataclass(frozen=True)
class Collection:
    """Pictures of one source and split. Row i of `pictures` has `captions[i]`.

    For painted scenes, `truths` tells which of a list of statements are true, and which are not.
    """

    name: str
    pictures: NDArray[np.uint8]  # (N, S, S, 3) RGB
    captions: list[list[str]]
    truths: NDArray[np.bool_] | None = None  # (N, T) for T statements

    def __len__(self) -> int:
        return len(self.captions)


def flickr8k(data: Path, split: Split) -> Collection:
    """Return the photos of Flickr8k, 128×128, five captions each (research and education use)."""
    captions: dict[str, list[str]] = defaultdict(list)
    for row in _rows(data / "flickr8k/captions.tsv.gz"):
        if row["split"] == split:
            captions[row["image"]].append(row["caption"].strip())
    pictures = _pictures(data / "flickr8k/images-128.tar", set(captions))
    return Collection(
        "flickr8k", np.stack(list(pictures.values())), [captions[n] for n in pictures]
    )


def tiny_imagenet(data: Path, split: Split) -> tuple[Collection, list[str]]:
    """Return pictures of 200 kinds of things, 64×64 (research use), and each picture's label."""
    labels = {
        r["image"]: r["label"]
        for r in _rows(data / "tiny_imagenet/labels.tsv.gz")
        if r["split"] == split
    }
    pictures = _pictures(data / "tiny_imagenet/images-64.tar", set(labels))
    captions = [label_captions(labels[name]) for name in pictures]
    collection = Collection("tiny_imagenet", np.stack(list(pictures.values())), captions)
    return collection, [labels[name] for name in pictures]


def label_captions(label: str) -> list[str]:
    """Turn a WordNet label ("goldfish, Carassius auratus") into captions, its first name twice."""
    names = [name.strip() for name in label.split(",")]
    return [prompt.format(name) for name in (names[0], *names) for prompt in LABEL_PROMPTS]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def _pictures(path: Path, wanted: set[str]) -> dict[str, NDArray[np.uint8]]:
    pictures = {}
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name in wanted and (packed := tar.extractfile(member)):
                opened = Image.open(io.BytesIO(packed.read()))
                pictures[member.name] = np.asarray(opened.convert("RGB"))
    return pictures
