"""Dynamic batching: texts of many threads, which come one by one, go through a tower together."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache
from queue import Empty, SimpleQueue

import numpy as np

from clipmodel.numpy_backend.weights import Floats
from clipmodel.pools import Renewed, Threads


class DynamicBatching(Renewed):
    """Whoever comes while others are answered waits, and all who wait are answered together.

    Nobody waits for somebody to come: who is alone is answered at once.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Floats]) -> None:
        """encode: B texts -> (B, D), each as if it were alone."""
        self._encode = encode
        super().__init__()

    def renew(self) -> None:
        self._waiting = SimpleQueue[tuple[Sequence[str], Future[Floats]]]()

    def __call__(self, texts: Sequence[str]) -> Floats:
        """What `encode` makes of these texts. Raises what it raises, be it for another's texts."""
        mine = Future[Floats]()
        self._waiting.put((texts, mine))
        try:
            _thread().submit(self._answer)
        except RuntimeError:  # no thread can be started, or Python is about to end
            self._answer()
        return mine.result()

    def _answer(self) -> None:
        """All who wait; nobody does if those who came before were answered together with them."""
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
    """Return the one thread for all towers, whose products take all cores; no Ctrl-C reaches it."""
    return Threads(1, "texts")
