"""Zero-shot classification: the probability of each of some labels for a picture.

Of a model that was trained with a softmax, as CLIP was, it is the softmax of the cosines to the
labels' vectors, times a scale (Radford et al. 2021), which is measured or the model's own
(relevance.py). These probabilities add up to 1, whether or not any label fits.

Of one that was trained with a sigmoid, as SigLIP was (Zhai et al. 2023), each label has a
probability of its own: the sigmoid of the cosine, times the model's scale, plus its bias.
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
from retrieval.search.templates import expanded, filled
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
    sentences = expanded(texts("templates", templates))
    own, bias = encoder.logits
    if bias is None:
        words = encoder.embed([Words(label) for label in labels], sentences)
        scale = label_scale_of(encoder.record, own, catalog.embeddings.deviation(encoder.record.id))
        return tagged(paths, labels, probabilities(vectors, words, scale))
    # The mean of the cosines, not the cosine of the mean: that is larger, and the bias is exact.
    each = [Words(sentence) for label in labels for sentence in filled(sentences, label)]
    means = encoder.embed(each).reshape(len(labels), -1, vectors.shape[1]).mean(axis=1)
    return tagged(paths, labels, own_probabilities(vectors, means, own, bias))


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


def own_probabilities(
    pictures: NDArray[np.float32], labels: NDArray[np.float32], scale: float, bias: float
) -> NDArray[np.float32]:
    """Return (P, L), each label's probability by itself, for (P, D) and (L, D)."""
    logits = np.clip(scale * (pictures @ labels.T) + bias, -80, 80)  # beyond, exp overflows
    likely: NDArray[np.float32] = 1 / (1 + np.exp(-logits))
    return likely


def tagged(
    paths: Sequence[Path], labels: Sequence[str], likely: NDArray[np.float32]
) -> list[Tagged]:
    """Combine paths (P), labels (L) and probabilities (P, L), in the order of the paths."""
    orders = np.argsort(-likely, axis=1, kind="stable")
    return [
        Tagged(path, {labels[column]: float(row[column]) for column in order.tolist()})
        for path, row, order in zip(paths, likely, orders, strict=True)
    ]
