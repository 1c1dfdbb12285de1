"""glibc's malloc, told to keep what is freed; other systems' is left as it is.

By itself it gives large arrays back to the system, and takes memory for the next ones anew, page by
page: that was half of the time in which a small JPEG is decoded, a sixth of a ViT-L/14's tower, and
an eighth of an RN50's. Not for processes that run for days, as `retrieve watch` does, nor for those
of others, who use `Library`.
"""

import ctypes
from collections.abc import Callable

OF_A_WORKER = 64 << 20  # bytes; with 8 MB a HEIC takes a twelfth longer
OF_A_RUN = 1 << 30  # for what a tower makes of a share of pictures

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # the options' numbers, of its malloc.h
ARENAS = 2  # that the threads of a server share
OLD_MOST = 32 << 20  # of the second, in older versions


def keep(most: int) -> None:
    """Of what is freed at the heap's end up to so many bytes, and arrays of up to half of it there.

    For a process of our own, before it starts threads: all are to share one pool, as a thread's own
    would be of 64 MB pieces.
    """
    if (set_option := _option()) is None:
        return
    set_option(ARENA_MAX, 1)
    set_option(TRIM_THRESHOLD, most)
    if not set_option(MMAP_THRESHOLD, most // 2):
        set_option(MMAP_THRESHOLD, min(most // 2, OLD_MOST))


def share() -> None:
    """Let all threads of this process have memory from a few pools, before they start.

    For a server, whose threads come and go: each pool keeps what the threads that had it left
    behind, and there may be eight for each processor. Under mixed load that is a quarter more.
    """
    if (set_option := _option()) is not None:
        set_option(ARENA_MAX, ARENAS)


def _option() -> Callable[[int, int], int] | None:
    """What sets an option of malloc, if it is glibc's."""
    try:
        set_option: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # not glibc, not even Unix
        return None
    return set_option
