"""Several questions to servers at once, which Ctrl-C ends at once as well.

The threads of an executor are waited for when Python ends, each up to the time limit of its fetch.
These are not.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def at_once(count: int, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return what a function returns for each item, called in up to `count` threads.

    Raises what it raises.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[int, R | Exception]] = queue.SimpleQueue()
    is_over = threading.Event()
    for place in range(len(items)):
        waiting.put(place)

    def work() -> None:
        while not is_over.is_set():
            try:
                place = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                answers.put((place, function(items[place])))
            except Exception as error:  # of any kind: the waiting thread must learn of it
                answers.put((place, error))

    for _ in range(min(count, len(items))):
        threading.Thread(target=work, name="asks", daemon=True).start()
    found: dict[int, R] = {}
    try:
        while len(found) < len(items):
            place, answer = answers.get()
            if isinstance(answer, Exception):
                raise answer
            found[place] = answer
    finally:
        is_over.set()
    return [found[place] for place in range(len(items))]
