"""What is freed is kept for the next array, in processes of our own."""

import platform
import subprocess
import sys

import pytest

from retrieval.decoding import malloc

FAULTS = """
import resource, sys, threading
from retrieval.decoding import malloc

size, most = map(int, sys.argv[1:])
if most:
    malloc.keep(most)

def fill():
    for _ in range(10):
        [b"x" * size for _ in range(3)]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def faults(size: int, most: int) -> int:
    command = [sys.executable, "-c", FAULTS, str(size), str(most)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
@pytest.mark.parametrize(
    ("size", "most"), [(1 << 20, malloc.WORKER_KEEPS_BYTES), (24 << 20, malloc.RUN_KEEPS_BYTES)]
)
def test_arrays_of_any_thread_take_the_memory_of_those_before(size: int, most: int) -> None:
    assert 10 * faults(size, most) < faults(size, 0)


POOLS = """
import re, sys, threading
from retrieval.decoding import malloc

if sys.argv[1] == "shared":
    malloc.share()
ready, done = threading.Barrier(17), threading.Event()

def hold():
    held = [bytes(1000) for _ in range(100)]
    ready.wait()
    done.wait()

for _ in range(16):
    threading.Thread(target=hold).start()
ready.wait()
starts = re.findall(r"^([0-9a-f]+)-", open("/proc/self/maps").read(), re.MULTILINE)
print(sum(int(start, 16) % (64 << 20) == 0 for start in starts))  # a pool begins at such a place
done.set()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")
def test_the_threads_of_a_server_share_a_few_pools() -> None:
    shared, own = (
        int(subprocess.run([sys.executable, "-c", POOLS, how], capture_output=True).stdout)
        for how in ("shared", "own")
    )
    assert shared <= malloc.MAX_ARENAS < own
