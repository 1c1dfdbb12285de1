"""A GPU at work: towers against what its products allow, and indexing against decoding alone.

Everything is done within ten minutes, and each row is told as soon as it is known, so that a run
that is cut off is not lost. Without a GPU, and with --quick, it runs on the CPU with a small model,
to check itself. Weights are random.

`of the peak` is the share of the processor's dense bf16 peak as its maker states it; `of the
products` that of the rate at which the products with weights alone run, one after another, in the
same shapes and precision. Bytes and operations are counted (see harness/traffic.py), not measured.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.gpu.files import whole_rows
from benchmarks.gpu.plan import peak, plan_of, row, told
from benchmarks.gpu.towers import tower_rows
from benchmarks.harness.report import Row

SECONDS_IN_ALL = 540.0


def run(folder: Path, quick: bool) -> Iterator[Row]:
    plan, began = plan_of(quick), time.monotonic()
    yield told(peak(plan))
    steps = [partial(tower_rows, plan, name, folder) for name in plan.models]
    steps.insert(1, partial(whole_rows, plan, folder))
    for step in steps:
        if time.monotonic() - began > SECONDS_IN_ALL:
            yield told(row("left out: the time is up"))
            return
        try:
            yield from map(told, step())
        except Exception as error:  # the others are worth as much: a GPU is lent for minutes
            if quick:
                raise
            yield told(row(f"failed: {type(error).__name__}: {error}"))
