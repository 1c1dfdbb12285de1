"""Texts of many threads go together, and everybody gets his own answer."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from clipmodel.numpy_backend.batching import DynamicBatching
from clipmodel.numpy_backend.weights import Floats

WAIT = 30.0  # seconds, for what takes none


class Lengths:
    """Encodes a text as its length, once it may."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.called, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, texts: Sequence[str]) -> Floats:
        self.calls.append(list(texts))
        self.called.set()
        assert self.may_go_on.wait(WAIT)
        if "wrong" in texts:
            raise ValueError("a wrong text")
        return np.array([[len(text)] for text in texts], np.float32)


@contextmanager
def asked(batching: DynamicBatching, *calls: list[str]) -> Iterator[list[Future[Floats]]]:
    """The first call is being answered, and the others wait, when it goes on."""
    encode = batching._encode
    assert isinstance(encode, Lengths)
    with ThreadPoolExecutor(len(calls)) as threads:
        answers = [threads.submit(batching, calls[0])]
        assert encode.called.wait(WAIT)
        answers += [threads.submit(batching, texts) for texts in calls[1:]]
        while batching._waiting.qsize() < len(calls) - 1:
            threading.Event().wait(0.001)
        encode.may_go_on.set()
        yield answers


def test_who_waits_is_answered_together_with_others() -> None:
    encode = Lengths()
    with asked(DynamicBatching(encode), ["a"], ["bb", "ccc"], ["dddd"], []) as answers:
        found = [answer.result(WAIT).tolist() for answer in answers]
    assert found == [[[1]], [[2], [3]], [[4]], []]
    first, together = encode.calls
    assert first == ["a"] and sorted(together) == ["bb", "ccc", "dddd"]


def test_an_error_reaches_all_who_went_together_and_nobody_after_them() -> None:
    batching = DynamicBatching(Lengths())
    with asked(batching, ["a"], ["wrong"], ["bb"]) as [first, *others]:
        assert first.result(WAIT).tolist() == [[1]]
        for answer in others:
            with pytest.raises(ValueError, match="a wrong text"):
                answer.result(WAIT)
    assert batching(["ccc"]).tolist() == [[3]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_process_that_is_forked_meanwhile_encodes_as_well() -> None:
    program = """
        import os, sys, threading, numpy
        from clipmodel.numpy_backend.batching import DynamicBatching
        begun, may_go_on = threading.Event(), threading.Event()
        def encode(texts):
            if texts == ["slow"]:
                begun.set()
                may_go_on.wait()
            return numpy.array([[len(text)] for text in texts], numpy.float32)
        batching = DynamicBatching(encode)
        slow = threading.Thread(target=batching, args=(["slow"],))
        slow.start()
        begun.wait()
        if os.fork() == 0:
            assert batching(["two"]).tolist() == [[3]]
            os._exit(0)
        _, status = os.wait()
        may_go_on.set()
        slow.join()
        sys.exit(status)
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    subprocess.run(run, check=True, timeout=WAIT, cwd=Path(__file__).parents[3])
