"""A Ray cluster of two simulated nodes, started once: it takes seconds."""

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.indexing.cluster.placement import Cluster
from retrieval.indexing.cluster.session import RaySession, ray_module
from tests.retrieval.small import SmallEncoder

SIZE = {"num_cpus": 1, "object_store_memory": 100 << 20}
HEAD = {**SIZE, "include_dashboard": False}


def patiently(start: Callable[[], Any]) -> Any:
    """Start something of Ray's again if it took more than the half minute that Ray gives it."""
    for _ in range(5):
        try:
            return start()
        except Exception as error:
            failed = error
    raise failed


@dataclass
class Nodes:
    """The cluster, and how to harm it."""

    address: str
    cluster: Any  # Ray's, of ray.cluster_utils

    @property
    def settings(self) -> Cluster:
        return Cluster(self.address)

    def add(self) -> Any:
        return patiently(lambda: self.cluster.add_node(**SIZE))

    def kill(self, node: Any) -> None:
        """Kill a node and all that runs on it, without a goodbye."""
        self.cluster.remove_node(node, allow_graceful=False)

    def workers(self) -> list[int]:
        """The processes of our actors."""
        return [pid for pid in descendants(os.getpid()) if is_worker(pid)]

    def wait_until_idle(self) -> None:
        """Wait until all actors that were killed are gone."""
        while self.workers():
            time.sleep(0.1)


def descendants(pid: int) -> Iterator[int]:
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, tasks.read_text().split()):
                yield child
                yield from descendants(child)


def is_worker(pid: int) -> bool:
    with suppress(OSError):
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
        return title.startswith((b"ray::Decoder", b"ray::RemoteEncoder", b"ray::RowWriter"))
    return False


def kill_worker(nodes: Nodes, choose: Callable[[list[int]], int]) -> None:
    if workers := nodes.workers():
        with suppress(ProcessLookupError):
            os.kill(choose(sorted(workers)), signal.SIGKILL)


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    ray = ray_module()
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster as Simulated

        cluster = patiently(lambda: Simulated(initialize_head=True, head_node_args=HEAD))
        nodes = Nodes(cluster.address, cluster)
        nodes.add()
        session = RaySession(cluster.address)
        cluster.wait_for_nodes()
    yield nodes
    session.close()
    cluster.shutdown()
    assert not ray.is_initialized()


def small_loader() -> SmallEncoder:
    return SmallEncoder()


class PoisonedEncoder(SmallEncoder):
    """Ends its process when it is given a black picture."""

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not pixels.reshape(len(pixels), -1).any(axis=1).all():
            os._exit(1)
        return super().encode(pixels)
