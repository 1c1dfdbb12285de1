"""Our own threads for FAISS.

FAISS uses OpenMP, which hangs in a forked child if the thread that forked has used it. Only these
threads ever use it, and a child starts new ones.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
