"""Ctrl-C at each line of the code that takes encoded pictures to the catalog."""

import linecache
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple

import pytest

from retrieval.catalog.reading import Catalog
from retrieval.indexing import recorder, run
from retrieval.indexing.encoders import queue
from retrieval.indexing.recording import background_writer
from retrieval.interrupted import uninterrupted
from retrieval.records import Summary
from tests.retrieval.small import SmallEncoder, contents, paint_many, run_index, small_model

PICTURES, BATCH = 10, 4
WAY = {  # of a batch, by module
    run: {"_committed"},
    queue: {"_finished"},
    recorder: {"record", "_record", "_commit", "_send", "_settle", "_count", "flush"},
    background_writer: {"write", "wait", "_is_done", "written"},
}


class Line(NamedTuple):
    file: str
    number: int


class Pressing:
    """Presses Ctrl-C when this thread comes to a line for the nth time."""

    def __init__(self, module: ModuleType, at: Line | None = None, times: int = 0) -> None:
        self._file, self._names = module.__file__, WAY[module]
        self.seen: Counter[Line] = Counter()
        self._at = at
        self._times = times

    def __enter__(self) -> "Pressing":
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _called(self, frame: FrameType, _: str, __: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        is_one = code.co_filename == self._file and code.co_name in self._names
        entered = set[int]()

        def passed(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
            if event == "line" and not (frame.f_lineno in entered and is_with(frame)):
                entered.add(frame.f_lineno)
                self._come(Line(code.co_filename, frame.f_lineno))
            return passed

        return passed if is_one else None

    def _come(self, line: Line) -> None:
        self.seen[line] += 1
        if line == self._at and self.seen[line] == self._times:
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)


def is_with(frame: FrameType) -> bool:
    """Return whether a line begins a `with`: a frame comes to it again as it leaves the block, and
    hears no signal there before `__exit__` has been called.
    """
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with ")


def summary_of(catalog: Catalog, photos: Path, pressing: Pressing) -> Summary:
    steps = run.index(catalog, [photos], small_model(), SmallEncoder, workers=0, batch_size=BATCH)
    with closing(steps), pressing:
        try:
            *_, last = steps
        except KeyboardInterrupt as interrupt:  # between two steps
            last = steps.throw(interrupt)
    assert isinstance(last, Summary)
    return last


@pytest.mark.parametrize("module", WAY)
def test_ctrl_c_anywhere_loses_nothing_that_is_encoded(base: Path, module: ModuleType) -> None:
    photos = base / "photos"
    paint_many(photos, PICTURES)
    (photos / "bad.jpg").write_bytes(b"no picture")
    (photos / "copy.png").write_bytes((photos / "003.png").read_bytes())
    with closing(Catalog.open(base / "whole", create=True)) as catalog:
        run_index(catalog, [photos])
        whole = contents(catalog)
    seen = Pressing(module)
    with closing(Catalog.open(base / "seen", create=True)) as catalog:
        summary_of(catalog, photos, seen)
    assert seen.seen
    for line, times in seen.seen.items():
        with closing(Catalog.open(base / f"{line.number}", create=True)) as catalog:
            summary = summary_of(catalog, photos, Pressing(module, line, min(times, 2)))
            held = catalog.counts()
            assert summary.encoded == held.embedded, line
            assert summary.new + summary.copied == held.files - held.failures, line
            assert run_index(catalog, [photos]).encoded == PICTURES - held.embedded, line
            assert contents(catalog) == whole, line


def test_ctrl_c_waits_for_the_end_of_a_step_and_a_second_one_does_not() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append(1)
        done.append(2)
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done.append(3)
        signal.raise_signal(signal.SIGINT)
        done.append(4)
    assert done == [1, 2, 3]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
