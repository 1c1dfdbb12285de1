"""The crew: starts the workers of a cluster, and replaces those that die.

A worker gets work once it has answered, so one that waits for a node, or for a model to load, keeps
nothing waiting.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from retrieval.errors import ClusterUnavailable
from retrieval.indexing.cluster.placement import Seat

MAX_STARTS = 5  # of workers for one seat in a row, before any of them answers
MAX_SECONDS_ALONE = 300.0  # without a worker, until the run gives up
FULL_LOAD = 2  # chunks that a worker has at most: one in work, and one to go on with
CALLS_AT_ONCE = {"decoder": 2, "encoder": 2}  # the end of one chunk and the begin of the next


@dataclass(eq=False, slots=True)
class Hand:
    """A worker, from outside."""

    seat: Seat
    actor: Any
    started: Any  # Ray's reference to the answer of `start`
    starts: int = 1  # of workers for this seat since the last one that answered
    load: int = 0  # chunks that were given to it

    @property
    def is_busy(self) -> bool:
        return self.load >= FULL_LOAD


@dataclass(slots=True)
class Recipe:
    """How to make the workers of a kind."""

    kind: type
    arguments: dict[str, Any] = field(default_factory=dict)


class Crew:
    """The workers of a run."""

    def __init__(self, ray: Any, seats: Sequence[Seat], recipes: Mapping[str, Recipe]) -> None:
        self._ray = ray
        self._recipes = recipes
        self._starting: dict[Any, Hand] = {}  # by the reference that will tell
        self._ready: list[Hand] = []
        self._seen_alive = time.monotonic()
        for seat in seats:
            self._start(seat)

    @property
    def starting(self) -> list[Any]:
        """The references that are ready once a worker is."""
        return list(self._starting)

    def of(self, kind: str) -> list[Hand]:
        """Return the workers of this kind that answer, those with the least to do first."""
        return sorted(
            (hand for hand in self._ready if hand.seat.kind == kind), key=lambda hand: hand.load
        )

    def answered(self, reference: Any) -> None:
        """Take in a worker that has started, or has failed to. Raises what its start raised."""
        hand = self._starting[reference]
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise_cause(error)  # it still runs, so `dismiss` must find it
        except self._ray.exceptions.RayError as error:
            del self._starting[reference]
            if hand.starts >= MAX_STARTS:
                raise ClusterUnavailable(
                    f"{hand.seat.kind}s cannot start on the node {hand.seat.node.name}: it may lack"
                    f" memory, or this version of retrieve ({type(error).__name__})"
                ) from error
            self._start(hand.seat, hand.starts + 1)
            return
        del self._starting[reference]
        hand.starts = 0
        self._ready.append(hand)

    def lost(self, hand: Hand) -> None:
        """Replace a worker that died."""
        if hand in self._ready:
            self._ready.remove(hand)
            self._ray.kill(hand.actor)
            self._start(hand.seat)

    def check(self) -> None:
        """Raise ClusterUnavailable if decoders or encoders have been missing for minutes."""
        now = time.monotonic()
        if {hand.seat.kind for hand in self._ready} == {*self._recipes}:
            self._seen_alive = now
        elif now - self._seen_alive > MAX_SECONDS_ALONE:
            raise ClusterUnavailable(
                "no worker has answered for minutes: the cluster's nodes are busy or down; the "
                "next run goes on from here"
            )

    def dismiss(self) -> None:
        """End all workers."""
        for hand in (*self._ready, *self._starting.values()):
            self._ray.kill(hand.actor)
        self._ready, self._starting = [], {}

    def _start(self, seat: Seat, starts: int = 1) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        recipe = self._recipes[seat.kind]
        arguments = dict(recipe.arguments)
        if seat.kind == "decoder":
            arguments["processes"] = seat.processes
        elif not seat.gpus:
            arguments["threads"] = int(seat.node.cpus) or 1
        actor = (
            self._ray.remote(recipe.kind)
            .options(
                num_cpus=seat.cpus,
                num_gpus=seat.gpus,
                max_restarts=0,  # replaced here: a restarting actor would keep its calls waiting
                max_concurrency=CALLS_AT_ONCE[seat.kind],
                # Soft: if the node is gone, any other with these resources will do.
                scheduling_strategy=NodeAffinitySchedulingStrategy(seat.node.id, soft=True),
            )
            .remote(**arguments)
        )
        started = actor.start.remote()
        self._starting[started] = Hand(seat, actor, started, starts)


def raise_cause(error: Any) -> NoReturn:
    """Raise the error that our own code raised on a node."""
    raise error.cause from None
