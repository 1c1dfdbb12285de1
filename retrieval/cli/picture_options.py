"""`--preview` and `--sheet`: matches as pictures, in the terminal and in a file.

Nothing heavy is imported before pictures are requested.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.shell_completion import CompletionItem

from retrieval.cli.base import PathType
from retrieval.cli.completion import Items, files

if TYPE_CHECKING:
    from retrieval import Library
    from retrieval.output.captions import Elsewhere, Section
    from retrieval.output.graphics import Way
    from retrieval.records import Match

WAYS = ("auto", "kitty", "iterm2", "sixel", "blocks")
ENDINGS = (".png", ".jpg", ".jpeg", ".html")


class Picturing(click.Command):
    """A command whose `--preview` takes a value after `=` or none, never the next word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        said = [f"{arg}=auto" if arg == "--preview" else arg for arg in args[:end]]
        rest = super().parse_args(ctx, said + args[end:])
        as_text = ctx.params.get("form") is None and not ctx.params.get("null")
        if "preview" in ctx.meta and not as_text and not ctx.resilient_parsing:
            raise click.UsageError(
                "--preview cannot be combined with --json, --paths or --null", ctx
            )
        return rest


class SheetFile(PathType):
    """The file of a sheet, whose extension says its format."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        file = Path(os.path.expanduser(os.fsdecode(super().convert(value, param, ctx))))
        if file.suffix.lower() not in ENDINGS:
            self.fail(
                f"{value!r} has an unknown extension; use one of {', '.join(ENDINGS)}", param, ctx
            )
        return file


def pictured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --preview and --sheet to a command of the class `Picturing`."""
    preview = click.option(
        "--preview",
        type=click.Choice(WAYS),
        metavar="[=HOW]",
        shell_complete=_ways,
        expose_value=False,
        callback=_remember,
        help="Show pictures in the terminal; set HOW if detection fails: kitty, iterm2, sixel or "
        "blocks.",
    )
    sheet = click.option(
        "--sheet",
        type=SheetFile(dir_okay=False),
        metavar="FILE",
        expose_value=False,
        callback=_remember,
        help="Also write the pictures to FILE: .png, .jpg or .html.",
    )
    return preview(sheet(command))


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None and option.name:
        context.meta[option.name] = value


def _ways(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete the value after `=`, or else a path: a bare `--preview` takes no value."""
    if "preview" in context.meta:
        return files(context, parameter, incomplete)
    return [CompletionItem(way) for way in WAYS if way.startswith(incomplete)]


def show(context: click.Context, text: str | bytes, sections: "Sequence[Section]") -> None:
    """Print the result as `text`, or as the pictures in `sections` if requested."""
    from retrieval.output.text import printable, write

    if way := _way(context.meta.get("preview")):
        from retrieval.output.preview import Preview
        from retrieval.output.terminal import full_colour, is_terminal, screen

        for row in Preview(way, screen(), full_colour(), is_terminal()).of(sections):
            write(row)
    else:
        write(text)
    if sheet := context.meta.get("sheet"):
        from retrieval.output.sheet import save

        save(sections, sheet)
        click.echo(f"wrote {printable(os.fspath(sheet))}", err=True)


def located(
    context: click.Context, library: "Library", matches: "Iterable[Match]"
) -> "Elsewhere | None":
    """Return where the pictures are that lie in shards or at addresses; None if none is shown."""
    if context.meta.keys().isdisjoint(("preview", "sheet")):
        return None
    from retrieval.output.captions import elsewhere

    return elsewhere(library.catalog, matches)


def _way(asked: 'Way | Literal["auto"] | None') -> "Way | None":
    """Return how to show pictures; None to show none."""
    if asked != "auto":
        return asked
    from retrieval.output.terminal import best_way, is_terminal

    if is_terminal():
        return best_way()
    click.echo("no preview: output is not a terminal; --preview=blocks writes it anyway", err=True)
    return None
