"""What is freed is kept for the next array, in processes of our own."""

import platform
import subprocess
import sys

import pytest

from retrieval import malloc

FAULTS = """
import resource, sys, threading
from retrieval import malloc

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
    ("size", "most"), [(1 << 20, malloc.OF_A_WORKER), (24 << 20, malloc.OF_A_RUN)]
)
def test_arrays_of_any_thread_take_the_memory_of_those_before(size: int, most: int) -> None:
    assert 10 * faults(size, most) < faults(size, 0)
