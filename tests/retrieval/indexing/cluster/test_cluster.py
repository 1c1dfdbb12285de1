"""Index runs on a Ray cluster: the same answers as without one, whatever dies on the way."""

import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipmodel.errors import ClipModelError
from clipmodel.pretrained import ModelFolder
from retrieval.catalog.reading import Catalog
from retrieval.decoding.task import Task
from retrieval.errors import ClusterUnavailable
from retrieval.indexing.cluster import encoded, pool
from retrieval.indexing.cluster.engine import on_cluster
from retrieval.indexing.cluster.placement import Cluster
from retrieval.indexing.run import index
from retrieval.records import Progress, Summary
from tests.retrieval import postgres
from tests.retrieval.indexing.cluster.conftest import (
    Nodes,
    PoisonedEncoder,
    kill_worker,
    small_loader,
)
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
from tests.retrieval.sources.test_tar_shard import pack

pytestmark = pytest.mark.xdist_group("ray")  # one cluster is enough for this machine

BROKEN = b"\x89PNG\r\n\x1a\n" + bytes(50)
NOWHERE = Cluster("127.0.0.1:9")  # the port of a service that discards
COUNT = 80  # pictures


def steps_of(
    catalog: Catalog,
    paths: Path | list[Path],
    cluster: Cluster,
    model: ModelFolder | None = None,
    loader: Callable[[], SmallEncoder] = small_loader,
) -> Iterator[Progress | Summary]:
    return index(
        catalog,
        paths if isinstance(paths, list) else [paths],
        model or small_model(),
        loader,
        query_bank=small_query_bank,
        cluster=cluster,
    )


def run_on(
    catalog: Catalog,
    paths: Path | list[Path],
    cluster: Cluster,
    model: ModelFolder | None = None,
    loader: Callable[[], SmallEncoder] = small_loader,
) -> Summary:
    *_, summary = steps_of(catalog, paths, cluster, model, loader)
    assert isinstance(summary, Summary)
    return summary


def here(tmp_path: Path, photos: Path) -> dict[str, object]:
    """What a library holds that this process indexed."""
    with closing(Catalog.open(tmp_path / "here", create=True)) as catalog:
        run_index(catalog, [photos], query_bank=small_query_bank)
        return {**contents(catalog)}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that workers die in the middle of a run, not all at its end."""
    monkeypatch.setattr(pool, "CHUNK", 8)
    monkeypatch.setattr(encoded, "PICTURES_PER_COMMIT", 8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    paint_many(tmp_path / "photos", COUNT)
    return tmp_path / "photos"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with closing(Catalog.open(tmp_path / "library", create=True)) as catalog:
        yield catalog


def spoil(folder: Path) -> None:
    """Fill a folder with pictures that cannot be read, for several reasons, and one that can."""
    whole = paint(folder / "whole.jpg", 500).read_bytes()
    for name, data in {
        "broken.png": BROKEN,
        "empty.jpg": b"",
        "head.jpg": whole[:100],
        "half.jpg": whole[: len(whole) // 2],
        "words.gif": b"not a picture",
    }.items():
        (folder / name).write_bytes(data)


@pytest.mark.slow
def test_libraries_are_the_same_with_and_without_a_cluster(
    tmp_path: Path, photos: Path, catalog: Catalog, nodes: Nodes
) -> None:
    """The first run, and one that meets news and another model."""
    spoil(photos / "bad")
    shutil.copy(photos / "001.png", photos / "copy.png")
    with closing(Catalog.open(tmp_path / "here", create=True)) as other:
        alone = run_index(other, [photos], query_bank=small_query_bank, workers=2)
        summary = run_on(catalog, photos, nodes.settings)
        assert as_counts(summary) == as_counts(alone)
        assert contents(catalog) == contents(other)
        measured = "SELECT bank_mean, bank_deviation FROM embeddings ORDER BY bank_mean"
        np.testing.assert_allclose(catalog.rows(measured), other.rows(measured), rtol=1e-5)

        os.rename(photos / "000.png", photos / "moved.png")
        (photos / "002.png").unlink()
        paint(photos / "new.jpg", 1000)
        model = small_model("other")
        alone = run_index(other, [photos], model, query_bank=small_query_bank, workers=2)
        summary = run_on(catalog, photos, nodes.settings, model)
        assert as_counts(summary) == as_counts(alone)
        assert (summary.moved, summary.removed, summary.new) == (1, 1, 1)
        assert (current := catalog.current_model()) and current.name == "other"
        assert contents(catalog) == contents(other)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(
    tmp_path: Path, photos: Path, catalog: Catalog, nodes: Nodes
) -> None:
    run = steps_of(catalog, photos, nodes.settings)
    assert next(step for step in run if isinstance(step, Progress) and step.done)
    summary = run.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert summary.interrupted and catalog.counts().embedded == summary.encoded < COUNT
    nodes.wait_until_idle()
    rest = run_index(catalog, [photos], query_bank=small_query_bank)
    assert rest.encoded == COUNT - summary.encoded
    assert contents(catalog) == here(tmp_path, photos)


@pytest.mark.slow
def test_workers_and_nodes_may_be_killed(
    tmp_path: Path, photos: Path, catalog: Catalog, nodes: Nodes
) -> None:
    third = nodes.add()
    nodes.cluster.wait_for_nodes()
    chance = random.Random(0)
    harms = [partial(kill_worker, nodes, chance.choice) for _ in range(3)]
    harms.insert(chance.randrange(4), lambda: nodes.kill(third))
    summary = harmed_run(catalog, photos, nodes, chance.sample(range(1, COUNT - 10), 4), harms)
    assert as_counts(summary) == {"new": COUNT, "encoded": COUNT}
    assert contents(catalog) == here(tmp_path, photos)


@pytest.mark.slow
def test_processes_that_write_may_be_killed(
    base: Path, photos: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(base / "cache"))
    with closing(Catalog.open(postgres.new_place(), create=True)) as shared:
        harm = partial(kill_worker, nodes, max)  # the youngest: the writers start last
        summary = harmed_run(shared, photos, nodes, [1, 30], [harm, harm])
        assert as_counts(summary) == {"new": COUNT, "encoded": COUNT}
        assert contents(shared) == here(base, photos)
    nodes.wait_until_idle()


def harmed_run(
    catalog: Catalog,
    photos: Path,
    nodes: Nodes,
    at: list[int],
    harms: Sequence[Callable[[], None]],
) -> Summary:
    """A run in which something dies whenever another of these numbers of files is done."""
    waiting = list(zip(sorted(at), harms, strict=True))
    for step in steps_of(catalog, photos, nodes.settings):
        if isinstance(step, Summary):
            assert not waiting
            return step
        if waiting and waiting[0][0] <= step.done:
            waiting.pop(0)[1]()
    raise AssertionError("a run ends with its summary")


@pytest.mark.slow
def test_a_member_of_a_shard_that_ends_workers_is_a_failure(
    tmp_path: Path,
    catalog: Catalog,
    nodes: Nodes,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The pictures around it, and the shard behind, are encoded; so it is with invalid members."""
    monkeypatch.setattr(pool, "MAX_ATTEMPTS", 1)  # with the chunk, and one with the member
    members = {f"{n}.png": paint(tmp_path / f"{n}.png", n).read_bytes() for n in range(6)}
    Image.new("RGB", (40, 30)).save(tmp_path / "black.png")
    first = {"0.png": members.pop("0.png"), "black.png": (tmp_path / "black.png").read_bytes()}
    shards = [
        pack(tmp_path / "shards" / "0.tar", first | {"cut.png": BROKEN}),
        pack(tmp_path / "shards" / "1.tar", members),
    ]
    with tarfile.open(shards[1]) as tar:
        end = tar.getmembers()[-1].offset_data
    os.truncate(shards[1], end + 1)
    summary = run_on(catalog, shards, nodes.settings, loader=PoisonedEncoder)
    assert as_counts(summary) == {"new": 5, "failed": 3, "encoded": 5}
    said = {each.path.name: each.reason for each in catalog.files.failures()}
    assert "1 workers of the cluster died" in said.pop("black.png")
    assert "cut off" in said.pop("1.tar")
    assert list(said) == ["cut.png"]
    assert capfd.readouterr() == ("", "")  # Ray would tell of each process that died


@pytest.mark.slow
def test_a_node_without_the_pictures_is_named(
    tmp_path: Path, catalog: Catalog, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: True)  # here, though not on the nodes
    cluster_pool, *_ = on_cluster(nodes.settings, catalog, small_loader, None, None, None)
    with closing(cluster_pool):
        cluster_pool.submit(Task(0, os.fsencode(tmp_path / "gone.png"), None, 100))
        with pytest.raises(
            ClusterUnavailable, match=r"cannot read .*gone.png: put the pictures on"
        ):
            cluster_pool.collect()


@pytest.mark.slow
def test_what_a_node_raises_is_raised_here(photos: Path, catalog: Catalog, nodes: Nodes) -> None:
    with pytest.raises(ClipModelError, match="no such device") as raised:
        list(index(catalog, [photos], small_model(), broken_loader, cluster=nodes.settings))
    assert "\n" not in str(raised.value)
    nodes.wait_until_idle()


def broken_loader() -> SmallEncoder:
    raise ClipModelError("no such device")


def test_an_unchanged_library_needs_no_cluster(photos: Path, catalog: Catalog) -> None:
    run_index(catalog, [photos], query_bank=small_query_bank)
    assert as_counts(run_on(catalog, photos, NOWHERE)) == {"unchanged": COUNT}


def test_a_cluster_that_is_down_is_told_in_a_line(photos: Path, tmp_path: Path) -> None:
    run = [sys.executable, "-m", "retrieval.cli.main", "--library", tmp_path / "library"]
    index = ["index", photos, "--ray", NOWHERE.address, "--model", "tiny"]
    ended = subprocess.run([*run, *index], check=False, capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: cannot reach the Ray cluster at 127.0.0.1:9: ")
