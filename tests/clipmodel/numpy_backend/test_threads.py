"""Products that our own threads share."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from clipmodel.numpy_backend import threads as module
from clipmodel.numpy_backend.threads import shared_product


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "threads_of_blas", lambda: request.param)
    module._threads.cache_clear()
    yield
    module._threads.cache_clear()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rows", [1, 8, 3000])
@pytest.mark.parametrize("shape", [(64, 16), (512, 2049), (1024, 1537)])  # none, some, not even
def test_a_product_is_numpys(rows: int, shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    x = generator.random((rows, shape[0]), np.float32)
    matrix = generator.random(shape, np.float32)
    for weights in (matrix, np.asfortranarray(matrix)):
        np.testing.assert_allclose(shared_product(x, weights), x @ matrix, rtol=1e-5)


@pytest.mark.usefixtures("threads")
def test_any_number_of_threads_may_multiply_at_once() -> None:
    matrix = np.eye(512, 2048, dtype=np.float32)
    queries = np.random.default_rng(0).random((64, 8, 512), np.float32)
    with ThreadPoolExecutor(8) as callers:
        made = list(callers.map(lambda x: shared_product(x, matrix), queries))
    np.testing.assert_array_equal(np.stack(made)[..., :512], queries)


BEGIN = """
import os, threading, time
import numpy as np
from threadpoolctl import ThreadpoolController
from clipmodel.numpy_backend import threads
threads.threads_of_blas()
threads.threads_of_blas = lambda: 4
x, matrix = np.ones((8, 512), np.float32), np.ones((512, 2048), np.float32)
def multiply():
    assert (threads.shared_product(x, matrix) == 512).all()
"""


def outcome(program: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", BEGIN + program], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


def test_blas_has_one_thread_whoever_asks_first() -> None:
    said = outcome(
        "thread = threading.Thread(target=multiply); thread.start(); thread.join()\n"
        "held = ThreadpoolController().select(user_api='blas').lib_controllers\n"
        "print({library.num_threads for library in held} - {1})"
    )
    assert said == "set()\n"


def test_a_thread_goes_on_while_python_ends() -> None:
    said = outcome(
        "multiply()\n"
        "def later():\n"
        "    time.sleep(0.3); multiply(); print('made')\n"
        "threading.Thread(target=later).start()"
    )
    assert said == "made\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_process_that_was_forked_has_threads_of_its_own() -> None:
    said = outcome(
        "multiply()\n"
        "if child := os.fork():\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "else:\n"
        "    multiply(); print('made', flush=True); os._exit(0)"
    )
    assert said.startswith("made\n")
