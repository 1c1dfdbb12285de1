"""What every test wants: one thread a worker where several run, and no clock in property tests."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch, FAISS and NumPy start their threads
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")
