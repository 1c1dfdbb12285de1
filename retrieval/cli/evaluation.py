"""`retrieve eval`: which model finds more of someone's own pictures.

Nothing heavy is imported before the command runs.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retrieval.cli.base import (
    CommonOptions,
    PathType,
    WholeNumber,
    common,
    on_device,
    progress_bar,
)
from retrieval.cli.completion import model_names
from retrieval.errors import InvalidValue, because

if TYPE_CHECKING:
    from retrieval.evaluation.judging import Candidate
    from retrieval.library import Library
    from retrieval.records import Match
    from retrieval.search.options import Rank, SearchOptions

JUDGED_QUERIES = 10


@click.command("eval", short_help="Compare models on your own pictures.")
@click.argument("captions", required=False, metavar="[CAPTIONS]", type=PathType(path_type=Path))
@click.option(
    "--models",
    metavar="A,B",
    shell_complete=model_names,
    help="Compare these models (default: all that the library holds).",
)
@click.option(
    "--sample",
    type=WholeNumber(min=1),
    default=1_000,
    metavar="N",
    help="Encode at most N pictures with models that the library does not hold (default: 1000).",
)
@click.option(
    "--rank",
    type=click.Choice(["relevance", "cosine"]),
    default="relevance",
    metavar="BY",
    help="Rank by relevance, as searches do, or by cosine, as published figures are "
    "(default: relevance).",
)
@click.option(
    "--split",
    default="test",
    metavar="NAME",
    help="Read this split of a file that has several (default: test).",
)
@click.option(
    "--plot", type=PathType(path_type=Path), metavar="FILE.png", help="Draw the recall into FILE."
)
@click.option(
    "--judge", is_flag=True, help="Without captions: judge the results of all models yourself."
)
@click.option(
    "--query",
    "queries",
    multiple=True,
    metavar="TEXT",
    help=f"Judge the results of this query (default: ask for {JUDGED_QUERIES}). Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@on_device
@common
@click.pass_obj
def evaluate(
    settings: CommonOptions,
    captions: Path | None,
    models: str | None,
    sample: int,
    rank: "Rank",
    split: str,
    plot: Path | None,
    judge: bool,
    queries: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compare models on your own pictures: by captions, or by your own judgement.

    CAPTIONS is a file with pictures and captions: .csv or .tsv with the columns path and caption,
    .jsonl, COCO's or Karpathy's .json, Flickr8k's .txt or .token, or webdataset shards, such as
    "shards/*.tar". The pictures must be in the library. Shows for each model the recall of searches
    by these captions (R@k: the share that finds its picture within the first k) with 95% intervals,
    the median rank, the mean average precision, how often “nothing here” is wrong (missed) and how
    often it is missing although the picture was taken away (claimed), and the model's speed and
    bytes.

    --judge needs no captions: it shows the results of all models in random order, asks whether they
    are right, and says which model found more and how sure that is.

    \b
    retrieve eval captions.csv
    retrieve eval captions.csv --models tiny,ViT-B/32 --plot recall.png
    retrieve eval --judge --query "a dog" --query "the sea"
    """
    names = [name.strip() for name in models.split(",") if name.strip()] if models else []
    if judge == (captions is not None):
        raise click.UsageError("give either a file of captions or --judge")
    if queries and not judge:
        raise click.UsageError("--query goes with --judge")
    if plot and (judge or plot.suffix.lower() != ".png"):
        raise click.UsageError("--plot takes a file that ends in .png, and captions")
    with settings.open_to_search() as library:
        if captions is None:
            text = _judged(library, names, queries, as_json)
        else:
            text = _compared(library, captions, names, sample, rank, split, plot, as_json)
    from retrieval.output.text import write

    write(text)


def _compared(
    library: "Library",
    captions: Path,
    names: Sequence[str],
    sample: int,
    rank: "Rank",
    split: str,
    plot: Path | None,
    as_json: bool,
) -> str | bytes:
    from retrieval.errors import LibraryReadOnly
    from retrieval.output import evaluations
    from retrieval.output.json_forms import json_object
    from retrieval.paths import with_home

    with progress_bar() as progress:
        found = library.evaluate(
            captions, models=names, sample=sample, rank=rank, split=split, progress=progress
        )
    if plot:
        try:
            evaluations.save_plot(found, with_home(plot))
        except OSError as error:
            raise because(LibraryReadOnly, f"cannot write {plot}", error) from error
        click.echo(f"wrote {plot}", err=True)
    if as_json:
        return json_object(evaluations.comparison_object(found)) + b"\n"
    return evaluations.table(found)


def _judged(
    library: "Library", names: Sequence[str], queries: Sequence[str], as_json: bool
) -> str | bytes:
    from retrieval.evaluation.judging import Judging, verdicts
    from retrieval.output import evaluations
    from retrieval.output.json_forms import json_object

    def search(query: str, how: "SearchOptions") -> "list[Match]":
        return library.search(query, options=how)

    judging = Judging(library.catalog, names, search)
    judged = list(_answers(judging.candidates(queries or _asked_for())))
    if not judged:
        raise InvalidValue("nothing was judged; answer y or n for some pictures")
    asked = len({candidate.query for candidate, _ in judged})
    found = verdicts(judged, judging.names)
    if as_json:
        return json_object(evaluations.verdicts_object(found, asked)) + b"\n"
    return evaluations.verdict_lines(found, asked)


def _asked_for() -> list[str]:
    """Ask for queries, an empty one ends the list."""
    click.echo(
        f"Write up to {JUDGED_QUERIES} searches that you would really do, one a line; "
        "an empty line starts.",
        err=True,
    )
    queries: list[str] = []
    while len(queries) < JUDGED_QUERIES:
        said = click.prompt(f"{len(queries) + 1}", default="", show_default=False, err=True).strip()
        if not said:
            break
        queries.append(said)
    if not queries:
        raise InvalidValue("no query was given; write at least one, or use --query")
    return queries


def _answers(candidates: Iterable["Candidate"]) -> Iterator[tuple["Candidate", bool]]:
    """Show each picture and ask whether it is right; q ends the questions."""
    for candidate in candidates:
        _show(candidate)
        said = click.prompt(
            f"“{candidate.query}”: is this right? (y, n, s to skip, q to stop)",
            type=click.Choice(["y", "n", "s", "q"]),
            show_choices=False,
            err=True,
        )
        if said == "q":
            return
        if said != "s":
            yield candidate, said == "y"


def _show(candidate: "Candidate") -> None:
    """Draw the picture in a terminal, and write its path."""
    from retrieval.output.captions import Section, Shown
    from retrieval.output.preview import Preview
    from retrieval.output.terminal import best_way, full_colour, is_terminal, screen
    from retrieval.output.text import printable

    path = candidate.match.path
    if is_terminal():
        shown = Section(candidate.query, [Shown(path, "")])
        for row in Preview(best_way(), screen(), full_colour(), True).of([shown]):
            click.echo(row, nl=False)
    click.echo(printable(os.fspath(path)), err=True)
