"""Filters and forms of output, as several commands take them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from retrieval.cli import completion

if TYPE_CHECKING:
    from retrieval.filters import Filters


def filtering(command: Callable[..., Any]) -> Callable[..., Any]:
    """The filters as options, each also a word of the query language: `in:holiday`."""
    options = [
        ("in", "FOLDER", "Only pictures in or below this folder, or one of that name."),
        ("after", "DATE", "Taken at DATE or later: 2023, 2023-06, 2023-06-01."),
        ("before", "DATE", "Taken before the begin of DATE."),
        ("camera", "TEXT", "Taken with a camera of this name, or part of it."),
        ("near", "LAT,LON,KM", "Taken so near: 48.14,11.58,5."),
        ("min-size", "WxH", "At least so many pixels: 1920x1080."),
        ("format", "NAME", "jpeg, png, heic ..."),
        ("orientation", "O", "landscape, portrait or square."),
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
    """Those that were given as options. Raises InvalidQuery."""
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
    """--json, --paths and --null."""
    as_json = click.option("--json", "form", flag_value="json", help="One array of objects.")
    paths = click.option("--paths", "form", flag_value="paths", help="Only the paths, one a line.")
    null = click.option(
        "-0", "--null", is_flag=True, help="Only the paths, each ended by NUL, for `xargs -0`."
    )
    return as_json(paths(null(command)))


def limited(default: int, of: str = "") -> Callable[..., Any]:
    """-n and --limit."""
    return click.option(
        "-n",
        "--limit",
        type=click.IntRange(min=1),
        default=default,
        metavar="N",
        help=f"At most so many{of} ({default}).",
    )
