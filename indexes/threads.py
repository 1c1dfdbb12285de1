"""Our own threads for FAISS.

FAISS uses OpenMP, which hangs in a forked child if the thread that forked has used it. Only these
threads ever use it, and a child starts new ones.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

MAX_SCANNERS = min(os.cpu_count() or 1, 4)  # threads for one query; memory bandwidth feeds no more


def scanners() -> ThreadPoolExecutor:
    """Return the threads of this process, which scan vectors for a single query.

    FAISS itself divides only queries among threads, not vectors. All indexes share these threads,
    so that many queries at a time do not use more than help.
    """
    return _scanners_of(os.getpid())


@cache
def _scanners_of(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_SCANNERS, "scanner")
