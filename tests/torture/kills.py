"""kill -9 of `retrieve index` at every stage, and at any time; what was done before is kept."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any

from clipmodel.model_folder import ModelFolder
from retrieval.locate import FILE_NAME
from tests.torture.library import BATCH, Scene, go_on, look_over, of_the_future
from tests.torture.tally import Tally
from tests.torture.victim import STAGES

PROJECT = Path(__file__).parents[2]
ANY = "any time"
OFTEN = {"scan": 40, "decode": 30, "encode": 7, "commit": 9, "backfill": 9, "prune": 2, "finish": 2}
OFTEN |= {"write": 4, "migrate": 3}  # how many times a run comes by at a stage
LATEST = 0.02  # seconds after the run came by
IN_FLIGHT = 1  # batch: the one before is committed when the next is encoded
MARK = "RETRIEVE_TORTURE"  # in the environment of a run and of its workers


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    scene = Scene(folder)
    rounds = 1 if quick else 16
    with start(scene, scene.copy("timed"), {"log": str(folder / "log")}, scene.model) as process:
        began = time.monotonic()
        process.wait()
    seconds = time.monotonic() - began
    for stage in (*STAGES, ANY):
        tally = Tally(f"kill -9: {stage}")
        for number in range(rounds if stage != ANY else 2 * rounds):
            kill_once(scene, stage, seconds, random.Random(f"{seed} {stage} {number}"), tally)
        yield tally


def kill_once(
    scene: Scene, stage: str, seconds: float, chance: random.Random, tally: Tally
) -> None:
    """One run that is killed, what it left, and the next run."""
    other = stage in ("backfill", "switch", "switched")
    for attempt in range(20):  # a run may be over before its time has come
        library = scene.copy(f"library-{stage}")
        log = scene.folder / "log"
        log.unlink(missing_ok=True)
        if killed(scene, library, log, stage, seconds / (1 + attempt), chance, other):
            break
        shutil.rmtree(library)
    else:
        raise AssertionError(f"no run was killed at {stage}")
    tally.tried += 1
    where = f"{tally.fault}, number {tally.tried}"
    with of_the_future() if stage == "migrate" else nullcontext():
        look_over(library, tally, where)
        finished = sum(map(int, log.read_text().split())) if log.exists() else 0
        kept = kept_of(library, scene.last_id, scene.other.digest if other else None)
        again = finished - kept
        tally.expect(again <= IN_FLIGHT * BATCH, f"{where}: {again} are encoded again")
        encoded = go_on(library, scene, tally, where, scene.other if other else None)
    work = scene.work_of_other if other else scene.work
    tally.expect(encoded == work - kept, f"{where}: {encoded} encoded, of {work} {kept} were kept")
    worst = max(again, int(tally.note.split()[-1]) if tally.note else 0)
    tally.note = f"encoded again, at most: {worst}"
    shutil.rmtree(library)


def killed(
    scene: Scene,
    library: Path,
    log: Path,
    stage: str,
    seconds: float,
    chance: random.Random,
    other: bool,
) -> bool:
    """Whether a run was killed, at a stage or after a time, before it was over."""
    told: dict[str, Any] = {"log": str(log), "many": chance.choice([True, False])}
    if stage != ANY:
        delay = chance.choice([0.0, chance.uniform(0, LATEST)])
        told |= {"stage": stage, "count": chance.randint(1, OFTEN.get(stage, 1)), "delay": delay}
    told["future"] = stage == "migrate"
    mark = uuid.uuid4().hex
    with start(scene, library, told, scene.other if other else scene.model, mark) as process:
        if stage == ANY:
            time.sleep(chance.uniform(0, seconds))
            process.send_signal(signal.SIGKILL)
        process.wait(timeout=120)
    wait_for_workers(mark)
    return process.returncode == -signal.SIGKILL


def start(
    scene: Scene, library: Path, told: dict[str, Any], model: ModelFolder, mark: str = ""
) -> "subprocess.Popen[str]":
    """A run over all pictures that has imported what it needs."""
    arguments = ["--library", library, "index", scene.photos, "--model", model.path]
    options = ["--workers", "2", "--batch-size", str(BATCH)]
    command = [sys.executable, "-m", "tests.torture.victim", json.dumps(told)]
    process = subprocess.Popen(
        [*command, *map(str, arguments), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={**os.environ, MARK: mark},
    )
    assert process.stdout and process.stderr
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def kept_of(library: Path, last_id: int, model: str | None) -> int:
    """Vectors that the killed run committed: of new images, or all of another model."""
    if not (library / FILE_NAME).exists():
        return 0
    new = "SELECT count(*) FROM embeddings WHERE image_id > ?"
    of_model = (
        "SELECT count(*) FROM embeddings JOIN models ON models.id = model_id WHERE digest = ?"
    )
    with closing(sqlite3.connect(library / FILE_NAME)) as connection:
        found = connection.execute(of_model, (model,)) if model else None
        [(count,)] = found or connection.execute(new, (last_id,))
    return int(count)


def wait_for_workers(mark: str) -> None:
    """The workers of a run that was killed end by themselves, and soon."""
    until = time.monotonic() + 30
    while any(mark in environment for environment in environments()):
        assert time.monotonic() < until, "workers outlive their run"
        time.sleep(0.01)


def environments() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            yield path.read_bytes().decode("utf-8", "replace")
