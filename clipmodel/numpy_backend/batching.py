"""Dynamic batching: texts that arrive one by one, from many threads, are encoded together."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache
from queue import Empty, SimpleQueue

import numpy as np

from clipmodel.numpy_backend.weights import Floats
from clipmodel.pools import Renewed, Threads


class DynamicBatching(Renewed):
    """A queue of calls: those that arrive during a computation wait, and are computed together.

    No call waits for more to come: a single one is computed at once.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Floats]) -> None:
        """encode: B texts -> (B, D), each independent of the others."""
        self._encode = encode
        super().__init__()

    def renew(self) -> None:
        self._waiting = SimpleQueue[tuple[Sequence[str], Future[Floats]]]()

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Encode these texts. Raises what `encode` raises, even for texts of another call."""
        mine = Future[Floats]()
        self._waiting.put((texts, mine))
        try:
            _thread().submit(self._answer)
        except RuntimeError:  # no thread can be started, or Python is shutting down
            self._answer()
        return mine.result()

    def _answer(self) -> None:
        """Compute all waiting calls; there may be none, if an earlier turn included them."""
        taken = []
        try:
            while True:
                taken.append(self._waiting.get_nowait())
        except Empty:
            if not taken:
                return
        try:
            vectors = self._encode([text for texts, _ in taken for text in texts])
            ends = np.cumsum([len(texts) for texts, _ in taken])
            answers = np.split(vectors, ends[:-1])
        except Exception as error:
            for _, future in taken:
                future.set_exception(error)
        else:
            for (_, future), answer in zip(taken, answers, strict=True):
                future.set_result(answer)


@cache
def _thread() -> Threads:
    """Return the one thread of all towers: products use all cores, and no Ctrl-C reaches it."""
    return Threads(1, "texts")
