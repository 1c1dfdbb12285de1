"""What the shell completes: click knows the commands, options and choices; values that a library
knows are read from its catalog. In a fraction of a second, or there are fewer of them; never an
error, since there is nobody to read it.
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

NAME, VARIABLE = "retrieve", "_RETRIEVE_COMPLETE"  # the latter is how click asks `main` for values
SHELLS = ("bash", "zsh", "fish")

Items: TypeAlias = "list[CompletionItem[str]]"


@click.command(short_help="Print what makes a shell complete.")
@click.argument("shell", type=click.Choice(SHELLS))
@common
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options and their values.

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
    """click's, and what it leaves out: `--name=value`, which is three words to bash, and values
    with blanks and other characters that mean something to it.
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
        # Two backslashes, of which the script's `read` takes one away.
        return f"{item.type}," + re.sub(r"([^\w./@%+=:,-])", r"\\\\\1", item.value)


class _WholeWords(ShellComplete):
    """For shells that put a value in the place of all of `--name=value`."""

    def get_completions(self, args: list[str], incomplete: str) -> Items:
        items = super().get_completions(args, incomplete)
        name, equals, _ = incomplete.partition("=")
        if not (equals and name.startswith("--")):
            return items
        return [CompletionItem(f"{name}={i.value}", i.type, i.help) for i in items]


@add_completion_class
class Zsh(_WholeWords, ZshComplete):
    """click's, with `--name=value`."""


@add_completion_class
class Fish(_WholeWords, FishComplete):
    """click's, with `--name=value`."""


def model_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Those that have a name; else the path of a checkpoint."""
    from clipmodel.pretrained import available_models, bundled_models

    named = _with([*bundled_models(), *available_models()], incomplete)
    return named or files(context, parameter, incomplete)


def folder_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The names of the library's; else a path."""
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
    """What is not said by a type, since words are taken as well."""
    return [CompletionItem(incomplete, type="file")]


def _with(names: Iterable[str | None], incomplete: str) -> Items:
    """Those that hold what was typed, in any case; no shell takes newlines, or what is no text."""
    typed = folded(incomplete)
    found = sorted(name for name in names if name and typed in folded(name) and name.isprintable())
    return [CompletionItem(name) for name in found]


def _catalog(context: click.Context) -> Path:
    """Return where the catalog of the library that is meant is, if there is one."""
    from retrieval.locate import FILE_NAME, library_folder

    return library_folder(context.ensure_object(CommonOptions).library) / FILE_NAME
