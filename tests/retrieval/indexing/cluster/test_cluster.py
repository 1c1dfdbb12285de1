"""Index runs on a Ray cluster: the same answers as without one, whatever dies on the way."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

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
from tests.retrieval.indexing.cluster.conftest import Nodes, kill_worker, small_loader
from tests.retrieval.small import (
    DATA,
    SmallEncoder,
    as_counts,
    contents,
    paint,
    paint_many,
    run_index,
    small_model,
    small_query_bank,
)

NOWHERE = Cluster("127.0.0.1:9")  # the port of a service that discards


def steps_of(
    catalog: Catalog, photos: Path, cluster: Cluster, model: ModelFolder | None = None
) -> Iterator[Progress | Summary]:
    return index(
        catalog,
        [photos],
        model or small_model(),
        small_loader,
        query_bank=small_query_bank,
        cluster=cluster,
    )


def run_on(
    catalog: Catalog, photos: Path, cluster: Cluster, model: ModelFolder | None = None
) -> Summary:
    *_, summary = steps_of(catalog, photos, cluster, model)
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


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    paint_many(tmp_path / "photos", 150)
    return tmp_path / "photos"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with closing(Catalog.open(tmp_path / "library", create=True)) as catalog:
        yield catalog


@pytest.mark.slow
def test_a_library_is_the_same_as_without_a_cluster(
    tmp_path: Path, photos: Path, catalog: Catalog, nodes: Nodes
) -> None:
    shutil.copytree(DATA / "bad_pictures", photos / "bad")
    shutil.copy(photos / "001.png", photos / "copy.png")
    with closing(Catalog.open(tmp_path / "here", create=True)) as other:
        alone = run_index(other, [photos], query_bank=small_query_bank, workers=2)
        summary = run_on(catalog, photos, nodes.settings)
        assert as_counts(summary) == as_counts(alone)
        assert contents(catalog) == contents(other)
        measured = "SELECT bank_mean, bank_deviation FROM embeddings ORDER BY bank_mean"
        np.testing.assert_allclose(catalog.rows(measured), other.rows(measured), rtol=1e-5)


@pytest.mark.slow
def test_the_next_run_does_what_is_new(
    tmp_path: Path, photos: Path, catalog: Catalog, nodes: Nodes
) -> None:
    run_on(catalog, photos, nodes.settings)
    os.rename(photos / "000.png", photos / "moved.png")
    (photos / "001.png").unlink()
    paint(photos / "new.jpg", 1000)
    summary = run_on(catalog, photos, nodes.settings)
    assert as_counts(summary) == {
        **{"moved": 1, "removed": 1, "new": 1, "encoded": 1, "unchanged": 148}
    }
    assert contents(catalog) == here(tmp_path, photos)


@pytest.mark.slow
def test_another_model_encodes_what_is_known(
    tmp_path: Path, photos: Path, catalog: Catalog, nodes: Nodes
) -> None:
    run_index(catalog, [photos])
    summary = run_on(catalog, photos, nodes.settings, small_model("other"))
    assert as_counts(summary) == {"unchanged": 150, "encoded": 150}
    assert (model := catalog.current_model()) and model.name == "other"
    assert contents(catalog) == here(tmp_path, photos)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(
    tmp_path: Path, photos: Path, catalog: Catalog, nodes: Nodes
) -> None:
    run = steps_of(catalog, photos, nodes.settings)
    assert next(step for step in run if isinstance(step, Progress) and step.total > 100)
    summary = run.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert summary.interrupted and catalog.counts().embedded == summary.encoded
    nodes.wait_until_idle()
    assert run_on(catalog, photos, nodes.settings).encoded == 150 - summary.encoded
    assert contents(catalog) == here(tmp_path, photos)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_workers_may_be_killed(
    tmp_path: Path, photos: Path, catalog: Catalog, nodes: Nodes, seed: int
) -> None:
    chance = random.Random(seed)
    kill_at = set(chance.sample(range(150), 4))
    summary = harmed_run(catalog, photos, nodes, kill_at, lambda: kill_worker(nodes, chance.choice))
    assert as_counts(summary) == {"new": 150, "encoded": 150}
    assert contents(catalog) == here(tmp_path, photos)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_node_may_be_killed(
    tmp_path: Path, photos: Path, catalog: Catalog, nodes: Nodes, seed: int
) -> None:
    third = nodes.add()
    nodes.cluster.wait_for_nodes()
    kill_at = {random.Random(seed).randrange(100)}
    summary = harmed_run(catalog, photos, nodes, kill_at, lambda: nodes.kill(third))
    assert as_counts(summary) == {"new": 150, "encoded": 150}
    assert contents(catalog) == here(tmp_path, photos)


@pytest.mark.slow
def test_processes_that_write_may_be_killed(
    base: Path, photos: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(base / "cache"))
    monkeypatch.setattr(encoded, "PICTURES_PER_COMMIT", 10)
    with closing(Catalog.open(postgres.new_place(), create=True)) as shared:
        harm = partial(kill_worker, nodes, max)  # the youngest: the writers start last
        summary = harmed_run(shared, photos, nodes, {100, 120, 140}, harm)
        assert as_counts(summary) == {"new": 150, "encoded": 150}
        assert contents(shared) == here(base, photos)


def harmed_run(
    catalog: Catalog, photos: Path, nodes: Nodes, at: set[int], harm: Callable[[], None]
) -> Summary:
    """A run in which something dies whenever another of these numbers of files is done."""
    at, harmed = {*at}, 0
    for step in steps_of(catalog, photos, nodes.settings):
        if isinstance(step, Summary):
            assert harmed
            return step
        while at and min(at) <= step.total:  # files are listed long before they are done
            at.remove(min(at))
            harmed += 1
            harm()
    raise AssertionError("a run ends with its summary")


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
    assert as_counts(run_on(catalog, photos, NOWHERE)) == {"unchanged": 150}


def test_a_cluster_that_is_down_is_told_in_a_line(photos: Path, tmp_path: Path) -> None:
    run = [sys.executable, "-m", "retrieval.cli.main", "--library", tmp_path / "library"]
    index = ["index", photos, "--ray", NOWHERE.address, "--model", "tiny"]
    ended = subprocess.run([*run, *index], check=False, capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: cannot reach the Ray cluster at 127.0.0.1:9: ")
