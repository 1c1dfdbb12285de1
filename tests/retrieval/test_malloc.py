"""What is freed is kept for the next array, in processes of our own."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, threading
from retrieval import malloc

if most := int(sys.argv[1]):
    malloc.keep(most)

def fill():
    for _ in range(10):
        [b"x" * (24 << 20) for _ in range(3)]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def faults(most: int) -> int:
    command = [sys.executable, "-c", FAULTS, str(most)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_arrays_of_any_thread_take_the_memory_of_those_before() -> None:
    assert 10 * faults(1 << 30) < faults(0)
