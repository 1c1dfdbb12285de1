"""No damage to an index file does more than raise DamagedIndex: no crash, no giant allocation."""

import random
import struct
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from indexes import DamagedIndex, IndexSpec, VectorIndex, verify
from indexes.ivf.layout import read_footers
from indexes.layout import FOOTER_BYTES, sealed

DIM, COUNT = 16, 400


@pytest.fixture(params=["flat", "ivf"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    vectors = np.random.default_rng(0).standard_normal((COUNT, DIM)).astype(np.float16)
    spec = IndexSpec("flat") if request.param == "flat" else IndexSpec("ivf", lists=8)
    path = tmp_path / "vectors.faiss"
    VectorIndex.build(path, [(np.arange(COUNT), vectors)], spec, DIM)
    return path


def bodies_of(path: Path) -> set[int]:
    """The places of the codes, which are not checked when a file is opened."""
    with path.open("rb") as file:
        footers = [footer for footer in read_footers(file) if footer]
    return {place for each in footers for place in range(each.body_start, each.body_end)}


def test_truncated_anywhere(path: Path) -> None:
    whole = path.read_bytes()
    lengths = {0, 1, 4, 117, 118, 119, FOOTER_BYTES, len(whole) - 1, len(whole) - FOOTER_BYTES}
    for length in sorted(lengths | set(range(0, len(whole), len(whole) // 64))):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedIndex):
            VectorIndex.open(path)


def test_longer_than_it_was(path: Path) -> None:
    whole = path.read_bytes()
    for more in (b"\0", whole[-FOOTER_BYTES:], whole):
        path.write_bytes(whole + more)
        with pytest.raises(DamagedIndex):
            VectorIndex.open(path)


def test_every_flipped_byte_that_faiss_would_believe_is_seen(path: Path) -> None:
    whole = path.read_bytes()
    places = sorted({*range(len(whole))} - bodies_of(path))
    chosen = random.Random(1).sample(places, min(len(places), 600))
    for place in [*places[:200], *places[-200:], *chosen]:
        altered = bytearray(whole)
        altered[place] ^= 1 << place % 8
        path.write_bytes(altered)
        with pytest.raises(DamagedIndex):
            VectorIndex.open(path)


def test_an_altered_body_opens_and_searches_but_does_not_verify(path: Path) -> None:
    whole = path.read_bytes()
    query = np.ones((1, DIM), np.float32)
    for place in random.Random(2).sample(sorted(bodies_of(path)), 80):
        altered = bytearray(whole)
        altered[place] ^= 0xFF
        path.write_bytes(altered)
        index = VectorIndex.open(path)
        index.search(query, 10)
        index.search(query, 10, np.arange(50))
        with pytest.raises(DamagedIndex, match="altered"):
            verify(path)


def test_lists_of_float16_codes_are_of_an_older_version(path: Path) -> None:
    fields = b"RTRV-IX1" + struct.pack("<4I4q2I", 1, DIM, 8, 4, COUNT, COUNT - 1, 118, 500, 0, 0)
    path.write_bytes(bytes(600) + sealed(fields))
    with pytest.raises(DamagedIndex, match="an older version"):
        VectorIndex.open(path)


@pytest.mark.parametrize("size", [0, 1, 100, 10_000])
def test_random_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "noise.faiss"
    path.write_bytes(random.Random(size).randbytes(size))
    with pytest.raises(DamagedIndex):
        VectorIndex.open(path)


def test_an_index_that_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "foreign.faiss"
    faiss.write_index(faiss.index_factory(8, "Flat"), str(path))
    with pytest.raises(DamagedIndex, match="does not end"):
        VectorIndex.open(path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.faiss", tmp_path):
        with pytest.raises(DamagedIndex, match=str(path)):
            VectorIndex.open(path)


def test_a_name_that_is_not_utf8(path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("needs a file system that takes any bytes")
    odd = path.with_name("v\udcff.faiss")
    path.rename(odd)
    assert VectorIndex.open(odd).count == COUNT


def test_no_allocation_follows_a_length_in_a_damaged_file(path: Path) -> None:
    """FAISS alone would try to allocate terabytes here; ours has 64 MB to spare."""
    whole = bytearray(path.read_bytes())
    for place in (8, 110, 16):
        whole[place + 5] ^= 0x7F
    path.write_bytes(whole)
    program = (
        "import resource, sys, indexes.vector_index, pathlib\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)\n"
        "try:\n    indexes.VectorIndex.open(pathlib.Path(sys.argv[1]))\n"
        "except indexes.DamagedIndex:\n    print('damaged')\n"
    )
    if sys.platform != "linux":
        pytest.skip("limits memory as Linux does")
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert done.stdout == "damaged\n", done.stderr
