"""Products that our own threads share."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from clipmodel import numpy_threads
from clipmodel.numpy_threads import product


@pytest.mark.parametrize("rows", [1, 8, 300])
@pytest.mark.parametrize("shape", [(64, 16), (512, 2049), (2048, 1537)])  # none, some, not even
@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_product_is_numpys(
    monkeypatch: pytest.MonkeyPatch, rows: int, shape: tuple[int, int], most: int
) -> None:
    monkeypatch.setattr(numpy_threads, "MOST", most)
    numpy_threads._threads.cache_clear()
    generator = np.random.default_rng(0)
    x = generator.random((rows, shape[0]), np.float32)
    matrix = generator.random(shape, np.float32)
    for weights in (matrix, np.asfortranarray(matrix)):
        np.testing.assert_allclose(product(x, weights), x @ matrix, rtol=1e-5)


def test_any_number_of_threads_may_multiply_at_once() -> None:
    matrix = np.eye(512, 2048, dtype=np.float32)
    queries = np.random.default_rng(0).random((64, 8, 512), np.float32)
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda x: product(x, matrix), queries))
    np.testing.assert_array_equal(np.stack(made)[..., :512], queries)


def test_blas_has_one_thread() -> None:
    with ThreadPoolExecutor(1) as another:
        another.submit(product, np.ones((8, 512), np.float32), np.eye(512, dtype=np.float32))
    held = ThreadpoolController().select(user_api="blas").lib_controllers
    numpys = [library for library in held if "faiss" not in library.filepath]
    assert numpys
    assert all(library.num_threads == 1 for library in numpys)
