"""A forked child does again whatever its parent did before, with the same answers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")

SECONDS = 240  # for what takes some twenty
ROOT = Path(__file__).parents[2]

PROGRAM = """
import multiprocessing, os, shutil, sys, threading
from pathlib import Path
import numpy as np
from retrieval import Library
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.pool import WorkerPool
from retrieval.decoding.task import Task
from tests.retrieval.conftest import paint

photos, kind = Path(sys.argv[1]), sys.argv[2]
picture = photos / "small" / "red.png"
stranger = paint(photos.parent / "stranger.png", "green", 99)
library = Library.open(photos / ".retrieve")
pool = WorkerPool(1)

def names(matches):
    return [match.path.name for match in matches]  # torch's scores differ in the third digit

def words():
    return names(library.search("a red car", limit=4))

def several():
    return [names(library.search(line, limit=3)) for line in ("red", "blue", "a dog -cat")]

def by_picture():
    return names(library.search(stranger, limit=4))

def similar():
    return names(library.similar(picture, limit=4))

def duplicates():
    groups = library.duplicates()
    return [sorted(match.path.name for match in (each.kept, *each.others)) for each in groups]

def tag():
    return [sorted((k, round(v, 3)) for k, v in each.labels.items())
            for each in library.tag(picture, ["red", "blue"])]

def index(workers):
    new = photos / f"new {os.getpid()} {workers}.png"
    paint(new, "yellow", os.getpid())
    summary = library.index(workers=workers)
    new.unlink()
    assert library.index(workers=workers).removed == 1
    return summary.new, summary.encoded

def with_workers():
    return index(2)

def without_workers():
    return index(0)

def torch():
    from clipmodel.pretrained import resolve
    from clipmodel.torch_backend.image_encoder import ImageEncoder
    global encoder
    if "encoder" not in globals():
        encoder = ImageEncoder(resolve(Path(os.environ["RETRIEVE_MODEL"])), device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    return [np.round(encoder.encode(pixels[:n]).sum(), 2) for n in (1, 40)]

def decoders():
    task = Task(0, os.fsencode(picture), 32, MAX_PIXELS, box=(64, 64))
    result = pool.do(task).result(30)
    return result.digest, result.decoded is not None, len(result.thumbnail)

KINDS = [words, several, by_picture, similar, duplicates, tag, without_workers, with_workers,
         decoders]
if kind == "torch":  # without it, pictures are encoded in NumPy
    KINDS.append(torch)

def child():
    for each, wanted in answers.items():
        print("child:", each, flush=True)
        got = globals()[each]()
        assert got == wanted, (each, got, wanted)

def ended(wait):
    # What a child that hangs is at is on standard output.
    for _ in range(600):
        if (code := wait()) is not None:
            return code
        threading.Event().wait(0.1)

def forked_by_multiprocessing():
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    code = ended(lambda: process.exitcode)
    process.kill()
    process.join()
    return code

def forked_by_os():
    if not (pid := os.fork()):
        try:
            child()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    def wait():
        done, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if done else None
    if (code := ended(wait)) is None:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return code

answers = {each.__name__: each() for each in KINDS}
assert forked_by_multiprocessing() == 0
assert forked_by_os() == 0
child()  # and the parent, too, goes on
pool.close()
library.close()
"""

KILLED = """
import os, signal, sys, time
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.pool import WorkerPool
from retrieval.decoding.task import Task

pool = WorkerPool(1)
assert pool.do(Task(0, os.fsencode(sys.argv[1]), 16, MAX_PIXELS)).result(30).decoded
[worker] = pool._workers
child = os.fork()
if not child:
    time.sleep(60)
print(child, worker._process.pid, flush=True)
time.sleep(60)
"""


MIDWAY = """
import faulthandler, os, sys
from pathlib import Path
from retrieval.catalog.reading import Catalog
from retrieval.indexing.run import index
from retrieval.records import Progress
from tests.retrieval.small import SmallEncoder, contents, paint_many, small_model

base = Path(sys.argv[1])
encoder = {"one": SmallEncoder} if sys.argv[2] == "device" else SmallEncoder
paint_many(base / "many", 60)
catalog = Catalog.open(base / "library", create=True)
run = index(catalog, [base / "many"], small_model(), encoder, workers=2, batch_size=4)
for step in run:
    if isinstance(step, Progress) and step.encoded >= 4:
        break
if not (pid := os.fork()):
    faulthandler.dump_traceback_later(60, exit=True)  # where it hangs
    run.close()
    os._exit(0)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert (base / "library" / "write.holder").exists()  # that of the parent's lock
*_, summary = run
assert summary.encoded == len(contents(catalog)) == 60, summary
catalog.close()
"""


def run(program: str, *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize("encoder", ["numpy", "torch"])
def test_a_forked_child_does_what_its_parent_did(indexed: Path, encoder: str) -> None:
    process = run(PROGRAM, str(indexed), encoder)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said


@pytest.mark.parametrize("where", ["here", "device"])
def test_a_child_that_is_forked_during_a_run_drops_it_and_the_run_goes_on(
    base: Path, where: str
) -> None:
    process = run(MIDWAY, str(base), where)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_workers_end_with_a_killed_parent_though_its_forked_child_lives(indexed: Path) -> None:
    process = run(KILLED, str(indexed / "small" / "red.png"))
    assert process.stdout
    child, worker = process.stdout.readline().split()
    process.kill()
    process.wait()
    try:
        until = time.monotonic() + 30
        while is_running(worker) and time.monotonic() < until:
            time.sleep(0.05)
        assert not is_running(worker) and is_running(child)
    finally:
        os.kill(int(child), 9)
        process.stdout.close()


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
