"""How near a picture is to any words at all, so that a search can tell what is special in a cosine.

Some pictures are near to everything that is said, and come up for every query. A query bank
about all kinds of things shows by how much: the mean and the deviation of a picture's cosines to
them. Taking half of their sum from each cosine ranks better than the cosines themselves, with every
model alike, and makes what is left comparable between queries. (Query-bank normalisation, Bogolin
et al. 2022, takes a log-sum-exp of the same cosines, of which these two are the first terms; its
temperature would have to be found anew for each model.)
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
# Taken off a cosine: this times mean + deviation. `python -m benchmarks relevance` compares.
HUBNESS_WEIGHT = 0.5

# Behind a vector in the index: its hubness in two float16 (one alone is off by 2e-4), and zeros up
# to a width that FAISS scans quickly. A query says there how much of it to take away.
PADDING_COLUMNS = 16
QUERY_PADDING = (*2 * (-HUBNESS_WEIGHT,), *(PADDING_COLUMNS - 2) * (0.0,))  # of a query in words


class QueryBank(NamedTuple):
    """The sentences in a model's space: (S, D), unit L2 norm."""

    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, model: "ModelFolder") -> "QueryBank":
        """Encoded once (a second, with ViT-B/32), and kept beside the weights where that can be."""
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
        """(N, D) -> (N, 2): mean and deviation of each picture's cosines to the sentences."""
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
    # A folder that cannot be written to, or a full disk: it is encoded again.
    with suppress(OSError), replacing(file) as part, part.open("wb") as opened:
        np.save(opened, vectors)


@cache
def query_bank_digest() -> str:
    """Names the sentences: what other ones measured is measured again."""
    return hashlib.sha256(QUERY_BANK_FILE.read_bytes()).hexdigest()[:32]


def is_measured(model: ModelRecord) -> bool:
    """Whether all its vectors were measured with the sentences of this version."""
    return model.bank == query_bank_digest()


def with_hubness(vectors: NDArray[np.float16], hubness: NDArray[np.float32]) -> NDArray[np.float16]:
    """(N, D) and mean + deviation (N,) -> (N, D + PADDING_COLUMNS)."""
    count, dim = vectors.shape
    longer = np.zeros((count, dim + PADDING_COLUMNS), np.float16)
    longer[:, :dim] = vectors
    longer[:, dim] = hubness
    longer[:, dim + 1] = hubness - longer[:, dim].astype(np.float32)
    return longer


def with_weights(queries: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(Q, D) and the weight of hubness for each (Q,) -> (Q, D + PADDING_COLUMNS)."""
    count, dim = queries.shape
    longer = np.zeros((count, dim + PADDING_COLUMNS), np.float32)
    longer[:, :dim] = queries
    longer[:, dim : dim + 2] = -weights[:, np.newaxis]
    return longer
