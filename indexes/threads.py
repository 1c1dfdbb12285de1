"""Threads of our own for FAISS.

OpenMP, with which FAISS computes, hangs in a forked child if the thread that forked has used it. No
thread but these ever does, and a child starts new ones.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

SCANNERS = min(os.cpu_count() or 1, 4)  # threads that scan for one query: more starve for memory


def scanners() -> ThreadPoolExecutor:
    """Return the threads of this process.

    For one query, as FAISS itself divides queries among threads, not vectors. All indexes have them
    in common, so that many queries at a time do not gather more threads than help.
    """
    return _scanners_of(os.getpid())


@cache
def _scanners_of(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(SCANNERS, "scanner")
