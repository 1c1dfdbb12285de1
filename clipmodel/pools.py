"""Threads that a forked child starts anew: the one place for pools, and for what counts them.

A fork copies an executor and none of its threads: what is handed to such a copy is never begun,
and a lock that another thread held is never released. Whatever keeps threads, locks or queues
inherits from `Renewed`, and a child begins with fresh ones (`multiprocessing` forks on Linux).
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Renewed(ABC):
    """An object whose `renew` is called when it is made, and again in every forked child."""

    def __init__(self) -> None:
        self.renew()
        _made.add(self)

    @abstractmethod
    def renew(self) -> None:
        """Begin with fresh threads, locks and queues."""


_made: "WeakSet[Renewed]" = WeakSet()


class Threads(Renewed):
    """A `ThreadPoolExecutor` that survives a fork."""

    def __init__(
        self,
        count: int,
        name: str,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        """name: of the threads, as debuggers show it."""
        self._settings = (count, name, initializer, initargs)
        super().__init__()

    def renew(self) -> None:
        self._executor = ThreadPoolExecutor(*self._settings)

    def submit(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
        """Raises RuntimeError where no thread can be started, or Python is about to end."""
        return self._executor.submit(function, *args, **kwargs)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        return self._executor.map(function, items)


class UnderWay(Renewed):
    """A count of calls that are under way."""

    def renew(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @contextmanager
    def one_more(self) -> Iterator[int]:
        """Count a call while it lasts; yields how many there are with it."""
        with self._lock:
            self._count += 1
            count = self._count
        try:
            yield count
        finally:
            with self._lock:
                self._count -= 1


class TryLock(Renewed):
    """A lock that nobody waits for."""

    def renew(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def tried(self) -> Iterator[bool]:
        """Yields whether it was free, and is held now."""
        lock = self._lock
        is_held = lock.acquire(blocking=False)
        try:
            yield is_held
        finally:
            if is_held:
                lock.release()


def _renew_all() -> None:
    for each in tuple(_made):
        each.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_renew_all)
