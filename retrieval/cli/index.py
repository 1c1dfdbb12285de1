"""The commands that bring a library up to date: index and watch."""

import os
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retrieval.cli.base import (
    INTERRUPTED,
    CommonOptions,
    PathType,
    WholeNumber,
    common,
    on_device,
    progress_bar,
)
from retrieval.cli.completion import model_names
from retrieval.cli.options import given_in, remembered
from retrieval.decoding.limits import MAX_MOMENTS, MAX_PIXELS
from retrieval.errors import PathNotFound
from retrieval.interrupted import Interrupted

if TYPE_CHECKING:
    from retrieval.library import Library
    from retrieval.records import Summary

index_option = partial(remembered, "index")


@click.command(short_help="Add pictures to the library, or update it.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=PathType())
@click.option(
    "--here", is_flag=True, help="Keep the library in PATH/.retrieve, so that it moves with PATH."
)
@index_option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help='Skip matching names, now and in later runs; "none" clears the list. Repeatable.',
)
@index_option("--again", is_flag=True, help="Read all files again, even if they look unchanged.")
@index_option(
    "--model",
    metavar="NAME",
    shell_complete=model_names,
    help="Encode with this model (see `retrieve models`).",
)
@index_option(
    "--also", is_flag=True, help="Use --model beside the library's model, now and in later runs."
)
@on_device
@index_option(
    "--devices", metavar="A,B", help="Encode on several devices at once, e.g. cuda:0,cuda:1."
)
@index_option(
    "--batch-size", type=WholeNumber(min=1), metavar="N", help="Encode N pictures at a time."
)
@index_option("--workers", type=WholeNumber(min=0), metavar="N", help="Decode in N processes.")
@index_option(
    "--max-pixels",
    type=WholeNumber(min=1),
    default=MAX_PIXELS,
    metavar="N",
    help="Skip larger pictures (default: 200000000). A worker uses up to 0.8 GB + 16 bytes/pixel.",
)
@index_option(
    "--max-moments",
    type=WholeNumber(min=1),
    default=MAX_MOMENTS,
    metavar="N",
    help="Keep at most N moments of a video, an animation or a document with pages (default: 60).",
)
@index_option(
    "--no-videos",
    "videos",
    flag_value=False,
    default=True,
    help="Leave out new videos in this run; known ones stay.",
)
@index_option(
    "--no-pairs",
    "pairs",
    flag_value=False,
    default=True,
    help="Index the film of a Live Photo as a video of its own.",
)
@index_option(
    "--vectors",
    metavar="STORE",
    help="Keep the vectors in milvus://HOST:PORT/NAME, or in FILE.db (Milvus Lite), from now on; "
    '"local" goes back to a file in the library.',
)
@index_option(
    "--storage-option",
    "storage_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Reach s3:// and other addresses so, e.g. endpoint_url=http://… Repeatable.",
)
@index_option("--url-column", metavar="NAME", help="In lists: the column of addresses (url).")
@index_option("--caption-column", metavar="NAME", help="In lists: the column of descriptions.")
@index_option(
    "--per-host",
    type=WholeNumber(min=1),
    metavar="N",
    help="Send each host at most N requests at a time (default: 4; for lists, 2).",
)
@index_option(
    "--allow-private/--no-private",
    default=None,
    help="Read http:// and https:// from private addresses too.",
)
@index_option(
    "--ray",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Decode and encode on a Ray cluster: HOST:PORT or auto; without ADDRESS, start one here.",
)
@index_option(
    "--ray-gpus",
    type=float,
    default=1.0,
    metavar="N",
    help="GPUs for each encoder of a Ray cluster (default: 1; 0.5: two encoders share one).",
)
@common
@click.pass_context
def index(
    context: click.Context,
    paths: tuple[str, ...],
    here: bool,
) -> None:
    """Add folders and files of pictures to the library, or bring it up to date.

    Without PATH, everything in the library is scanned again. Only new and changed files are read;
    Ctrl-C keeps the work done so far. A new library uses --model, else $RETRIEVE_MODEL, else
    datacomp-b32-256, or the small bundled model if that cannot be downloaded. With the name of
    another model, --model encodes the library with it; searches use the old one until that is done.

    Each folder remembers its --exclude patterns; `retrieve status` shows them.

    \b
    retrieve index ~/Pictures /mnt/photos --exclude "*.png"
    retrieve index ./holiday --here      keep the library inside its folder
    retrieve index --model ViT-L/14      encode the library again with another model
    retrieve index --model ViT-L/14 --also   keep both: see --using of `retrieve search`
    retrieve index --devices cuda:0,cuda:1   encode on two GPUs (see `retrieve devices`)
    retrieve index ~/Pictures --ray head:6379   encode on a Ray cluster
    """
    from retrieval.decoding import malloc
    from retrieval.indexing.options import IndexOptions
    from retrieval.output import report
    from retrieval.output.text import write

    settings = context.ensure_object(CommonOptions)
    given = given_in(context, "index")
    options = IndexOptions(device=settings.device, precision=settings.precision, **given)
    malloc.keep_for_a_run()
    library = _beside(context, paths) if here else settings.open()
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


def _beside(context: click.Context, paths: tuple[str, ...]) -> "Library":
    from retrieval.library import Library
    from retrieval.locate import beside
    from retrieval.paths import given

    if len(paths) != 1:
        raise click.UsageError("--here takes exactly one folder")
    if context.ensure_object(CommonOptions).library:
        raise click.UsageError("--here and --library name two libraries; use only one of them")
    if not (folder := given(paths[0])).is_dir():
        raise PathNotFound(f"no such folder: {folder}")
    return Library.open(beside(folder))


def _mention_others(library: "Library", paths: tuple[str, ...]) -> None:
    from retrieval.locate import beside

    for path in map(Path, paths):
        own = beside(path)
        if own.is_dir() and os.path.realpath(own) != os.path.realpath(library.folder):
            click.echo(f"note: {path} has its own library; use --here to update that one", err=True)


@click.command(short_help="Update the library whenever files change.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=PathType(path_type=Path))
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help='Skip matching names, now and in later runs; "none" clears the list. Repeatable.',
)
@click.option(
    "--no-videos",
    "videos",
    flag_value=False,
    default=True,
    help="Leave out new videos; known ones stay.",
)
@on_device
@common
@click.pass_obj
def watch(
    settings: CommonOptions, paths: tuple[Path, ...], exclude: tuple[str, ...], videos: bool
) -> None:
    """Run `retrieve index`, then index changes below each PATH as they happen, until Ctrl-C.
    Without PATH, all folders of the library are watched.

    Prints one line per update. Waits while another process writes to the library. A folder that
    disappears stays in the library, and is scanned again when it is back.
    """
    from retrieval.output.report import of_change
    from retrieval.output.text import printable
    from retrieval.watch import watch

    def say(said: str) -> None:
        click.echo(printable(said), err=True)

    def ran(summary: "Summary") -> None:
        if said := of_change(summary):
            click.echo(f"{datetime.now():%H:%M:%S}  {said}")

    with settings.open_for_long() as library:
        try:
            how = partial(watch, library, paths, exclude=exclude, videos=videos)
            how(bar=progress_bar, ran=ran, say=say)
        except Interrupted as interrupt:
            ran(interrupt.summary)
        except KeyboardInterrupt:
            pass
