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
        option = remembered(
            "filters",
            f"--{name}",
            f"filter_{name.replace('-', '_')}",
            metavar=metavar,
            shell_complete=known.get(name),
            help=said,
        )
        command = option(command)
    return command


def remembered(group: str, *names: str, **how: Any) -> Callable[..., Any]:
    """An option whose value is no argument of the command, but one of a group: see `given_in`."""

    def remember(context: click.Context, option: click.Parameter, value: Any) -> None:
        if value is not None:
            context.meta.setdefault(group, {})[option.name] = value

    return click.option(*names, expose_value=False, callback=remember, **how)


def given_in(context: click.Context, group: str) -> dict[str, Any]:
    """The values of a group's options, by their names; those that have none are left out."""
    values: dict[str, Any] = context.meta.get(group, {})
    return values


def chosen_filters(context: click.Context) -> "Filters":
    """Those that were given as options. Raises InvalidQuery."""
    from retrieval.filters import all_written

    given = given_in(context, "filters")
    return all_written({_filter_name(name): given[name] for name in given}, before="--")


def _filter_name(parameter: str) -> str:
    """In the query language, from what click calls the option: a Python name."""
    return parameter.removeprefix("filter_").replace("_", "-")


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
