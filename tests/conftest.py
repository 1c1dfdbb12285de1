"""What every test wants: Ctrl-C, one thread a worker where several run, a limit of time, and no
clock in property tests.
"""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch, FAISS and NumPy start their threads
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import pytest
from hypothesis import HealthCheck, settings

from tests import interrupts

SLOW_SECONDS = 600  # that a test marked as slow may take; pyproject.toml has the limit of others

interrupts.hear()  # before anything is started: workers, programs, browsers

settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    need_cuda = [item for item in items if item.get_closest_marker("cuda")]
    if need_cuda and not _has_cuda():
        for item in need_cuda:
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


def _has_cuda() -> bool:
    import torch  # only for a run that has such tests

    return torch.cuda.is_available()
