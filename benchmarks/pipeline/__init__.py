"""What is around decoding and encoding: pictures per second, and the main process's CPU for each.

Decoders and encoders are processes, as with GPUs, but give the same answers to every file: scan,
shared memory, messages, bookkeeping and the catalog remain. Without decoders, their processes and
messages are left out as well, which two cores cannot run beside the rest. All is beyond the start:
the difference of two runs. The ratio is to a loop of plain Python, timed in the same run, so that
machines can be compared.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness.report import Row


def run(folder: Path, quick: bool) -> Iterator[Row]:
    from benchmarks.pipeline import composed  # a worker, which imports only `canned`, needs it not

    return composed.run(folder, quick)
