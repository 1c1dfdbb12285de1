"""Tuning of memory: glibc's malloc keeps what is freed; other systems are left alone.

By default it returns large arrays to the system and fetches memory for the next ones page by page:
half of the time to decode a small JPEG, a sixth of a ViT-L/14's tower, an eighth of an RN50's. Not
for processes that run for days, such as `retrieve watch`, nor for other people's programs that use
`Library`.
"""

import ctypes
import gc
from collections.abc import Callable

WORKER_KEEPS_BYTES = 64 << 20  # with 8 MB a HEIC takes a twelfth longer
RUN_KEEPS_BYTES = 1 << 30  # for the intermediate results of a micro-batch
YOUNG = 50_000  # objects, in place of 700, until Python looks for cycles among them

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # the options' numbers, of its malloc.h
MAX_ARENAS = 2  # shared by the threads of a server
OLD_MAX_THRESHOLD = 32 << 20  # of MMAP_THRESHOLD, in older versions


def keep(max_bytes: int) -> None:
    """Keep up to this many freed bytes at the heap's end, and put arrays of up to half of it there.

    For our own processes, before they start threads: all threads are to share one arena, since a
    thread's own consists of 64 MB pieces.
    """
    if (set_option := _option()) is None:
        return
    set_option(ARENA_MAX, 1)
    set_option(TRIM_THRESHOLD, max_bytes)
    if not set_option(MMAP_THRESHOLD, max_bytes // 2):
        set_option(MMAP_THRESHOLD, min(max_bytes // 2, OLD_MAX_THRESHOLD))


def keep_for_a_run() -> None:
    """Keep what the encoder frees, and look for cycles rarely: a run makes a dozen small records
    for each picture and no cycles of them, and looking took a tenth of its time.
    """
    keep(RUN_KEEPS_BYTES)
    gc.set_threshold(YOUNG)


def share() -> None:
    """Let all threads of this process share a few arenas; call it before they start.

    For a server, whose threads come and go: every arena keeps what earlier threads left in it, and
    there may be eight for each processor. Under mixed load that takes a quarter more memory.
    """
    if (set_option := _option()) is not None:
        set_option(ARENA_MAX, MAX_ARENAS)


def _option() -> Callable[[int, int], int] | None:
    """Return the function that sets malloc's options; None if malloc is not glibc's."""
    try:
        set_option: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # not glibc, not even Unix
        return None
    return set_option
