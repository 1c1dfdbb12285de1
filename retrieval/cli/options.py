"""Filters and output formats, shared by several commands."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from retrieval.cli import completion
from retrieval.cli.base import WholeNumber

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
    """Return an option whose value goes to a group (see `given_in`), not to the command."""

    def remember(context: click.Context, option: click.Parameter, value: Any) -> None:
        if value is not None:
            context.meta.setdefault(group, {})[option.name] = value

    return click.option(*names, expose_value=False, callback=remember, **how)


def given_in(context: click.Context, group: str) -> dict[str, Any]:
    """Return the values of a group's options by name, without those that were not given."""
    values: dict[str, Any] = context.meta.get(group, {})
    return values


def chosen_filters(context: click.Context) -> "Filters":
    """Return the filters given as options. Raises InvalidQuery."""
    from retrieval.filters import all_written

    given = given_in(context, "filters")
    return all_written({_filter_name(name): given[name] for name in given}, before="--")


def _filter_name(parameter: str) -> str:
    """Return a filter's name in the query language for click's name of its option."""
    return parameter.removeprefix("filter_").replace("_", "-")


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


def pairing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --no-pairs."""
    return click.option(
        "--no-pairs", is_flag=True, help="Show a raw file and its JPEG as two results, not one."
    )(command)


def limited(default: int, what: str = "results") -> Callable[..., Any]:
    """Add -n and --limit."""
    return click.option(
        "-n",
        "--limit",
        type=WholeNumber(min=1),
        default=default,
        metavar="N",
        help=f"Show at most N {what} (default: {default}).",
    )
