"""A few of each of the faults that `make torture` tries by the hundred."""

import random
import sys
from pathlib import Path

import pytest

from tests.torture import (
    damage,
    descriptors,
    disk,
    headers,
    kills,
    links,
    mounts,
    pictures,
    readers,
    times,
)
from tests.torture.library import Scene
from tests.torture.tally import Tally, table
from tests.torture.victim import STAGES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, limits and /proc")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


def check(tally: Tally, tried: int) -> None:
    assert tally.lost == [] and tally.tried == tried, tally


@pytest.mark.parametrize("stage", [*STAGES, kills.ANY])
def test_a_run_that_is_killed_loses_nothing(scene: Scene, stage: str) -> None:
    tally = Tally(stage)
    kills.kill_once(scene, stage, 0.5, random.Random(stage), tally)
    check(tally, 1)


def test_files_that_may_not_grow_lose_nothing(scene: Scene) -> None:
    tally, chance = Tally("disk"), random.Random(1)
    for _ in range(2):
        disk.limit_once(scene, chance, tally)
    check(tally, 2)


def test_a_full_disk_loses_nothing(scene: Scene) -> None:
    tally = Tally("disk")
    if not disk.fill_once(scene, random.Random(2), tally):
        pytest.skip("no disk may be mounted here")
    check(tally, 1)


@pytest.mark.parametrize("kind", damage.KINDS)
def test_a_damaged_catalog_is_mended(scene: Scene, kind: str) -> None:
    tally, chance = Tally(kind), random.Random(kind)
    for _ in range(2):
        damage.damage_catalog(scene, kind, chance, tally)
    check(tally, 2)


def test_a_damaged_index_file_is_seen_and_mended(scene: Scene) -> None:
    tally, chance = Tally("index"), random.Random(2)
    for _ in range(4):
        damage.damage_index(scene, chance, tally)
    check(tally, 4)


def test_pictures_cut_and_altered(tmp_path: Path) -> None:
    for tally in pictures.run(tmp_path, seed=0, quick=True):
        assert tally.lost == [] and tally.tried > 50, tally


def test_readers_and_a_writer(tmp_path: Path) -> None:
    tally = Tally("readers")
    readers.search_while_writing(tmp_path, 0, 2.0, tally)
    assert tally.lost == [] and tally.tried >= readers.READERS, tally


def test_a_mount_that_may_only_be_read(tmp_path: Path) -> None:
    tally = Tally("mounts")
    if not mounts.read_while_writing(tmp_path, 0, 2.0, tally):
        pytest.skip("nothing may be mounted here")
    assert tally.lost == [] and tally.tried >= readers.READERS, tally


def test_files_of_any_time(tmp_path: Path) -> None:
    for tally in times.run(tmp_path, seed=0, quick=True):
        assert tally.lost == [] and tally.tried > 0, tally


def test_what_duplicates_lists_can_be_removed(tmp_path: Path) -> None:
    tally = Tally("links")
    for number in range(30):
        links.remove_redundant(tmp_path / str(number), random.Random(number), tally)
    assert tally.lost == [] and tally.tried > 0, tally


def test_threads_that_end_leave_nothing_open(tmp_path: Path) -> None:
    tally = Tally("threads")
    descriptors.burst_upon(tmp_path, 0, 15, tally)
    check(tally, 15)


def test_a_flood_of_half_sent_headers(tmp_path: Path) -> None:
    headers.prepare(tmp_path, 0)
    tally = Tally("connections")
    headers.flood_once(tmp_path, "half a header", 0, 300, 0.3, tally)
    assert tally.lost == [] and tally.tried > 0, tally


def test_what_is_lost_is_in_the_table() -> None:
    tally = Tally("kill -9", tried=1_000, note="why")
    tally.expect(False, "it was lost")
    tally.expect(True, "it was not")
    assert table([("kills", tally, 12.3)]).splitlines()[-1].split() == (
        "| kills | kill -9 | 1,000 | 12 | 1 | why |".split()
    )
