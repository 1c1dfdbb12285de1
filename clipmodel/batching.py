"""Dynamic batching: texts of many threads, which come one by one, go through a tower together."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from clipmodel.numpy_weights import Floats


class DynamicBatching:
    """Whoever comes while others are answered waits, and all who wait are answered together.

    Nobody waits for somebody to come: who is alone is answered at once.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Floats]) -> None:
        """encode: B texts -> (B, D), each as if it were alone."""
        self._encode = encode
        self._turn = threading.Lock()
        self._queueing = threading.Lock()
        self._waiting: list[tuple[Sequence[str], Future[Floats]]] = []

    def __call__(self, texts: Sequence[str]) -> Floats:
        """What `encode` makes of these texts. Raises what it raises, be it for another's texts."""
        mine = Future[Floats]()
        with self._queueing:
            self._waiting.append((texts, mine))
        with self._turn:
            if not mine.done():  # else whoever had the turn before took them along
                self._answer()
        return mine.result()

    def _answer(self) -> None:
        with self._queueing:
            taken, self._waiting = self._waiting, []
        try:
            vectors = self._encode([text for texts, _ in taken for text in texts])
            ends = np.cumsum([len(texts) for texts, _ in taken])
            answers = np.split(vectors, ends[:-1])
        except BaseException as error:  # nobody may wait for ever
            for _, future in taken:
                future.set_exception(error)
        else:
            for (_, future), answer in zip(taken, answers, strict=True):
                future.set_result(answer)
