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
from retrieval.cli.index import index, watch
from retrieval.cli.library import backup, check, forget, models, relocate, status
from retrieval.cli.picture_options import SheetFile
from retrieval.cli.search import search, similar
from retrieval.cli.serve import serve
from retrieval.errors import PathNotFound

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

    The exit status is 0, also if nothing is found; 1 for a failure, 2 for a call that makes no
    sense, 130 after Ctrl-C.
    """
    context.ensure_object(CommonOptions)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@click.command(short_help="Paint pictures, find them by words, and draw what was found.")
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
    from retrieval.cli.demo import run_demo
    from retrieval.paths import given

    folder = given(photos) if photos else None
    if folder and not folder.is_dir():
        raise PathNotFound(f"no such folder: {folder}")
    run_demo(Path(into), folder, sheet, click.echo)


COMMANDS = (
    *(index, watch, search, similar, serve, duplicates, tag, export),
    *(status, check, backup, forget, relocate, models, demo, completion),
)
for command in COMMANDS:
    cli.add_command(command)


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
