"""Real vectors of OpenAI's ViT-B/32: the figures that any exact search must give."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from indexes import IndexSpec, VectorIndex, exact_search
from indexes.recall import text_like

DATA = Path(__file__).parents[2].parent / "shared/data/clip_vectors"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the reference data is not here")


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = np.load(DATA / "image.npy")
    return vectors


@pytest.fixture(scope="module")
def texts() -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = np.load(DATA / "text.npy")
    return vectors


def recalls(ids: NDArray[np.int64]) -> list[float]:
    """Of the 500 captions, how many have their own photo among the first 1, 5 and 10."""
    own = np.arange(500)[:, None] // 5
    return [float((ids[:, :k] == own).any(axis=1).mean()) for k in (1, 5, 10)]


def test_captions_find_their_photos(
    tmp_path: Path, images: NDArray[np.float32], texts: NDArray[np.float32]
) -> None:
    spec, batches = IndexSpec("flat"), [(np.arange(100), images)]
    index = VectorIndex.build(tmp_path / "v.faiss", batches, spec, 512)
    assert recalls(index.search(texts, 10)[1]) == [0.832, 0.990, 0.998]
    tail = exact_search(texts, np.arange(100), images.astype(np.float16), 10)[1]
    assert recalls(tail) == [0.832, 0.990, 0.998]


def test_text_like_queries_lie_as_captions_do(
    images: NDArray[np.float32], texts: NDArray[np.float32]
) -> None:
    queries = text_like(images, 500, np.random.default_rng(0))
    theirs, ours = np.sort(texts @ images.T, axis=1), np.sort(queries @ images.T, axis=1)
    assert abs(theirs[:, -1].mean() - ours[:, -1].mean()) < 0.04  # the best cosine, about 0.33
    assert abs(theirs.std(axis=1).mean() - ours.std(axis=1).mean()) < 0.01  # the spread, 0.044
