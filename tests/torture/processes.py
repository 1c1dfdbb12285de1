"""The processes of a run, killed one at a time: nothing is lost, and nothing is left behind.

    python -m tests.torture.processes LIBRARY PHOTOS

is a run that is to be killed itself; it prints how many pictures it has encoded.
"""

import gc
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

from clipmodel.errors import DeviceError
from retrieval.catalog.reading import Catalog
from retrieval.indexing.run import index
from retrieval.records import Progress, Summary
from tests.retrieval.mortal import children, forget_children, maps_of_rings
from tests.retrieval.small import SmallEncoder, contents, paint_many, run_index, small_model
from tests.torture import kills
from tests.torture.tally import Tally

PARTS = ("worker_process", "device_process", "writer_process")
PICTURES = 60
DEVICES = {"one": SmallEncoder, "two": SmallEncoder}


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    for part in PARTS:
        tally = Tally(f"kill -9 of a {part} during a run on two devices")
        for number in range(2 if quick else 34):
            kill_one(folder, part, random.Random(f"{seed} {part} {number}"), tally)
        yield tally
    tally = Tally("kill -9 of a run on two devices")
    for number in range(2 if quick else 34):
        kill_run(folder, random.Random(f"{seed} run {number}"), tally)
    yield tally


@cache
def scene(folder: Path) -> tuple[Path, dict[str, object]]:
    """Paint pictures; return their folder and what a whole run finds in it."""
    photos = Path(os.path.realpath(folder)) / "photos"
    paint_many(photos, PICTURES)
    with closing(Catalog.open(folder / "whole", create=True)) as catalog:
        run_index(catalog, [photos])
        return photos, dict(contents(catalog))


def kill_one(folder: Path, part: str, chance: random.Random, tally: Tally) -> None:
    """Index into a new library, and kill a process of this kind on the way."""
    photos, wanted = scene(folder)
    forget_children()
    tally.tried += 1
    where = f"{part}, kill {tally.tried}"
    files = len(os.listdir("/proc/self/fd"))
    library = folder / f"{part}-{tally.tried}"
    with closing(Catalog.open(library, create=True)) as catalog:
        summary = killed(catalog, photos, part, chance.randrange(PICTURES - 9), chance)
        tally.expect(summary is not None, f"{where}: the run ended with an error")
        held = contents(catalog)
        failed = [path for path in wanted if "crashed the worker" in str(held.get(path))]
        tally.expect(len(failed) <= (part == "worker_process"), f"{where}: {len(failed)} crashed")
        same = {path: held.get(path) for path in wanted if path not in failed}
        tally.expect(same.items() <= wanted.items(), f"{where}: the catalog differs")
    gc.collect()
    tally.expect(not children(*PARTS), f"{where}: a process is left")
    tally.expect(not maps_of_rings(), f"{where}: shared memory is left")
    left = len(os.listdir("/proc/self/fd")) - files
    tally.expect(left <= 0, f"{where}: {left} descriptors are left")


def kill_run(folder: Path, chance: random.Random, tally: Tally) -> None:
    """Kill a run as a whole; its processes end by themselves, and the next run goes on."""
    photos, wanted = scene(folder)
    tally.tried += 1
    where = f"run, kill {tally.tried}"
    library, mark, at = folder / f"run-{tally.tried}", uuid.uuid4().hex, chance.randrange(PICTURES)
    names = os.listdir("/dev/shm")
    command = [sys.executable, "-m", "tests.torture.processes", str(library), str(photos)]
    environment = {**os.environ, kills.MARK: mark}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=kills.PROJECT, env=environment
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if int(line) >= at:
                time.sleep(chance.choice([0.0, chance.uniform(0, 0.05)]))
                break
        process.kill()
    kills.wait_for_workers(mark)
    left = [name for name in os.listdir("/dev/shm") if name not in names and "retrieve" in name]
    tally.expect(not left, f"{where}: {left} in /dev/shm")
    with closing(Catalog.open(library)) as catalog:
        kept = catalog.counts().embedded
        encoded = run_index(catalog, [photos]).encoded
        tally.expect(encoded == PICTURES - kept, f"{where}: {encoded} encoded, {kept} were kept")
        tally.expect(contents(catalog) == wanted, f"{where}: the catalog differs")


def main(library: str, photos: str) -> None:
    with closing(Catalog.open(Path(library), create=True)) as catalog:
        run = index(catalog, [Path(photos)], small_model(), DEVICES, workers=2, batch_size=8)
        for step in run:
            print(step.encoded, flush=True)


def killed(
    catalog: Catalog, photos: Path, part: str, at: int, chance: random.Random
) -> Summary | None:
    """Run, and kill one process when so many files are done; None after an error."""
    has_killed = False
    try:
        for step in index(catalog, [photos], small_model(), DEVICES, workers=2, batch_size=8):
            if isinstance(step, Summary):
                return step
            assert isinstance(step, Progress)
            if not has_killed and step.done >= at and (found := children(part)):
                os.kill(chance.choice(found), signal.SIGKILL)
                has_killed = True
    except DeviceError:
        return None
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
