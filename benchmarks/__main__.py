"""`python -m benchmarks NAME...`: run these benchmarks, or all; print tables, save JSON."""

import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import click

from benchmarks.harness import peers, report

NAMES = (
    *("encode", "decode", "indexes", "search", "serve", "rescan", "news", "index", "memory"),
    "pipeline",
    *("relevance", "duplicates", "models.evaluation"),
)
LONG = ("soak",)  # only when it is named
GPU = ("gpu",)  # likewise: without a GPU it only checks itself, with --quick
LARGE = ("indexes", "search")  # also with ten million pictures
ENGINES = ("cluster", "commits", "milvus")  # those of the extra `cluster`, only when they are named

MODULES = {name: f"benchmarks.engines.{name}" for name in ("commits", "milvus")}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES + LONG + GPU + ENGINES))
@click.option("--quick", is_flag=True, help="Use small inputs, as a quick check.")
@click.option(
    "--ten-million",
    is_flag=True,
    help="Run `indexes` or `search` with ten million pictures: an hour, and 40 GB of disk space.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Run `soak` for this many minutes (default: 60).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/benchmarks"),
    show_default=True,
    help="Write NAME.json into this folder.",
)
def main(
    names: tuple[str, ...], quick: bool, ten_million: bool, minutes: float | None, out: Path
) -> None:
    """Run each benchmark NAME, or all, on generated inputs, and print a table each."""
    if minutes and not set(LONG) & set(names):
        raise click.UsageError("--minutes works only with soak")
    if ten_million and (not names or set(names) - set(LARGE)):
        raise click.UsageError("--ten-million works only with indexes and search")
    if len(names) == 1:
        options: dict[str, float] = {"minutes": minutes} if minutes else {}
        options |= {"ten_million": True} if ten_million else {}
        return measure(names[0], quick, options, out)
    for name in names or NAMES:  # each in a process of its own, as they change what it does
        flags = ["--quick"] if quick else []
        flags += ["--ten-million"] if ten_million else []
        flags += ["--minutes", str(minutes)] if minutes and name in LONG else []
        command = [sys.executable, "-m", "benchmarks", name, "--out", str(out), *flags]
        subprocess.run(command, check=True)


def measure(name: str, quick: bool, options: dict[str, float], out: Path) -> None:
    benchmark = import_module(MODULES.get(name, f"benchmarks.{name}"))
    click.echo(f"\n{name}: {(benchmark.__doc__ or name).splitlines()[0]}\n")
    with tempfile.TemporaryDirectory(prefix="retrieve-benchmark-") as folder:
        os.environ["RETRIEVE_MODELS"] = f"{folder}/models"  # not among the user's own
        rows = list(benchmark.run(Path(folder), quick, **options))
    click.echo(report.table(rows))
    if peers.absent:
        click.echo(f"\nNot installed, so skipped: {', '.join(peers.absent)} (benchmarks/README.md)")
    report.save(out / f"{name}.json", name, rows)


if __name__ == "__main__":
    main()
