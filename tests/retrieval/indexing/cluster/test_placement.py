"""Which workers run on which nodes."""

import pytest

from retrieval.errors import InvalidValue
from retrieval.indexing.cluster.placement import Node, nodes_of, seats
from retrieval.indexing.options import IndexOptions


def of_kind(kind: str, *nodes: Node, device: str | None = None, gpus: float = 1.0) -> list[object]:
    return [
        (seat.node.id, seat.cpus, seat.gpus, seat.processes)
        for seat in seats(nodes, device, gpus, None)
        if seat.kind == kind
    ]


def test_a_node_without_gpus_encodes_on_half_of_its_cores() -> None:
    small, single = Node("a", "a", 2, 0), Node("b", "b", 1, 0)
    assert of_kind("encoder", small, single) == [("a", 1, 0, 1), ("b", 0.5, 0, 1)]
    assert of_kind("decoder", small, single) == [("a", 1, 0, 2), ("b", 0.5, 0, 1)]


def test_gpus_encode_and_the_cores_beside_them_decode() -> None:
    node, without = Node("a", "a", 20, 2), Node("b", "b", 8, 0)
    assert of_kind("encoder", node, without) == 2 * [("a", 0, 1, 1)]
    decoders = of_kind("decoder", node, without)
    assert decoders == [("a", 6, 0, 7), ("a", 6, 0, 7), ("a", 6, 0, 6), ("b", 8, 0, 8)]
    assert of_kind("encoder", node, gpus=0.5) == 4 * [("a", 0, 0.5, 1)]
    assert of_kind("encoder", node, device="cpu") == [("a", 10, 0, 1)]


@pytest.mark.parametrize("gpus", [0, 1])
def test_what_is_placed_fits_its_node(gpus: int) -> None:
    for cpus in range(1, 130):
        placed = seats([Node("a", "a", cpus, gpus)], None, 1.0, None)
        assert {seat.kind for seat in placed} == {"decoder", "encoder"}
        assert sum(seat.cpus for seat in placed) <= cpus
        assert sum(seat.processes for seat in placed if seat.kind == "decoder") == cpus
        assert all(seat.cpus < 1 or seat.cpus % 1 == 0 for seat in placed)  # Ray wants that


def test_only_nodes_that_are_alive_count() -> None:
    resources = {"CPU": 4.0, "memory": 1e9}
    listed = [
        {"NodeID": name, "NodeManagerAddress": name, "Alive": name == "a", "Resources": resources}
        for name in ("a", "b")
    ]
    assert nodes_of(listed) == [Node("a", "a", 4.0, 0.0)]


@pytest.mark.parametrize("address", ["./photos", "photos", "head", "ray://", "head:", "http://a:1"])
def test_an_address_that_is_a_path_is_refused(address: str) -> None:
    with pytest.raises(InvalidValue, match="paths go before --ray"):
        IndexOptions(ray=address)


@pytest.mark.parametrize(
    "address", ["local", "auto", "head:6379", "ray://10.0.0.1:10001", "[::1]:1"]
)
def test_addresses(address: str) -> None:
    cluster = IndexOptions(ray=address, ray_gpus=0.25).cluster
    assert cluster and (cluster.address, cluster.gpus) == (address, 0.25)
    assert IndexOptions().cluster is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "--workers 1"),
        ({"device": "cuda:1"}, "--device cuda"),
        ({"ray_gpus": 1.5}, "1.5"),
        ({"ray_gpus": 0.0}, "whole ones"),
        ({"ray_gpus": float("nan")}, "nan"),
    ],
)
def test_what_does_not_go_with_a_cluster(options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        IndexOptions(ray="local", **options)  # type: ignore[arg-type]
