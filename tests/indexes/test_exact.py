import numpy as np

from indexes import exact_search


def test_best_first_and_equal_scores_by_id() -> None:
    vectors = np.array([[0, 1], [1, 0], [1, 0], [0.6, 0.8]], np.float16)
    ids = np.array([3, 9, 5, 7])
    scores, found = exact_search(np.array([[1, 0], [0, 1]], np.float32), ids, vectors, 3)
    assert found.tolist() == [[5, 9, 7], [3, 7, 5]]
    np.testing.assert_allclose(scores, [[1, 1, 0.6], [1, 0.8, 0]], atol=1e-3)
    assert scores.dtype == np.float32


def test_products_are_summed_in_float32() -> None:
    vectors = np.full((1, 4096), 1, np.float16)  # a float16 sum would stop at 2048
    scores, _ = exact_search(np.ones((1, 4096), np.float32), np.array([1]), vectors, 1)
    assert scores.tolist() == [[4096]]


def test_fewer_vectors_than_asked_for() -> None:
    vectors = np.eye(2, dtype=np.float16)
    _, ids = exact_search(np.ones((3, 2), np.float32), np.arange(2), vectors, 10)
    assert ids.shape == (3, 2)
    _, none = exact_search(np.ones((3, 2), np.float32), np.arange(0), vectors[:0], 10)
    assert none.shape == (3, 0)
