"""Zero-shot classification: which of some labels a picture shows, as probabilities.

As Radford et al. 2021: the softmax over the cosines to the labels' vectors, times a scale. Not the
one that the model was trained with: a small model is far less often right than that says. The scale
is a model's own (relevance.py). The labels share out 1 whether or not any of them fits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import InvalidQuery, PathNotFound, because


@dataclass(frozen=True, slots=True)
class Tagged:
    """A picture, and the probability of each label, the most likely first."""

    path: Path
    labels: Mapping[str, float]


def read_labels(file: Path) -> list[str]:
    """One a line; blank lines, doubles and lines that begin with # are left out.

    Raises PathNotFound, InvalidQuery.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError as error:
        raise PathNotFound(f"no such file of labels: {file}") from error
    except OSError as error:
        raise because(InvalidQuery, f"{file} cannot be read", error) from error
    except UnicodeDecodeError as error:
        raise InvalidQuery(f"{file} is no file of labels, one a line in UTF-8: {error}") from error
    named = (line.strip() for line in lines)
    return list(dict.fromkeys(line for line in named if line and not line.startswith("#")))


def probabilities(
    pictures: NDArray[np.float32], labels: NDArray[np.float32], scale: float
) -> NDArray[np.float32]:
    """(P, D) and (L, D), unit L2 norm -> (P, L), each row adding up to 1."""
    logits = scale * (pictures @ labels.T)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = odds / odds.sum(axis=1, keepdims=True)
    return shares


def tagged(
    paths: Sequence[Path], labels: Sequence[str], shares: NDArray[np.float32]
) -> list[Tagged]:
    """Paths (P), labels (L) and probabilities (P, L), in the order of the paths."""
    orders = np.argsort(-shares, axis=1, kind="stable")
    return [
        Tagged(path, {labels[column]: float(row[column]) for column in order.tolist()})
        for path, row, order in zip(paths, shares, orders, strict=True)
    ]
