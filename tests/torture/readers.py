"""Four processes search while one indexes: every answer is right, and none sees half a commit."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reading import Catalog
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.task import Task, work
from retrieval.errors import LibraryEmpty, RetrieveError
from retrieval.library import Library
from tests.retrieval.small import DIM, SIDE, SmallEncoder, paint, run_index, small_query_bank
from tests.torture.library import BATCH, MICRO_BATCH, model_at
from tests.torture.tally import Tally

READERS = 4
FAILED = {"tried": 0, "refused": 0}
PROJECT = Path(__file__).parents[2]


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    tally = Tally("four readers and a writer: searches")
    search_while_writing(folder, seed, 3.0 if quick else 60.0, tally)
    yield tally


def search_while_writing(
    folder: Path, seed: int, seconds: float, tally: Tally, seen: Path | None = None
) -> None:
    """Readers begin when there is something to find, and end with the writer. seen: where readers
    find the library; there it may be refused, if what is said is true.
    """
    model = model_at(folder / "model")
    done, stop = folder / "done", folder / "stop"
    runs = removed = refused = 0
    for round in range(10_000):
        for number in range(2 * BATCH):  # those that stay, and those that go in the next round
            paint(folder / "photos" / name(round, number), pixel_seed(round, number))
        if round:
            for number in range(BATCH, 2 * BATCH):
                (folder / "photos" / name(round - 1, number)).unlink()
                removed += 1
        with closing(Catalog.open(folder / "library", create=True)) as catalog:  # as by commands
            run_index(catalog, [folder / "photos"], model, query_bank=small_query_bank)
        done.write_text(str(round))
        if not runs:
            until = time.monotonic() + seconds
            readers = [start_reader(folder, seed + each, seen) for each in range(READERS)]
        runs += 1
        began = len(list(folder.glob("began-*"))) == READERS  # or came to nothing
        ended = any(reader.poll() is not None for reader in readers)
        if time.monotonic() > until and (began or ended):
            break
    stop.touch()
    for reader in readers:
        said, complaint = reader.communicate(timeout=60)
        found = json.loads(said) if reader.returncode == 0 else FAILED | {"lost": [complaint]}
        refused += found["refused"]
        tally.tried += found["tried"]
        tally.lost += found["lost"]
        tally.expect(found["tried"] + found["refused"] > 0, "a reader searched nothing")
    tally.note = f"{runs} runs of the writer, {removed} pictures removed"
    tally.note += f", {refused:,} refused" if seen else ""


def start_reader(folder: Path, seed: int, seen: Path | None) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.torture.readers", str(folder), str(seed)]
    command += [str(seen)] if seen else []
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=PROJECT)


def name(round: int, number: int) -> str:
    """Pictures of a round that stay are in one folder, those that go in another."""
    return f"{'stay' if number < BATCH else 'go'}/{round}-{number}.png"


def pixel_seed(round: int, number: int) -> int:
    return 1_000 * round + number


# -- a reader's side -----------------------------------------------------------------------------


def read(folder: Path, seed: int, seen: Path | None = None) -> None:
    """Search until told to stop; print how many searches there were, and what was wrong."""
    place, refused = seen or folder / "library", 0
    chance = np.random.default_rng(seed)
    tally = Tally("reader")
    vector_of = Vectors(folder / f"painted-{seed}")
    while not (folder / "stop").exists():
        stable = int((folder / "done").read_text() or 0)
        query = chance.standard_normal(DIM).astype(np.float32)
        only = folder / "photos/stay" if chance.random() < 0.3 else None
        limit = 10**6 if chance.random() < 0.5 else 5
        try:
            with Library.open(place) as library:
                for _ in range(5):
                    check_one(library, query, limit, only, stable, vector_of, tally)
        except LibraryEmpty as error:
            tally.lost.append(f"a search found no pictures: {error}")
        except RetrieveError as error:
            tally.expect(seen is not None and is_true(str(error)), f"a search failed: {error}")
            refused += 1
        (folder / f"began-{seed}").touch()
        if seen is None:
            with closing(Catalog.open(place)) as catalog:
                count = catalog.counts().embedded
                tally.expect(count % MICRO_BATCH == 0, f"half a commit was seen: {count} pictures")
    print(json.dumps({"tried": tally.tried, "refused": refused, "lost": tally.lost[:20]}))


def is_true(said: str) -> bool:
    """Whether a refusal blames what is at fault: the library that was read is whole."""
    return not any(word in said for word in ("damaged", "malformed", "--repair", "unexpected"))


class Vectors:
    """What the small encoder makes of a picture, by its seed."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.of = cache(self._of)

    def _of(self, seed: int) -> NDArray[np.float32]:
        path = paint(self._scratch / "picture.png", seed)
        decoded = work(Task(0, bytes(path), SIDE, MAX_PIXELS)).decoded
        assert decoded is not None
        vector = SmallEncoder().encode(decoded.pixels[np.newaxis])[0]
        return vector.astype(np.float16).astype(np.float32)


def check_one(
    library: Library,
    query: NDArray[np.float32],
    limit: int,
    only: Path | None,
    stable: int,
    vectors: Vectors,
    tally: Tally,
) -> None:
    """Scores are those of the pictures, in order; what was there before and stays is found."""
    tally.tried += 1
    matches = library.search(query, limit, folder=only)
    unit = query / np.linalg.norm(query)
    scores = [match.score for match in matches]
    tally.expect(scores == sorted(scores, reverse=True), "answers were out of order")
    for match in matches:
        round, number = map(int, match.path.stem.split("-"))
        expected = float(unit @ vectors.of(pixel_seed(round, number)))
        tally.expect(abs(match.score - expected) < 2e-3, f"{match.path}: {match.score}")
        if only:
            tally.expect(match.path.is_relative_to(only), f"{match.path} is not in {only}")
    stay = {(round, number) for round in range(stable + 1) for number in range(BATCH)}
    if limit > len(stay) * 10:
        found = {tuple(map(int, match.path.stem.split("-"))) for match in matches}
        tally.expect(stay <= found, f"{len(stay - found)} pictures that stay were not found")
        return
    best = max(float(unit @ vectors.of(pixel_seed(*each))) for each in stay)
    tally.expect(scores[0] > best - 2e-3, "the best of the pictures that stay was not found")


if __name__ == "__main__":
    read(Path(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:]))
