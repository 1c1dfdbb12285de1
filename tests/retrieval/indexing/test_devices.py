"""Encoders in processes of their own: as many as there are devices, each of which may fail."""

import gc
import os
import random
import signal
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from clipmodel.errors import DeviceError
from retrieval.catalog.reading import Catalog
from retrieval.indexing.run import index
from retrieval.records import Progress, Summary
from tests.retrieval.mortal import How, Mortal, children, forget_children, maps_of_rings
from tests.retrieval.small import (
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
