"""The command line: arguments in, answers out, and every error as one line. Thin: see `library.py`.

Nothing heavy is imported before the command that needs it runs.
"""

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retrieval.bounds import MAX_PIXELS
from retrieval.cli_collection import duplicates, export, tag
from retrieval.cli_pictures import SheetFile
from retrieval.cli_search import search, similar
from retrieval.cli_server import serve, watch
from retrieval.completion import NAME, completion, model_names
from retrieval.errors import Interrupted, PathNotFound
from retrieval.program import (
    INTERRUPTED,
    PathType,
    Program,
    Settings,
    common,
    open_streams,
    progress_bar,
)

if TYPE_CHECKING:
    from retrieval.library import Library, Precision

CREATED = 50_000  # objects, more than were let go of, until Python looks for garbage


def print_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        import retrieval

        click.echo(f"retrieve {retrieval.__version__}")
        context.exit()


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@common
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Print the version.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Find your pictures by words and by example, on your own machine.

    \b
    retrieve index ~/Pictures            look at every picture once
    retrieve search "a red car"          find some by words
    retrieve search beach.jpg            or by one that is like them
    """
    context.ensure_object(Settings)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command(short_help="Bring folders and files of pictures into the library.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=PathType(path_type=Path))
@click.option("--here", is_flag=True, help="Keep the library in PATH/.retrieve, to move with it.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help='Leave out such names, now and in later runs; "none" clears. Repeatable.',
)
@click.option("--again", is_flag=True, help="Read files anew even if they look unchanged.")
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=model_names,
    help="Encode with this model (see `retrieve models`).",
)
@click.option("--device", metavar="NAME", help='Where to encode: "cpu", "cuda", "cuda:1", "mps".')
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    metavar="P",
    help="Of the encoder: auto, fp32, bf16 or fp16.",
)
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Pictures at a time.")
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Processes that decode.")
@click.option(
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
    exclude: tuple[str, ...],
    again: bool,
    model: str | None,
    device: str | None,
    precision: "Precision",
    batch_size: int | None,
    workers: int | None,
    max_pixels: int,
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
    from retrieval import malloc, report
    from retrieval.output import write

    malloc.keep(malloc.OF_A_RUN)
    library = _beside(context, paths) if here else context.ensure_object(Settings).open()
    with library:
        if not here:
            _mention_others(library, paths)
        try:
            with progress_bar() as progress:
                summary = library.index(
                    paths,
                    model=model,
                    exclude=exclude,
                    again=again,
                    workers=workers,
                    batch_size=batch_size,
                    max_pixels=max_pixels,
                    device=device,
                    precision=precision,
                    progress=progress,
                )
        except Interrupted as interrupt:
            write(report.of_run(interrupt.summary))
            context.exit(INTERRUPTED)
        write(report.of_run(summary))


for command in (watch, search, similar, serve, duplicates, tag, export):
    cli.add_command(command)


@cli.command(short_help="Show what the library holds.")
@click.option("--failures", is_flag=True, help="List the files that could not be read, and why.")
@click.option("--json", "as_json", is_flag=True, help="One object; with --failures an array.")
@common
@click.pass_obj
def status(settings: Settings, failures: bool, as_json: bool) -> None:
    """Show what the library holds: model, pictures, failures, index, bytes and folders."""
    from retrieval import output, report

    with settings.open() as library:
        if failures and as_json:
            held = [report.failure_object(failed) for failed in library.failures()]
            output.write(output.json_array(held))
        elif failures:
            output.write(report.of_failures(library.failures()))
        elif as_json:
            output.write(output.json_object(report.status_object(library.status())) + b"\n")
        else:
            output.write(report.of_status(library.status()))


@cli.command(short_help="Say what is wrong with the library, and mend it with --repair.")
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@common
@click.pass_context
def check(context: click.Context, repair: bool) -> None:
    """Say what is wrong with the library itself, a line each: the catalog and its rows, the
    vectors, the index file, what killed runs left. Reads all of it, but no picture.

    --repair drops what makes no sense, so that the next `retrieve index` looks at those pictures
    again, and makes anew what is made from the rest. A damaged catalog is copied as far as it can
    be read; the damaged one is kept beside it. Ends with 1 if something is wrong still.
    """
    from retrieval import report
    from retrieval.output import write

    with context.ensure_object(Settings).open() as library:
        problems = library.check(repair=repair)
        write(report.of_check(library.folder, problems))
        if not all(problem.mended for problem in problems):
            if not repair:
                click.echo("`retrieve check --repair` mends what can be mended", err=True)
            context.exit(1)


@cli.command(short_help="Copy the catalog into a file.")
@click.argument("file", type=PathType())
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@common
@click.pass_obj
def backup(settings: Settings, file: str, force: bool) -> None:
    """Copy the catalog into one FILE, checked, even while the library is in use. It holds all that
    is known of the pictures, with their vectors; everything else is made from it.

    \b
    retrieve backup /mnt/backup/photos-$(date +%F).sqlite

    To restore it, put it into an empty folder as catalog.sqlite, and name that folder with
    --library, or put the folder in the library's place.
    """
    from retrieval.report import size_of

    with settings.open() as library:
        size = library.backup(file, force=force)
    click.echo(f"wrote {file} ({size_of(size)})")


@cli.command(short_help="Drop what is known of a folder or file.")
@click.argument("path", type=PathType())
@common
@click.pass_obj
def forget(settings: Settings, path: str) -> None:
    """Drop what is known of a folder or file. The pictures themselves are left alone.

    A part of an indexed folder stays forgotten; `retrieve index PATH` takes it in again.
    """
    with settings.open() as library:
        click.echo(f"forgot {_files(library.forget(path))}")


@cli.command(short_help="Say that a folder was moved.")
@click.argument("old", type=PathType())
@click.argument("new", type=PathType())
@common
@click.pass_obj
def relocate(settings: Settings, old: str, new: str) -> None:
    """Say that what was in folder OLD is in folder NEW now. Nothing is encoded again."""
    with settings.open() as library:
        click.echo(f"relocated {_files(library.relocate(old, new))}")


@cli.command(short_help="List the models.")
@common
@click.pass_obj
def models(settings: Settings) -> None:
    """List the models: name, dimensions, and where the weights are.

    The path of a checkpoint (OpenAI's, OpenCLIP's, a Hugging Face folder) names a model as well.
    """
    from retrieval import report
    from retrieval.models import known
    from retrieval.output import write

    with settings.open() as library:
        write(report.of_models(known(library.model)))


@cli.command(short_help="Paint pictures, find them by words, and draw what was found.")
@click.argument("photos", required=False, metavar="[PHOTOS]", type=PathType())
@click.option(
    "--into",
    type=PathType(),
    default="demo",
    metavar="DIR",
    help="For pictures and library (./demo).",
)
@click.option(
    "--sheet",
    type=SheetFile(dir_okay=False),
    default="demo.png",
    metavar="FILE",
    help="The drawing (./demo.png); .jpg and .html do as well.",
)
@common
def demo(photos: str | None, into: str, sheet: Path) -> None:
    """Paint 300 scenes, or take a folder of PHOTOS; index them, and find some by words and by
    example with the small model that is in the package. A drawing shows what was found.
    """
    from retrieval.demo import run_demo
    from retrieval.paths import given

    folder = given(photos) if photos else None
    if folder and not folder.is_dir():
        raise PathNotFound(f"no such folder: {folder}")
    run_demo(Path(into), folder, sheet, click.echo)


cli.add_command(completion)


# -- parts of commands ---------------------------------------------------------------------------


def _beside(context: click.Context, paths: tuple[Path, ...]) -> "Library":
    from retrieval.library import Library
    from retrieval.locate import beside
    from retrieval.paths import given

    if len(paths) != 1:
        raise click.UsageError("--here goes with one folder")
    if context.ensure_object(Settings).library:
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


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def main() -> None:
    # With looking through what it imports for garbage, torch takes 1.5 s in place of 1.1.
    gc.set_threshold(CREATED)
    open_streams()
    try:
        cli(prog_name=NAME)
    finally:
        gc.freeze()  # the last look, at everything


if __name__ == "__main__":
    main()
