"""Shell completion: click knows the commands, options and choices; folders, cameras and formats
come from the catalog. Completion takes a fraction of a second, if necessary by offering fewer
values. It never shows an error, which nobody would read.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
)

from retrieval.cli.base import CommonOptions, common
from retrieval.paths import composed, folded

NAME, VARIABLE = "retrieve", "_RETRIEVE_COMPLETE"  # the variable by which click asks for values
SHELLS = ("bash", "zsh", "fish")

Items: TypeAlias = "list[CompletionItem[str]]"


@click.command(short_help="Print a shell-completion script.")
@click.argument("shell", type=click.Choice(SHELLS))
@common
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and their values in your shell.

    \b
    eval "$(retrieve completion bash)"       in ~/.bashrc
    eval "$(retrieve completion zsh)"        in ~/.zshrc, after compinit
    retrieve completion fish | source        in ~/.config/fish/config.fish
    """
    complete = get_completion_class(shell)
    assert complete is not None  # click has all three
    click.echo(complete(context.find_root().command, {}, NAME, VARIABLE).source())


@add_completion_class
class Bash(BashComplete):
    """click's class, plus `--name=value`, which is three words to bash, and values with spaces and
    other special characters.
    """

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        if args and args[-1].startswith("--") and incomplete == "=":
            return args[:-1], f"{args[-1]}="
        if len(args) > 1 and args[-2].startswith("--") and args[-1] == "=":
            return args[:-2], f"{args[-2]}={incomplete}"
        return args, incomplete

    def format_completion(self, item: "CompletionItem[str]") -> str:
        words, number = os.environ["COMP_WORDS"].split("\n"), int(os.environ["COMP_CWORD"])
        if number < len(words) and words[number].startswith(("'", '"')):
            return super().format_completion(item)
        # Two backslashes: the script's `read` removes one.
        return f"{item.type}," + re.sub(r"([^\w./@%+=:,-])", r"\\\\\1", item.value)


class _WholeWords(ShellComplete):
    """A base class for shells that replace all of `--name=value` by the completion."""

    def get_completions(self, args: list[str], incomplete: str) -> Items:
        items = super().get_completions(args, incomplete)
        name, equals, _ = incomplete.partition("=")
        if not (equals and name.startswith("--")):
            return items
        return [CompletionItem(f"{name}={i.value}", i.type, i.help) for i in items]


@add_completion_class
class Zsh(_WholeWords, ZshComplete):
    """click's class, plus `--name=value`."""


@add_completion_class
class Fish(_WholeWords, FishComplete):
    """click's class, plus `--name=value`."""


def model_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete the names of models, or else the path of a checkpoint."""
    from clipmodel.hub.names import by_name
    from clipmodel.pretrained import bundled_models

    named = _with([*bundled_models(), *by_name()], incomplete)
    return named or files(context, parameter, incomplete)


def folder_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete the names of folders in the library, or else a path."""
    from retrieval.catalog.names import folders

    named = _with({composed(os.fsdecode(name)) for name in folders(_catalog(context))}, incomplete)
    return named or [CompletionItem(incomplete, type="dir")]


def camera_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    from retrieval.catalog.names import cameras

    return _with(cameras(_catalog(context)), incomplete)


def format_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    from retrieval.catalog.names import formats

    return _with(formats(_catalog(context)), incomplete)


def shape_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    from retrieval.filters import SHAPES

    return _with(SHAPES, incomplete)


def files(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete a path for an argument that also accepts words, and so has no path type."""
    return [CompletionItem(incomplete, type="file")]


def _with(names: Iterable[str | None], incomplete: str) -> Items:
    """Return the names that contain the typed text, in any case, and that a shell can show."""
    typed = folded(incomplete)
    found = sorted(name for name in names if name and typed in folded(name) and name.isprintable())
    return [CompletionItem(name) for name in found]


def _catalog(context: click.Context) -> Path:
    """Return the path of the catalog, which need not exist."""
    from retrieval.locate import FILE_NAME, library_place, local_folder

    return local_folder(library_place(context.ensure_object(CommonOptions).library)) / FILE_NAME
