"""Short-lived threads that use one library: files that are open stay as many as they were."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from retrieval.catalog.reading import Catalog
from retrieval.library import Library
from tests.retrieval.small import DIM, paint_many, run_index, small_query_bank
from tests.torture.library import model_at
from tests.torture.tally import Tally

THREADS = 12  # of a burst
FIRST = 0.1  # of the bursts, after which all that is needed is open
MORE = 16  # files than then: a pool that was not full
MUCH_MORE = 200  # than at first: to go on would leave none for the next test


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    tally = Tally(f"bursts of {THREADS} threads that search and end")
    burst_upon(folder, seed, 20 if quick else 500, tally)
    yield tally


def burst_upon(folder: Path, seed: int, bursts: int, tally: Tally) -> None:
    model = model_at(folder / "model")
    paint_many(folder / "photos", 12, first=seed)
    with closing(Catalog.open(folder / "library", create=True)) as catalog:
        run_index(catalog, [folder / "photos"], model, query_bank=small_query_bank)
    counts = [held()]
    with Library.open(folder / "library") as library:
        for number in range(bursts):
            burst(library, seed + number, tally)
            tally.tried += 1
            counts.append(held())
            if counts[-1] > counts[0] + MUCH_MORE:
                break
    settled = counts[1 + int(FIRST * bursts) :] or counts[-1:]
    tally.note = f"{counts[1]} → {counts[-1]} descriptors"
    is_flat = max(settled) <= settled[0] + MORE and counts[-1] <= counts[0] + MUCH_MORE
    tally.expect(is_flat, f"descriptors grew: {tally.note} after {tally.tried} bursts")
    tally.expect(held() <= counts[0] + MORE, f"{held() - counts[0]} more once it is closed")


def burst(library: Library, seed: int, tally: Tally) -> None:
    """Threads that are all there at once, and are gone then."""
    together = threading.Barrier(THREADS)

    def use(number: int) -> None:
        together.wait()
        try:
            query = np.random.default_rng(seed + number).normal(size=DIM).astype(np.float32)
            tally.expect(len(library.search(query, 5)) == 5, "a search lacked pictures")
            library.status()
        except Exception as error:  # none may come, of whatever kind
            tally.lost.append(f"burst {tally.tried}: {error!r}")

    threads = [threading.Thread(target=use, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def held() -> int:
    """Descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))
