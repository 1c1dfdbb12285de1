"""The commands that bring a library up to date: index and watch."""

import os
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retrieval.cli.base import INTERRUPTED, CommonOptions, PathType, common, progress_bar
from retrieval.cli.completion import model_names
from retrieval.cli.options import given_in, remembered
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.errors import PathNotFound
from retrieval.interrupted import Interrupted

if TYPE_CHECKING:
    from retrieval.library import Library
    from retrieval.records import Summary

index_option = partial(remembered, "index")


@click.command(short_help="Bring folders and files of pictures into the library.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=PathType(path_type=Path))
@click.option("--here", is_flag=True, help="Keep the library in PATH/.retrieve, to move with it.")
@index_option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help='Leave out such names, now and in later runs; "none" clears. Repeatable.',
)
@index_option("--again", is_flag=True, help="Read files anew even if they look unchanged.")
@index_option(
    "--model",
    metavar="NAME",
    shell_complete=model_names,
    help="Encode with this model (see `retrieve models`).",
)
@index_option("--device", metavar="NAME", help='Where to encode: "cpu", "cuda", "cuda:1", "mps".')
@index_option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    metavar="P",
    help="Of the encoder: auto, fp32, bf16 or fp16.",
)
@index_option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Pictures at a time.")
@index_option("--workers", type=click.IntRange(min=0), metavar="N", help="Processes that decode.")
@index_option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=MAX_PIXELS,
    metavar="N",
    help="Leave out larger pictures (200000000). A worker takes 0.8 GB + 16 bytes a pixel at most.",
)
@common
@click.pass_context
def index(
    context: click.Context,
    paths: tuple[Path, ...],
    here: bool,
) -> None:
    """Bring folders and files of pictures into the library, or up to date.

    Without PATH: all that the library knows, again. Only what is new or changed is looked into;
    Ctrl-C keeps what was done. A new library gets --model, else $RETRIEVE_MODEL, else ViT-B/32, or
    the small model of this package where that cannot be fetched. --model with the name of another
    model encodes a library again; searches use the old one until it is done.

    Each folder remembers what is excluded from it; `retrieve status` shows it.

    \b
    retrieve index ~/Pictures /mnt/photos --exclude "*.png"
    retrieve index ./holiday --here      a library that moves with its folder
    retrieve index --model ViT-L/14      encode what the library knows with another model
    """
    from retrieval.decoding import malloc
    from retrieval.indexing.options import IndexOptions
    from retrieval.output import report
    from retrieval.output.text import write

    options = IndexOptions(**given_in(context, "index"))
    malloc.keep(malloc.OF_A_RUN)
    library = _beside(context, paths) if here else context.ensure_object(CommonOptions).open()
    with library:
        if not here:
            _mention_others(library, paths)
        try:
            with progress_bar() as progress:
                summary = library.index(paths, options=options, progress=progress)
        except Interrupted as interrupt:
            write(report.of_run(interrupt.summary), must_arrive=False)
            context.exit(INTERRUPTED)
        write(report.of_run(summary), must_arrive=False)


def _beside(context: click.Context, paths: tuple[Path, ...]) -> "Library":
    from retrieval.library import Library
    from retrieval.locate import beside
    from retrieval.paths import given

    if len(paths) != 1:
        raise click.UsageError("--here goes with one folder")
    if context.ensure_object(CommonOptions).library:
        raise click.UsageError("--here and --library name two libraries; give one of them")
    if not (folder := given(paths[0])).is_dir():
        raise PathNotFound(f"no such folder: {folder}")
    return Library.open(beside(folder))


def _mention_others(library: "Library", paths: tuple[Path, ...]) -> None:
    from retrieval.locate import beside

    for path in paths:
        own = beside(path)
        if own.is_dir() and os.path.realpath(own) != os.path.realpath(library.folder):
            click.echo(
                f"note: {path} has a library of its own; --here brings that up to date", err=True
            )


@click.command(short_help="Keep the library up to date while folders change.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=PathType(path_type=Path))
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help='Leave out such names, now and in later runs; "none" clears. Repeatable.',
)
@common
@click.pass_obj
def watch(settings: CommonOptions, paths: tuple[Path, ...], exclude: tuple[str, ...]) -> None:
    """Bring the library up to date as `retrieve index` does, then whatever changes below each PATH
    (without any: all that the library knows) as soon as it does, until Ctrl-C.

    Prints a line for each time that there was something to do. A library that another process
    writes to is waited for; a folder that disappears is kept, and looked through when it is back.
    """
    from retrieval.output.report import of_change
    from retrieval.output.text import printable
    from retrieval.watch import watch

    def say(said: str) -> None:
        click.echo(printable(said), err=True)

    def ran(summary: "Summary") -> None:
        if said := of_change(summary):
            click.echo(f"{datetime.now():%H:%M:%S}  {said}")

    with settings.open() as library:
        try:
            watch(library, paths, exclude=exclude, bar=progress_bar, ran=ran, say=say)
        except Interrupted as interrupt:
            ran(interrupt.summary)
        except KeyboardInterrupt:
            pass
