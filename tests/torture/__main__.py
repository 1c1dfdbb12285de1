"""`python -m tests.torture SECTION...`: run these, or all; print a table, end with 1 if it lost."""

import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import click

from tests import interrupts
from tests.torture.tally import Tally, table

SECTIONS = ("kills", "disk", "damage", "pictures", "readers", "soak")
SECTIONS += ("times", "links", "descriptors", "headers", "mounts", "processes")


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(SECTIONS))
@click.option("--seed", default=0, show_default=True, help="Seed of the random faults.")
@click.option("--quick", is_flag=True, help="Try a few of each, as a quick check.")
def main(sections: tuple[str, ...], seed: int, quick: bool) -> None:
    """Try to break it, and count."""
    interrupts.hear()
    rows: list[tuple[str, Tally, float]] = []
    for name in sections or SECTIONS:
        section = import_module(f"tests.torture.{name}")
        with tempfile.TemporaryDirectory(prefix="retrieve-torture-") as folder:
            began = time.monotonic()
            for tally in section.run(Path(folder), seed, quick):
                rows.append((name, tally, time.monotonic() - began))
                click.echo(f"{name}: {tally.fault}: {tally.tried:,} tried", err=True)
                began = time.monotonic()
    click.echo(table(rows))
    lost = [line for _, tally, _ in rows for line in tally.lost]
    for line in lost:
        click.echo(f"LOST  {line}")
    click.echo(f"\n{sum(tally.tried for _, tally, _ in rows):,} faults tried, lost: {len(lost)}")
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
