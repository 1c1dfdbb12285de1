"""A search by words and by a picture, in a cold process and in a warm one, beside rclip.

The libraries have 1 k, 100 k and 1 M pictures. The catalogs are filled directly, ours for a
ViT-B/32 and rclip's for its ViT-B-32-256, both with random weights. The page cache is warm unless
stated otherwise.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.harness import page_cache, peers
from benchmarks.harness.inputs import PictureLike, photos
from benchmarks.harness.libraries import filled, indexed, recorded, vit_b_32
from benchmarks.harness.report import Row
from benchmarks.harness.timing import Ran, Times, once, repeat, retrieve
from benchmarks.harness.timing import run as run_process
from clipmodel.model_folder import ModelFolder
from retrieval import Library

COUNTS = (1_000, 100_000, 1_000_000)
TEN_MILLION = 10_000_000
ADDED = 100_000  # pictures, to a library of ten million
COLD = 9  # processes of ours
COLD_THEIRS = 3  # of rclip, which takes half a minute with a million pictures
DROPPED = 7  # processes that find nothing in the page cache, and as many plain reads of the file
WARM = 200  # searches in one process
BATCH = 64  # queries at once
THREADS = 8
QUERY = "a red car in the snow"
WORDS = ("red", "car", "dog", "snow", "night", "house", "boat", "street", "flower", "three")

Figures = dict[str, float | None]  # what was measured


def run(folder: Path, quick: bool, ten_million: bool = False) -> Iterator[Row]:
    model = vit_b_32(folder / "model")
    if ten_million:
        library = folder / "library"
        filled(library, model, TEN_MILLION)
        yield from of_ten_million(library, model)
        return
    rclip = peers.Rclip.installed(folder / "rclip")
    photos(folder / "new", 1, (640, 480))
    [new] = (folder / "new").iterdir()
    for count in COUNTS[:1] if quick else COUNTS:
        library = folder / f"library-{count}"
        indexed(library, filled(library, model, count))
        dropped, read = without_cache(library)
        ours = cold(library, new) | {"nothing in the page cache: s": dropped}
        ours |= warm(library) | {"bytes an image": size(library) / count}
        limits = {"cold, words: p50 s": empty_process(), "nothing in the page cache: s": read}
        shutil.rmtree(library)
        theirs = cold_rclip(rclip, count, new, folder / "photos") if rclip else {}
        yield from rows(count, ours, theirs, limits)


def of_ten_million(library: Path, model: ModelFolder) -> Iterator[Row]:
    """Measure a library that was filled: its index, searches, and its index with more pictures."""
    record = recorded(library)
    figures: Figures = {"index: s": once(lambda: indexed(library, record))}
    search(QUERY, library)  # to have the page cache warm
    ran = [search(QUERY, library) for _ in range(COLD)]
    dropped, _ = without_cache(library, rounds=3)
    figures |= {
        "cold, words: p50 s": Times(tuple(each.seconds for each in ran)).p50,
        "nothing in the page cache: s": dropped,
        "own MB": megabytes(max(each.own or 0 for each in ran)),
        "resident MB": megabytes(max(each.resident or 0 for each in ran)),
    }
    figures |= warm(library) | {"bytes an image": size(library) / TEN_MILLION}
    filled(library, model, ADDED, first=TEN_MILLION + 1)
    figures["index with 100,000 more: s"] = once(lambda: indexed(library, record))
    yield from rows(TEN_MILLION, figures, {}, {})


def rows(count: int, ours: Figures, theirs: Figures, limits: Figures) -> Iterator[Row]:
    for what, figure in ours.items():
        other = theirs.get(what)
        yield {
            "pictures": count,
            "what": what,
            "retrieve": figure,
            "rclip": other,
            "ratio": figure / other if figure and other else None,
            "limit": limits.get(what),
        }


# -- in a process of its own ---------------------------------------------------------------------


def cold(library: Path, new: Path) -> Figures:
    return processes(lambda query: search(query, library), new, COLD)


def search(query: str | Path, library: Path) -> Ran:
    """Time `retrieve search` as typed at a prompt, from the start of the process to its end."""
    return retrieve("search", query, "--paths", "--library", library)


def cold_rclip(rclip: peers.Rclip, count: int, new: Path, folder: Path) -> Figures:
    """Time the same search by rclip, from the folder where it would have found the pictures."""
    folder.mkdir(exist_ok=True)
    vectors = (each for _, each in PictureLike(512).batches(count))
    rclip.fill(peers.imagined(folder, count), vectors)
    figures = processes(lambda query: rclip.search(str(query), folder), new, COLD_THEIRS)
    figures["bytes an image"] = rclip.catalog.stat().st_size / count
    rclip.forget()
    return figures


def processes(search: Callable[[str | Path], Ran], new: Path, times: int) -> Figures:
    """Time searches by words, and by a picture that is not in the catalog, in new processes."""
    search(QUERY)  # to have the page cache warm
    ran = [search(QUERY) for _ in range(times)]
    words = Times(tuple(each.seconds for each in ran))
    search(new)
    picture = Times(tuple(search(new).seconds for _ in range(times)))
    return {
        "cold, words: p50 s": words.p50,
        "cold, words: max s": max(words.seconds),
        "cold, a new picture: p50 s": picture.p50,
        "own MB": megabytes(max(each.own or 0 for each in ran)),
        "resident MB": megabytes(max(each.resident or 0 for each in ran)),
    }


def without_cache(library: Path, rounds: int = DROPPED) -> tuple[float | None, float | None]:
    """Time a search that reads the library's files from the disk, and a sequential read of the
    index file (or of all files, if there is none); alternately, as the speed of disks varies.
    """
    to_read = [*library.glob("*.faiss")] or files(library)
    searches, reads = list[float](), list[float]()
    for _ in range(rounds):
        if not page_cache.drop(files(library)):
            return None, None
        searches.append(search(QUERY, library).seconds)
        page_cache.drop(to_read)
        reads.append(once(lambda: page_cache.read_all(to_read)))
    return Times(tuple(searches)).p50, Times(tuple(reads)).p50


def empty_process() -> float:
    return Times(tuple(run_process([sys.executable, "-c", ""]).seconds for _ in range(COLD))).p50


# -- in one process ------------------------------------------------------------------------------


def warm(folder: Path) -> Figures:
    """Time single queries, many at once, and many threads; every query has other words."""
    generator = np.random.default_rng(0)

    def drawn(count: int) -> list[str]:
        return [" ".join(generator.choice(WORDS, 5)) for _ in range(count)]

    with Library.open(folder) as library:
        each, batches = iter(drawn(WARM + 1)), iter([drawn(BATCH) for _ in range(4)])
        times = repeat(lambda: library.search(next(each)), WARM)
        together = repeat(lambda: library.search_many(next(batches)), 3)
        asked = drawn(WARM)
        with ThreadPoolExecutor(THREADS) as threads:
            passed = once(lambda: list(threads.map(library.search, asked)))
    return {
        "warm: p50 ms": 1e3 * times.p50,
        "warm: p99 ms": 1e3 * times.p99,
        f"warm, {BATCH} at once: queries/s": BATCH / together.p50,
        f"warm, {THREADS} threads: queries/s": len(asked) / passed,
    }


def files(library: Path) -> list[Path]:
    return [path for path in library.iterdir() if path.is_file()]


def size(library: Path) -> int:
    return sum(path.stat().st_size for path in files(library))


def megabytes(held: int) -> float | None:
    return held / 1e6 if held else None
