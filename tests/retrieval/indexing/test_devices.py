"""Encoders in processes of their own: as many as there are devices, each of which may fail."""

import gc
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clipmodel.errors import DeviceError
from retrieval.catalog.reading import Catalog
from retrieval.indexing.encoders import queue
from retrieval.indexing.encoders.device import DeviceEngine
from retrieval.indexing.encoders.queue import EncodingQueue
from retrieval.indexing.run import index
from retrieval.records import NewImage, Progress, Summary
from tests.retrieval.mortal import How, Mortal, children, forget_children, maps_of_rings, stopped
from tests.retrieval.small import (
    SIDE,
    SmallEncoder,
    as_counts,
    contents,
    paint,
    paint_many,
    run_index,
    small_model,
    small_query_bank,
)
from tests.torture import processes
from tests.torture.tally import Tally

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")

BOTH = {"one": SmallEncoder, "two": SmallEncoder}
COUNT = 24  # pictures
PARTS = ("worker_process", "device_process", "writer_process")


@pytest.fixture(autouse=True)
def only_children_of_this_test() -> None:
    forget_children()


@pytest.fixture
def photos(base: Path) -> Path:
    paint_many(base / "photos", COUNT)
    return base / "photos"


def finished(run: Iterable[Progress | Summary]) -> Summary:
    *_, summary = run
    assert isinstance(summary, Summary)
    return summary


def whole(base: Path, *paths: Path) -> dict[str, tuple[str, bytes] | str | None]:
    """What a library holds that indexes these paths in this process alone."""
    with closing(Catalog.open(base / "whole", create=True)) as catalog:
        finished(index(catalog, paths, small_model(), SmallEncoder, workers=0))
        return contents(catalog)


def test_two_devices_give_what_one_process_gives_and_leave_nothing(
    catalog: Catalog, photos: Path, base: Path
) -> None:
    (photos / "bad.jpg").write_bytes(b"no picture")
    frames = [paint(base / f"{seed}.png", seed) for seed in range(3)]
    animate(photos / "moves.gif", frames)
    files = len(os.listdir("/proc/self/fd"))
    run = index(catalog, [photos], small_model(), BOTH, workers=2, query_bank=small_query_bank)
    assert as_counts(finished(run)) == {"new": COUNT + 1, "failed": 1, "encoded": COUNT + 1}
    gc.collect()
    assert children(*PARTS) == [] and maps_of_rings() == []
    assert len(os.listdir("/proc/self/fd")) <= files + 2  # the catalog's own
    assert contents(catalog) == whole(base, photos)
    measured = "SELECT count(*) FROM embeddings WHERE bank_mean IS NOT NULL"
    assert catalog.rows(measured)[0][0] >= COUNT + 1
    again = index(catalog, [photos], small_model(), BOTH, workers=2)
    assert as_counts(finished(again)) == {"unchanged": COUNT + 2}


def animate(path: Path, frames: list[Path]) -> None:
    from PIL import Image

    first, *rest = [Image.open(each).resize((64, 48)) for each in frames]
    first.save(path, save_all=True, append_images=rest, duration=1_000)


@pytest.mark.parametrize("how", ["killed", "lost", "at its start"])
def test_a_device_that_is_lost_once_costs_nothing(
    catalog: Catalog, photos: Path, base: Path, how: How
) -> None:
    mortal = Mortal(base / "deaths", how)
    run = index(catalog, [photos], small_model(), {"cuda:0": mortal}, workers=2)
    assert as_counts(finished(run)) == {"new": COUNT, "encoded": COUNT}
    assert mortal.starts == 2 and children(*PARTS) == []
    assert contents(catalog) == whole(base, photos)


@pytest.mark.parametrize(
    ("how", "said", "starts"),
    [
        (
            "killed",
            "(its process ended: SIGKILL); try again, or use --device cpu",
            2,
        ),
        ("lost", "(unspecified launch failure); use --device cpu", 2),
        ("missing", "(there is no such device); see `retrieve devices`", 1),
    ],
)
def test_a_device_that_is_lost_again_ends_the_run_and_what_is_committed_stays(
    catalog: Catalog, photos: Path, base: Path, how: How, said: str, starts: int
) -> None:
    mortal = Mortal(base / "deaths", how, deaths=9, at=2)
    with pytest.raises(DeviceError) as caught:
        devices = {"cuda:0": mortal}
        finished(index(catalog, [photos], small_model(), devices, workers=2, batch_size=4))
    assert str(caught.value) == f"cannot use cuda:0 {said}"
    assert mortal.starts == starts and children(*PARTS) == []
    kept = catalog.counts().embedded
    assert 0 < kept < COUNT
    assert run_index(catalog, [photos]).encoded == COUNT - kept
    assert contents(catalog) == whole(base, photos)


def test_a_mistake_of_an_encoder_is_raised_as_it_is(
    catalog: Catalog, photos: Path, base: Path
) -> None:
    mortal = Mortal(base / "deaths", "mistaken")
    with pytest.raises(RuntimeError, match="do not fit"):
        finished(index(catalog, [photos], small_model(), {"cpu": mortal}, workers=1))
    assert mortal.starts == 1 and children(*PARTS) == []
    kept = catalog.counts().embedded
    assert 0 < kept < COUNT
    assert run_index(catalog, [photos]).encoded == COUNT - kept
    assert contents(catalog) == whole(base, photos)


class Overflowing(SmallEncoder):
    """Encodes the first micro-batch in fp16, and all after it in bf16."""

    precision = "fp16"
    slots = 1

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.precision = "bf16" if self.pictures else "fp16"
        return super().encode(pixels)


def test_the_catalog_says_in_which_precision_a_device_went_on(
    catalog: Catalog, photos: Path
) -> None:
    finished(index(catalog, [photos], small_model(), {"cuda:0": Overflowing}, workers=1))
    assert [model.precision for model in catalog.models()] == ["bf16"]


class Clumsy(SmallEncoder):
    """Fails at its first micro-batch once the second is being encoded."""

    def __init__(self) -> None:
        super().__init__()
        self._first = threading.Lock()
        self._second_began, self._has_failed = threading.Event(), threading.Event()

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._first.acquire(blocking=False):
            self._second_began.wait(60)
            self._has_failed.set()
            raise ValueError("not the second one")
        self._second_began.set()
        self._has_failed.wait(60)
        time.sleep(0.1)  # so that a run that did not wait for it would have ended
        return super().encode(pixels)


def test_what_is_encoded_beside_a_mistake_is_committed(
    catalog: Catalog, photos: Path, base: Path
) -> None:
    with pytest.raises(ValueError, match="not the second one"):
        finished(index(catalog, [photos], small_model(), Clumsy, workers=0))
    kept = catalog.counts().embedded
    assert 0 < kept < COUNT
    assert run_index(catalog, [photos]).encoded == COUNT - kept
    assert contents(catalog) == whole(base, photos)


def test_what_a_device_holds_that_hangs_is_encoded_by_a_new_process(tmp_path: Path) -> None:
    mortal = Mortal(tmp_path / "deaths", "stopped", at=0)
    engine = DeviceEngine("cuda:0", mortal, None, lambda: None)
    waiting = EncodingQueue([engine], None, lambda: None)
    wanted = [number.to_bytes(32) for number in range(10)]
    waiting.expect(len(wanted))
    for digest in wanted:
        waiting.add(NewImage(digest, SIDE, SIDE, "PNG", None), np.zeros((SIDE, SIDE, 3), np.uint8))
    encoded = list[bytes]()
    with closing(waiting):
        for batch in waiting.drain():
            if batch:
                encoded += [image.digest for image in batch.images]
            elif any(map(stopped, children("device_process"))):
                engine.give_up(9.0)
    assert sorted(encoded) == wanted and mortal.starts == 2
    assert children(*PARTS) == []


def test_a_device_that_hangs_again_ends_the_run(
    catalog: Catalog, photos: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PATIENCE_SECONDS", 2.0)
    mortal = Mortal(base / "deaths", "stopped", deaths=9)
    with pytest.raises(DeviceError) as caught:
        finished(index(catalog, [photos], small_model(), {"cuda:0": mortal}, workers=2))
    said = "cannot use cuda:0 (no answer for 2 seconds); try again, or use --device cpu"
    assert str(caught.value) == said
    assert children(*PARTS) == []
    run_index(catalog, [photos])
    assert contents(catalog) == whole(base, photos)


def test_ctrl_c_keeps_what_the_devices_encoded(catalog: Catalog, photos: Path, base: Path) -> None:
    paint_many(photos, 100, first=100)
    run = index(catalog, [photos], small_model(), BOTH, workers=2, batch_size=4)
    for step in run:
        if isinstance(step, Progress) and step.encoded >= 4:
            break
    summary = run.throw(KeyboardInterrupt())
    assert isinstance(summary, Summary) and summary.interrupted
    assert catalog.counts().embedded == summary.encoded
    assert children(*PARTS) == []
    assert run_index(catalog, [photos]).encoded == COUNT + 100 - summary.encoded
    assert contents(catalog) == whole(base, photos)


def test_the_process_that_writes_may_be_killed(catalog: Catalog, photos: Path, base: Path) -> None:
    run = index(catalog, [photos], small_model(), BOTH, workers=2, batch_size=4)
    for step in run:
        if isinstance(step, Progress) and step.encoded:
            break
    for pid in children("writer_process"):
        os.kill(pid, signal.SIGKILL)
    assert finished(run).encoded == COUNT and contents(catalog) == whole(base, photos)


@pytest.mark.parametrize("part", PARTS)
def test_any_process_that_is_killed_costs_at_most_a_file(tmp_path: Path, part: str) -> None:
    """A few of what `python -m tests.torture processes` does a hundred times."""
    tally = Tally(part)
    processes.kill_one(tmp_path, part, random.Random(part), tally)
    assert tally.lost == [] and tally.tried == 1


def test_a_run_that_is_killed_leaves_no_process_and_the_next_one_goes_on(tmp_path: Path) -> None:
    tally = Tally("run")
    processes.kill_run(tmp_path, random.Random(0), tally)
    assert tally.lost == [] and tally.tried == 1
