"""Beyond one machine: encoding on Ray, and commits to PostgreSQL.

`of linear` is the rate divided by as many times the rate of one worker; for `--ray` on this
machine, by the rate of a plain run. `own ms` is the CPU of the machine that runs the command, per
picture: its limit, however many nodes there are. `engines/` says more about each part.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engines import commits, ray_workers
from benchmarks.harness.report import Row


def run(folder: Path, quick: bool) -> Iterator[Row]:
    rows = list[Row]()
    for part in (ray_workers.scaling, ray_workers.ratio, commits.run):
        inside = folder / f"{len(rows)}"
        inside.mkdir()
        rows += part(inside, quick)
    columns = dict.fromkeys(column for row in rows for column in row)
    for row in rows:
        yield {column: row.get(column) for column in columns}
