"""The benchmarks' own parts: what a figure is made of had better be right."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks.inputs import PictureLike, photos, small_photos
from benchmarks.libraries import SMALL, filled, filled_from, random_model
from benchmarks.rescan import stat_all
from benchmarks.timing import Times, run
from retrieval import Library


def test_a_table_reads_as_text_and_as_markdown() -> None:
    rows: list[report.Row] = [
        {"what": "ours", "ms": 12.345, "files": 100000},
        {"what": "theirs", "ms": None, "files": 3},
    ]
    assert report.table(rows).splitlines() == [
        "| what   | ms   | files   |",
        "| ------ | ---- | ------- |",
        "| ours   | 12.3 | 100,000 |",
        "| theirs | –    | 3       |",
    ]


def test_percentiles() -> None:
    times = Times(tuple(number / 100 for number in range(101)))
    assert (times.p50, times.p99) == (0.5, 0.99)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_the_memory_of_a_process_and_its_children_is_seen() -> None:
    hold = "import time; held = b'x' * {}; time.sleep(0.5)"
    child = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold.format(40 << 20)!r}])"
    )
    ran = run([sys.executable, "-c", child])
    assert ran.own is not None and 40 << 20 < ran.own < 120 << 20


def test_vectors_lie_as_those_of_pictures_do() -> None:
    vectors = PictureLike(512).draw(1000, seed=1)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert 0.6 < np.linalg.norm(vectors.mean(axis=0)) < 0.85
    [(ids, same)] = PictureLike(512).batches(7)
    assert ids.tolist() == [1, 2, 3, 4, 5, 6, 7] and same.dtype == np.float16


def test_photos_are_distinct(tmp_path: Path) -> None:
    photos(tmp_path, 3, (64, 48))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 3


def test_a_library_that_is_filled_directly_is_one(tmp_path: Path) -> None:
    model = random_model(tmp_path / "model", SMALL)
    filled(tmp_path / "library", model, 50)
    with Library.open(tmp_path / "library") as library:
        assert len(library.search("a red car", limit=20)) == 20
        assert library.status().counts.embedded == 50


def test_a_library_knows_the_files_it_was_filled_from(tmp_path: Path) -> None:
    model = random_model(tmp_path / "model", SMALL)
    small_photos(tmp_path / "photos", 12)
    assert stat_all(tmp_path / "photos") == 12
    filled_from(tmp_path / "library", model, tmp_path / "photos")
    with Library.open(tmp_path / "library") as library:
        summary = library.index(tmp_path / "photos")
    assert (summary.unchanged, summary.new, summary.removed) == (12, 0, 0)
