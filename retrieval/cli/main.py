"""The group of commands, and the entry point.

Nothing heavy is imported before the command that needs it runs.
"""

import gc
from pathlib import Path

import click

from retrieval.cli.base import (
    CommonOptions,
    PathType,
    Program,
    common,
    open_streams,
)
from retrieval.cli.collection import duplicates, export, tag
from retrieval.cli.completion import NAME, completion
from retrieval.cli.evaluation import evaluate
from retrieval.cli.importing import import_
from retrieval.cli.index import index, watch
from retrieval.cli.library import backup, check, devices, forget, models, relocate, status
from retrieval.cli.picture_options import SheetFile
from retrieval.cli.search import search, similar
from retrieval.cli.serve import serve
from retrieval.errors import PathNotFound

GC_THRESHOLD = 50_000  # new objects before Python looks for garbage


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
    help="Print the version and exit.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Search your pictures by description or by example, on your own machine.

    \b
    retrieve index ~/Pictures            scan your pictures
    retrieve search "a red car"          search by description
    retrieve search beach.jpg            search by example picture

    Exit codes: 0 success (even if nothing matches), 1 failure, 2 wrong usage, 130 interrupted.
    """
    context.ensure_object(CommonOptions)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@click.command(short_help="Try it: paint 300 scenes, index and search them.")
@click.argument("photos", required=False, metavar="[PHOTOS]", type=PathType())
@click.option(
    "--into",
    type=PathType(),
    default="demo",
    metavar="DIR",
    help="Put the pictures and the library here (default: ./demo).",
)
@click.option(
    "--sheet",
    type=SheetFile(dir_okay=False),
    default="demo.png",
    metavar="FILE",
    help="Write results to FILE: .png, .jpg or .html (default: ./demo.png).",
)
@common
def demo(photos: str | None, into: str, sheet: Path) -> None:
    """Index 300 painted scenes, or a folder of PHOTOS, with the small bundled model, then run a
    few searches by description and by example. The results are drawn into one picture.
    """
    from retrieval.cli.demo import run_demo
    from retrieval.paths import given

    folder = given(photos) if photos else None
    if folder and not folder.is_dir():
        raise PathNotFound(f"no such folder: {folder}")
    run_demo(Path(into), folder, sheet, click.echo)


COMMANDS = (
    *(index, import_, watch, search, similar, serve, duplicates, tag, export, evaluate),
    *(status, check, backup, forget, relocate, models, devices, demo, completion),
)
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    # With the usual threshold, importing torch takes 1.5 s instead of 1.1.
    gc.set_threshold(GC_THRESHOLD)
    open_streams()
    try:
        cli(prog_name=NAME)
    finally:
        gc.freeze()  # skips the last collection, of everything


if __name__ == "__main__":
    main()
