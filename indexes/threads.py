"""Our own threads for FAISS.

FAISS uses OpenMP, which hangs in a forked child if the thread that forked has used it. Only these
threads ever use it, and a child starts new ones.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

T = TypeVar("T")

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


def apart(compute: Callable[[], T]) -> T:
    """Compute in a thread of its own and return the result.

    For work of minutes: Ctrl-C ends the process without waiting for it, and no query waits either.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(compute())
        except BaseException as error:  # the caller raises it
            result.set_exception(error)

    threading.Thread(target=run, name="builder", daemon=True).start()
    return result.result()


@contextmanager
def one_thread_for_one_query(queries: int) -> Iterator[None]:
    """Keep FAISS from waking threads that have nothing to do, which can double the time."""
    import faiss

    threads = faiss.omp_get_max_threads()  # of this Python thread alone
    faiss.omp_set_num_threads(1 if queries == 1 else threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
