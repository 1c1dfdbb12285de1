"""Zero-shot classification: the probability of each of some labels for a picture.

It is the softmax of the cosines to the labels' vectors, times a scale (Radford et al. 2021). The
scale of training would make a small model far too confident, so each model has its own, measured or
derived from its cosines to the library's pictures (relevance.py). The probabilities add up to 1,
whether or not any label fits.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import first_in, ids_in
from retrieval.errors import InvalidQuery, PathNotFound, because
from retrieval.search.query_encoder import QueryEncoder
from retrieval.search.question import Example, Words
from retrieval.search.relevance import label_scale_of
from retrieval.search.templates import expanded
from retrieval.values import texts


@dataclass(frozen=True, slots=True)
class Tagged:
    """A picture, and the probability of each label, the most likely first."""

    path: Path
    labels: Mapping[str, float]


def read_labels(file: Path) -> list[str]:
    """Read labels, one per line; blank lines, duplicates and lines that begin with # are skipped.

    Raises PathNotFound, InvalidQuery.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError as error:
        raise PathNotFound(f"no such label file: {file}") from error
    except OSError as error:
        raise because(PathNotFound, f"{file} cannot be read", error) from error
    except UnicodeError as error:
        raise InvalidQuery(
            f"{file} is not a text file in UTF-8; give one with a label on each line"
        ) from error
    named = (line.strip() for line in lines)
    return list(dict.fromkeys(line for line in named if line and not line.startswith("#")))


def tag(
    catalog: Catalog,
    encoder: QueryEncoder,
    pictures: Sequence[Path],
    labels: Sequence[str],
    templates: str | Sequence[str],
) -> list[Tagged]:
    """Return the probability of each label for each picture, or for all known ones in a folder.

    Raises InvalidQuery if there are no labels, and what `QueryEncoder.embed` raises.
    """
    labels = () if isinstance(labels, str) else texts("labels", labels)
    if not labels:
        raise InvalidQuery("there are no labels; give a list of two or more")
    paths = [path for each in pictures for path in _files(catalog, each)]
    vectors = encoder.embed([Example(path) for path in paths])
    words = encoder.embed(
        [Words(label) for label in labels], expanded(texts("templates", templates))
    )
    scale = label_scale_of(encoder.record, catalog.embeddings.deviation(encoder.record.id))
    return tagged(paths, labels, probabilities(vectors, words, scale))


def _files(catalog: Catalog, path: Path) -> list[Path]:
    """Return the file itself; for a folder, one copy of each image in it."""
    if not os.path.isdir(path):
        return [path]
    images = catalog.images.by_id(ids_in(catalog, path).tolist())
    return [first_in(image.paths, path) for image in images.values() if image.paths]


def probabilities(
    pictures: NDArray[np.float32], labels: NDArray[np.float32], scale: float
) -> NDArray[np.float32]:
    """Return (P, L), each row adding up to 1, for (P, D) and (L, D) of unit L2 norm."""
    logits = scale * (pictures @ labels.T)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    normalised: NDArray[np.float32] = odds / odds.sum(axis=1, keepdims=True)
    return normalised


def tagged(
    paths: Sequence[Path], labels: Sequence[str], likely: NDArray[np.float32]
) -> list[Tagged]:
    """Combine paths (P), labels (L) and probabilities (P, L), in the order of the paths."""
    orders = np.argsort(-likely, axis=1, kind="stable")
    return [
        Tagged(path, {labels[column]: float(row[column]) for column in order.tolist()})
        for path, row, order in zip(paths, likely, orders, strict=True)
    ]
