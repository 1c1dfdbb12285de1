"""Placement: which workers run on which nodes of a cluster. Nothing here imports Ray.

A node with GPUs has an encoder for each, or for each share of one, and its cores decode. A cluster
without GPUs has an encoder on each node, which counts as half of its cores; both take all cores
when they have work, as in a local run.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

PROCESSES_PER_DECODER = 8  # that one Python process can feed


class Cluster(NamedTuple):
    """A Ray cluster, and what an encoder needs there."""

    address: str  # "local" to start one on this machine; else as `ray start` prints it, or "auto"
    device: str | None = None  # of each encoder; None: a GPU if the cluster has any
    gpus: float = 1.0  # that an encoder takes; 0.5: two encoders share a GPU


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is alive."""

    id: str  # Ray's
    name: str  # its address, for messages
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Seat:
    """A worker to start: its kind, its node, and the resources that it takes there."""

    kind: Literal["decoder", "encoder"]
    node: Node
    cpus: float
    gpus: float = 0.0
    processes: int = 1  # of a decoder


def nodes_of(listed: Iterable[Mapping[str, Any]]) -> list[Node]:
    """Return the nodes that are alive, of `ray.nodes()`."""
    return [
        Node(
            each["NodeID"],
            each["NodeManagerAddress"],
            each["Resources"].get("CPU", 0.0),
            each["Resources"].get("GPU", 0.0),
        )
        for each in listed
        if each["Alive"]
    ]


def seats(
    nodes: Sequence[Node], device: str | None, gpus: float, processes: int | None
) -> list[Seat]:
    """Return the workers for these nodes.

    device, gpus: as in `Cluster`. processes: that decode, on each node; None: one per core.
    """
    wants_gpus = device is None or not device.startswith("cpu")
    if wants_gpus and any(node.gpus >= gpus for node in nodes):
        return [seat for node in nodes for seat in _beside_gpus(node, gpus, processes)]
    return [seat for node in nodes if node.cpus for seat in _on_cpus(node, processes)]


def _beside_gpus(node: Node, gpus: float, processes: int | None) -> Iterator[Seat]:
    for _ in range(int(node.gpus / gpus + 1e-6)):
        yield Seat("encoder", node, 0.0, gpus)
    yield from _decoders(node, node.cpus, processes)


def _on_cpus(node: Node, processes: int | None) -> Iterator[Seat]:
    half = node.cpus // 2 or node.cpus / 2
    yield Seat("encoder", node, half)
    yield from _decoders(node, node.cpus - half, processes)


def _decoders(node: Node, cpus: float, processes: int | None) -> Iterator[Seat]:
    """Yield decoders that together take `cpus`, with a process for each core of the node."""
    count = int(node.cpus) or 1 if processes is None else processes
    groups = min(-(-count // PROCESSES_PER_DECODER), int(cpus) or 1)
    share = cpus if groups == 1 else cpus // groups
    for group in range(groups):
        if share:
            yield Seat("decoder", node, share, 0.0, count // groups + (group < count % groups))
