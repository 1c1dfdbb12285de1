"""Files with any time that a file system holds: every run ends, and no file is left out."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from clipmodel.model_folder import ModelFolder
from retrieval.catalog.reading import Catalog
from retrieval.library import Library
from tests.retrieval.small import contents, paint, run_index, small_query_bank
from tests.torture.library import model_at
from tests.torture.tally import Tally

Contents = dict[str, tuple[str, bytes] | str | None]

FILES = 6  # of a library
NANO = 10**9
MEMORY = Path("/dev/shm")  # a file system in memory, which takes more times than most disks


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    places = {"a disk": folder}
    if os.access(MEMORY, os.W_OK):
        places["memory"] = MEMORY
    for name, place in places.items():
        tally = Tally(f"times that a file may have, in {name}")
        chance = random.Random(seed)
        with tempfile.TemporaryDirectory(prefix="retrieve-torture-", dir=place) as inside:
            for number in range(5 if quick else 150):
                try_times(Path(inside) / str(number), chance, tally)
        yield tally


def try_times(folder: Path, chance: random.Random, tally: Tally) -> None:
    """A run over files of such times, one that finds them unchanged, and one after new times."""
    model = model_at(folder / "model")
    paths = [paint(folder / f"photos/{number}.png", number) for number in range(FILES)]
    expected = run_over(folder, model)
    tally.tried += sum(put(path, any_time(chance)) for path in paths)
    where = f"{tally.fault}: {[path.stat().st_mtime_ns for path in paths]}"
    library = folder / "library"
    try:
        with closing(Catalog.open(library, create=True)) as catalog:
            first = run_index(catalog, [folder / "photos"], model, query_bank=small_query_bank)
            tally.expect(first.new == FILES and contents(catalog) == expected, f"{where}: {first}")
            again = run_index(catalog, [folder / "photos"], model, query_bank=small_query_bank)
            tally.expect(again.unchanged == FILES, f"{where}: {again}")
            tally.tried += put(paths[0], any_time(chance))
            last = run_index(catalog, [folder / "photos"], model, query_bank=small_query_bank)
            tally.expect(last.failed == last.removed == 0, f"{where}: {last}")
            tally.expect(contents(catalog) == expected, f"{where}: a file was lost")
        with Library.open(library) as opened:
            tally.expect(opened.status().counts.files == FILES, f"{where}: a file was lost")
    except Exception as error:  # none may come, of whatever kind
        tally.lost.append(f"{where}: {error!r}")
    shutil.rmtree(folder)


def run_over(folder: Path, model: ModelFolder) -> Contents:
    """What a library of these files holds, whatever their times."""
    with closing(Catalog.open(folder / "plain", create=True)) as catalog:
        run_index(catalog, [folder / "photos"], model, query_bank=small_query_bank)
        return contents(catalog)


def any_time(chance: random.Random) -> int:
    """In nanoseconds: of every magnitude, and close to where integers end."""
    edge = chance.choice([0, *(1 << bits for bits in range(8, 64))])
    unit = chance.choice([1, NANO])
    near = chance.choice([-1, 0, 1, chance.randrange(NANO), chance.randrange(edge + 1)])
    seconds, nano = divmod(chance.choice([-1, 1]) * (edge * unit + near), NANO)
    return max(-(1 << 63), min((1 << 63) - 1, seconds)) * NANO + nano


def put(path: Path, time: int) -> bool:
    """Whether the system takes it."""
    try:
        os.utime(path, ns=(0, time))
        os.stat(path)
    except (OSError, OverflowError):
        return False
    return True
