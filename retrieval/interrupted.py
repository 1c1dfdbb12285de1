"""Ctrl-C during an index run: its exception, and steps that it does not cut in two.

In a module of their own so that `--help` imports little.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.records import Summary


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during an index run; everything encoded so far is kept.

    Not a RetrieveError: an `except RetrieveError` around one folder of many must not continue with
    the next.
    """

    def __init__(self, summary: "Summary") -> None:
        super().__init__("interrupted; finished work is kept")
        self.summary = summary


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block; a second one does not wait.

    Only the main thread hears signals, so that in others nothing has to be done.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    heard: list[FrameType | None] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(frame)
        if len(heard) > 1:
            before(number, frame)

    signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if len(heard) == 1:
        before(signal.SIGINT, heard[0])
