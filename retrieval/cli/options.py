"""Filters and output formats, shared by several commands."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from retrieval.cli import completion

if TYPE_CHECKING:
    from retrieval.filters import Filters


def filtering(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filters as options, each also part of the query language: `in:holiday`."""
    options = [
        ("in", "FOLDER", "In or below this folder: a path, or a name in the library."),
        ("after", "DATE", "Taken on or after DATE: 2023, 2023-06 or 2023-06-01."),
        ("before", "DATE", "Taken before DATE."),
        ("camera", "TEXT", "Camera make and model contain these words."),
        ("near", "LAT,LON,KM", "Taken within KM of LAT,LON: 48.14,11.58,5."),
        ("min-size", "WxH", "At least this wide and high: 1920x1080."),
        ("format", "NAME", "File format: jpeg, png, heic ..."),
        ("orientation", "O", "Orientation: landscape, portrait or square."),
    ]
    known = {
        "in": completion.folder_names,
        "camera": completion.camera_names,
        "format": completion.format_names,
        "orientation": completion.shape_names,
    }
    for name, metavar, said in reversed(options):
        option = click.option(
            f"--{name}",
            f"filter_{name.replace('-', '_')}",
            metavar=metavar,
            expose_value=False,
            callback=_remember(name),
            shell_complete=known.get(name),
            help=said,
        )
        command = option(command)
    return command


def _remember(name: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def remember(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.meta.setdefault("filters", {})[name] = value

    return remember


def chosen_filters(context: click.Context) -> "Filters":
    """Return the filters given as options. Raises InvalidQuery."""
    from retrieval.errors import InvalidQuery
    from retrieval.filters import Filters, written

    filters = Filters()
    for name, value in context.meta.get("filters", {}).items():
        try:
            filters = filters.with_(written(name, value))
        except InvalidQuery as error:
            raise InvalidQuery(f"--{name}: {error}") from error
    return filters


def in_form(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --json, --paths and --null."""
    as_json = click.option("--json", "form", flag_value="json", help="Print a JSON array.")
    paths = click.option(
        "--paths", "form", flag_value="paths", help="Print only paths, one per line."
    )
    null = click.option(
        "-0", "--null", is_flag=True, help="Print only paths, separated by NUL, for `xargs -0r`."
    )
    return as_json(paths(null(command)))


def limited(default: int, what: str = "results") -> Callable[..., Any]:
    """Add -n and --limit."""
    return click.option(
        "-n",
        "--limit",
        type=click.IntRange(min=1),
        default=default,
        metavar="N",
        help=f"Show at most N {what} (default: {default}).",
    )
