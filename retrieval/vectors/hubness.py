"""Hubness: how similar a picture is to descriptions in general.

Some pictures are similar to every description, and appear for every query. A query bank, sentences
about all kinds of things, measures this: a picture's hubness is the mean plus the standard
deviation of its cosines to them. Subtracting half of it from each cosine ranks better than the
cosine itself, with every model, and makes the result comparable between queries. (Query-bank
normalisation, Bogolin et al. 2022, uses a log-sum-exp of the same cosines, of which these two are
the first terms; its temperature would have to be tuned for each model.)
"""

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.paths import replacing
from retrieval.records import ModelRecord

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder

QUERY_BANK_FILE = Path(__file__).with_name("query_bank.txt")
# Subtracted from a cosine: this times hubness. `python -m benchmarks relevance` compares weights.
HUBNESS_WEIGHT = 0.5

# Columns after each vector in the index: its hubness as the sum of two float16 (one alone is off by
# 2e-4), then zeros up to a width that FAISS scans quickly. A query has the negative weight there.
PADDING_COLUMNS = 16
QUERY_PADDING = (*2 * (-HUBNESS_WEIGHT,), *(PADDING_COLUMNS - 2) * (0.0,))  # of a description


class QueryBank(NamedTuple):
    """The sentences of the query bank, encoded by a model: (S, D), unit L2 norm."""

    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, model: "ModelFolder") -> "QueryBank":
        """Encode the sentences (a second with ViT-B/32) once, and keep them beside the weights if
        possible.
        """
        file = model.path / f"bank-{model.digest[:16]}-{query_bank_digest()[:16]}.npy"
        sentences = QUERY_BANK_FILE.read_text("utf-8").splitlines()
        kept = _read(file)
        if kept is not None and kept.shape == (len(sentences), model.config.embed_dim):
            return cls(kept)
        from clipmodel.numpy_backend.text_encoder import TextEncoder

        query_bank = cls(TextEncoder(model).encode(sentences))
        if not model.is_bundled:  # an installed package is not ours to write to
            _write(file, query_bank.vectors)
        return query_bank

    def measure(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the mean and deviation of cosines to the sentences: (N, D) -> (N, 2)."""
        from clipmodel.numpy_backend.threads import shared_product

        cosines = shared_product(vectors.astype(np.float32), self.vectors.T)  # (N, S)
        return np.stack([cosines.mean(axis=1), cosines.std(axis=1)], axis=1)


def _read(file: Path) -> NDArray[np.float32] | None:
    try:
        held: NDArray[np.float32] = np.load(file)
    except (OSError, ValueError, EOFError):  # not there, or damaged
        return None
    return held if held.dtype == np.float32 and np.isfinite(held).all() else None


def _write(file: Path, vectors: NDArray[np.float32]) -> None:
    # If the folder is read-only or the disk is full, the sentences are encoded again next time.
    with suppress(OSError), replacing(file) as part, part.open("wb") as opened:
        np.save(opened, vectors)


@cache
def query_bank_digest() -> str:
    """Return a digest of the sentences; hubness measured with others is measured again."""
    return hashlib.sha256(QUERY_BANK_FILE.read_bytes()).hexdigest()[:32]


def is_measured(model: ModelRecord) -> bool:
    """Return whether the hubness of all its vectors was measured with the current sentences."""
    return model.bank == query_bank_digest()


def with_hubness(vectors: NDArray[np.float16], hubness: NDArray[np.float32]) -> NDArray[np.float16]:
    """Append hubness (N,) to vectors (N, D), in two float16: (N, D + PADDING_COLUMNS)."""
    count, dim = vectors.shape
    longer = np.zeros((count, dim + PADDING_COLUMNS), np.float16)
    longer[:, :dim] = vectors
    longer[:, dim : dim + 2] = split(hubness)
    return longer


def split(hubness: NDArray[np.float32] | float) -> NDArray[np.float16]:
    """Return hubness (...,) as two float16 whose sum it is up to 1e-6: (..., 2)."""
    first = np.asarray(hubness, np.float32).astype(np.float16)
    rest = np.asarray(hubness, np.float32) - first.astype(np.float32)
    return np.stack([first, rest.astype(np.float16)], axis=-1)


def with_weights(queries: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Append negative weights of hubness (Q,) to queries (Q, D): (Q, D + PADDING_COLUMNS)."""
    count, dim = queries.shape
    longer = np.zeros((count, dim + PADDING_COLUMNS), np.float32)
    longer[:, :dim] = queries
    longer[:, dim : dim + 2] = -weights[:, np.newaxis]
    return longer
