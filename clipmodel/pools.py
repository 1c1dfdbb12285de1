"""Pools of threads that survive a fork.

A fork copies an executor but none of its threads: work submitted to the copy never starts, and a
lock that another thread held is never released. Classes with threads, locks or queues inherit from
`Renewed`, so that a forked child, such as one of `multiprocessing` on Linux, begins with new ones.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Renewed(ABC):
    """An object whose `renew` runs when it is made, and again in every forked child."""

    def __init__(self) -> None:
        self.renew()
        _made.add(self)

    @abstractmethod
    def renew(self) -> None:
        """Begin with new threads, locks and queues."""


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
        """name: of the threads, for debuggers."""
        self._settings = (count, name, initializer, initargs)
        super().__init__()

    def renew(self) -> None:
        self._executor = ThreadPoolExecutor(*self._settings)

    def submit(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
        """Start a call. Raises RuntimeError if no thread starts or Python is shutting down."""
        return self._executor.submit(function, *args, **kwargs)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        return self._executor.map(function, items)

    def shutdown(self, *, wait: bool = True) -> None:
        """Cancel the calls that did not start; wait for the others."""
        self._executor.shutdown(wait=wait, cancel_futures=True)


class Lock(Renewed):
    """A reentrant lock that is free in a forked child, whichever thread held it in the parent."""

    def renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # the process was forked in between
            self._lock.release()


class UnderWay(Renewed):
    """A counter of the calls that are under way."""

    def renew(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @contextmanager
    def one_more(self) -> Iterator[int]:
        """Count a call while it lasts. Yields the number of calls, this one included."""
        with self._lock:
            self._count += 1
            count = self._count
        try:
            yield count
        finally:
            with self._lock:
                self._count -= 1


class TryLock(Renewed):
    """A lock that is taken or left, never waited for."""

    def renew(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def tried(self) -> Iterator[bool]:
        """Take the lock if it is free. Yields whether it is held."""
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
