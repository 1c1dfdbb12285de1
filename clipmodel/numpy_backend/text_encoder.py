"""The text tower in NumPy, on memory-mapped weights: a search does not wait for torch.

Attention is causal, so what follows the end-of-text token cannot change the answer and is never
computed: a short query is a few tokens, not 77.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.batching import DynamicBatching
from clipmodel.numpy_backend.transformer import Transformer, layer_norm
from clipmodel.numpy_backend.weights import Floats, Weights
from clipmodel.shapes import of_text_tower
from clipmodel.tokenizer import token_ids

MOST_TOKENS = 4096  # computed at a time, which bounds the memory that many texts take
FEW = 16  # texts of one call, which may wait for others; eight take twice as long as one


class TextEncoder:
    """Texts -> unit vectors. Any number of threads may encode at once, and are quicker so: what
    takes time is to read the weights, whose products are the same for all their texts.
    """

    def __init__(self, folder: ModelFolder) -> None:
        """Raises CheckpointError where the weights are not those of the folder's config."""
        self.config = config = folder.config.text
        self._weights = Weights(folder.text_file, "text.", of_text_tower(folder.config))
        self._transformer = Transformer(
            self._weights, config.layers, config.heads, config.activation, causal=True
        )
        self._together = DynamicBatching(self._encode)

    @property
    def scale(self) -> float:
        """What the model was trained to multiply cosines by ahead of a softmax; 100 in OpenAI's."""
        return float(np.exp(self._weights.raw("logit_scale").astype(np.float32)))

    def encode(self, texts: Sequence[str]) -> Floats:
        """(B, D), unit L2 norm. A text longer than the context loses its end."""
        return self._together(texts) if len(texts) <= FEW else self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Floats:
        ids = token_ids(texts, self.config.context_length, truncate=True)
        lengths = (ids != 0).sum(axis=1)
        projection = self._weights["text_projection"]
        vectors = np.empty((len(ids), projection.shape[1]), np.float32)
        for rows in _alike(lengths):
            last = self._transform(ids[rows, : lengths[rows[0]]])  # (b, W)
            vectors[rows] = last @ projection  # (b, W) @ (W, D)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _transform(self, ids: NDArray[np.int64]) -> Floats:
        """(b, L) ids, all of one length -> (b, W) what the tower makes of each at its end."""
        embedding = self._weights.raw("token_embedding.weight")
        x = embedding[ids].astype(np.float32)  # (b, L, W): of the table only these rows
        x += self._weights["positional_embedding"][: ids.shape[1]]
        return layer_norm(self._transformer(x)[:, -1], self._weights, "ln_final")


def _alike(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows of one length each, no more at a time than MOST_TOKENS have room for."""
    for length in sorted({*lengths.tolist()}):  # np.unique imports numpy.ma: 20 ms
        rows = np.flatnonzero(lengths == length)
        most = max(1, MOST_TOKENS // length)
        for start in range(0, len(rows), most):
            yield rows[start : start + most]
