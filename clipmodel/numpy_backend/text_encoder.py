"""The text encoder in NumPy, on memory-mapped weights: a search does not wait for torch.

Texts of equal length go together, so no padding is computed: a short query is a few tokens, not 77.
SigLIP's embeddings depend on the padding, so there all of its 64 places are computed.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipmodel.families import text_family
from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.batching import DynamicBatching
from clipmodel.numpy_backend.weights import Floats, Weights
from clipmodel.vocabularies import vocabulary_of

MAX_TOKENS = 4096  # computed at a time, which bounds the memory that many texts take
FEW_TEXTS = 16  # of one call, which may be batched with others; eight take twice as long as one


class TextEncoder:
    """Texts -> unit vectors. Any number of threads may encode at once.

    Together they are faster: most of the time is spent on reading the weights, once for all texts.
    """

    def __init__(self, folder: ModelFolder) -> None:
        """Raises CheckpointError if the weights do not match the folder's config."""
        config = folder.config
        self.config = config.text
        self._dim = config.embed_dim
        family = text_family(config.text)
        self._token_ids = folder.tokenizer()
        shapes = family.shapes(config.text, config.embed_dim) | {"logit_scale": ()}
        shapes |= {"logit_bias": ()} if config.logit_bias else {}
        self._has_bias = config.logit_bias
        self._padding = vocabulary_of(config.text).padding
        self._weights = Weights(folder.text_file, "text.", shapes)
        self._tower = family.numpy(self._weights, config.text)
        self._together = DynamicBatching(self._encode)

    @property
    def scale(self) -> float:
        """The factor of cosines before the softmax of training; 100 in OpenAI's models."""
        return float(np.exp(self._weights.raw("logit_scale").astype(np.float32)))

    @property
    def bias(self) -> float | None:
        """The summand after that factor, of models that were trained with a sigmoid; else None."""
        return float(self._weights.raw("logit_bias")) if self._has_bias else None

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return (B, D), unit L2 norm. A text longer than the context loses its end."""
        return self._together(texts) if len(texts) <= FEW_TEXTS else self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Floats:
        ids = self._token_ids(texts, self.config.context_length, True)
        lengths = np.full(len(ids), ids.shape[1])
        if not self.config.sees_padding:
            lengths = (ids != self._padding).sum(axis=1)
        vectors = np.empty((len(ids), self._dim), np.float32)
        for rows in _alike(lengths):
            vectors[rows] = self._tower(ids[rows, : lengths[rows[0]]])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def _alike(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield rows of equal length, of at most MAX_TOKENS at a time."""
    for length in sorted({*lengths.tolist()}):  # np.unique imports numpy.ma: 20 ms
        rows = np.flatnonzero(lengths == length)
        most = max(1, MAX_TOKENS // length)
        for start in range(0, len(rows), most):
            yield rows[start : start + most]
