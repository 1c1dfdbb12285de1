"""Shared by every command: options before and after its name, and errors as one line."""

import errno
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from retrieval.errors import LEADS_NOWHERE, InvalidValue, PathNotFound, explained

if TYPE_CHECKING:
    from clipmodel.torch_backend.image_encoder import Precision
    from retrieval.library import Library
    from retrieval.records import Progress

INTERRUPTED = 130  # as shells do: 128 + SIGINT
OTHER_NAMES = {  # names of our commands in other programs
    **dict.fromkeys(("find", "query", "look", "grep", "ask"), "search"),
    **dict.fromkeys(("add", "scan", "update", "refresh", "sync"), "index"),
    **dict.fromkeys(("remove", "delete", "rm", "drop"), "forget"),
    **dict.fromkeys(("move", "mv", "moved"), "relocate"),
    **dict.fromkeys(("dupes", "dedupe", "dedup", "copies"), "duplicates"),
    **dict.fromkeys(("info", "stats", "list", "ls"), "status"),
    **dict.fromkeys(("web", "server", "gui", "ui", "start"), "serve"),
    **dict.fromkeys(("verify", "repair", "fsck", "doctor"), "check"),
    **dict.fromkeys(("classify", "label"), "tag"),
    "like": "similar",
}


@dataclass
class CommonOptions:
    """The options that every command takes, before or after its name."""

    library: str | None = None
    debug: bool = False
    device: str | None = None
    precision: "Precision" = "auto"

    def open(self) -> "Library":
        from retrieval.library import Library
        from retrieval.models.devices import DeviceChoice

        return Library.open(self.library, on=DeviceChoice(self.device, self.precision))

    def open_for_long(self) -> "Library":
        """Open the library for pictures that come later. Raises DeviceError now if the device to
        encode them on is not there.
        """
        from retrieval.models.devices import check_present

        check_present(self.device)
        return self.open()

    def open_to_search(self) -> "Library":
        """Open the library while its index file is read from disk in the background, as reading a
        gigabyte takes longer than all imports. If there are several, none is read: only the catalog
        knows which is current.
        """
        from indexes.read_ahead import read_ahead
        from retrieval.locate import INDEX_FILE, library_place, local_folder

        index_files = [*local_folder(library_place(self.library)).glob(INDEX_FILE.format("*"))]
        if len(index_files) == 1:
            read_ahead(index_files[0])
        return self.open()


def open_streams() -> None:
    """Open missing standard streams on the null device. Otherwise a library file could get the
    descriptor of one, and receive everything printed.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere == number:
                os.set_inheritable(number, True)
            else:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            stream = open(number, mode, 1, "utf-8", "backslashreplace", closefd=False)
            setattr(stream, LEADS_NOWHERE, True)  # its output is lost: see text.write
            setattr(sys, name, stream)


class PathType(click.Path):
    """A path that is not empty, as an unset shell variable would leave it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty; give a folder or a file", param, ctx)
        from retrieval.paths import with_home

        try:
            with_home(value)
        except PathNotFound:
            self.fail(f"{value!r} is not a valid file name", param, ctx)
        return super().convert(value, param, ctx)


class WholeNumber(click.IntRange):
    """A whole number in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            if str(value).strip().lstrip("+-").isdigit():
                raise error  # it says which ones are allowed
            upper = f" to {self.max}" if self.max is not None else " up"
            self.fail(f"{str(value)!r} is not a whole number from {self.min}{upper}", param, ctx)


class Number(click.types.FloatParamType):
    """A number, with or without a fraction."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a number", param, ctx)


class CommandFailed(click.ClickException):
    """A failure, shown as one line on standard error."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        from retrieval.output.text import printable

        click.echo(f"error: {printable(self.message)}", err=True)


class WrongUsage(CommandFailed):
    """A usage error: an InvalidValue, or something that click refuses."""

    exit_code = 2


class Program(click.Group):
    """A group of commands that turns every exception into a `CommandFailed`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which users need them

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with told_plainly(ctx):
            return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest a similar one, or a search, for an unknown name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            meant = shlex.join(["retrieve", *self._meant(args)])
            ctx.fail(f"“{name}” is not a command; did you mean `{meant}`?")
        return super().resolve_command(ctx, args)

    def _meant(self, args: list[str]) -> list[str]:
        """Return what was probably meant: a command with a similar name, or a search."""
        import difflib

        name, *rest = args
        known = {**{command: command for command in self.commands}, **OTHER_NAMES}
        near = difflib.get_close_matches(name.lower(), known, 1)
        return [known[near[0]], *rest] if near else ["search", *args]

    def invoke(self, ctx: click.Context) -> Any:
        with told_plainly(ctx):
            return super().invoke(ctx)


@contextmanager
def told_plainly(context: click.Context) -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        command = (error.ctx or context).command_path
        said = " ".join(error.format_message().split()).rstrip(".")
        see = " See" if said.rstrip(")").endswith("?") else "; see"
        raise WrongUsage(f"{said}{see} `{command} --help`") from error
    except (click.ClickException, click.exceptions.Exit):
        raise
    except (KeyboardInterrupt, click.Abort) as error:
        click.echo("interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from error
    except Exception as error:
        broken_pipe = isinstance(error, OSError) and error.errno == errno.EPIPE
        is_debugged = context.ensure_object(CommonOptions).debug
        if is_debugged or broken_pipe:  # click exits quietly on a broken pipe
            raise
        kind = WrongUsage if isinstance(error, InvalidValue) else CommandFailed
        raise kind(explained(error)) from error


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value and option.name:
        setattr(context.ensure_object(CommonOptions), option.name, value)


def _remember_device(context: click.Context, _: click.Parameter, value: str | None) -> None:
    """Remember a device, and check it: its name, else that in the environment."""
    from retrieval.models.devices import check_device, device_or_default

    check_device(value)
    device_or_default(value)
    if value:
        context.ensure_object(CommonOptions).device = value


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --library and --debug, which fill the `CommonOptions` of the call."""
    library = click.option(
        "--library",
        type=PathType(),
        metavar="DIR",
        expose_value=False,
        callback=_remember,
        help="Use the library in DIR, or at a postgresql:// URL (default: $RETRIEVE_LIBRARY, else "
        "the nearest .retrieve/ here or in a parent folder, else the platform's data folder).",
    )
    debug = click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="Show the traceback of an error.",
    )
    return library(debug(command))


def on_device(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --device and --precision, for commands that may encode pictures."""
    device = click.option(
        "--device",
        metavar="NAME",
        expose_value=False,
        callback=_remember_device,
        help="Encode on this device: cpu, cuda, cuda:1 or mps (default: $RETRIEVE_DEVICE, else "
        "CUDA if available).",
    )
    precision = click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
        metavar="P",
        expose_value=False,
        callback=_remember,
        help="Encode in this precision: auto, fp32, bf16 or fp16 (default: auto).",
    )
    return device(precision(command))


@contextmanager
def progress_bar() -> Iterator[Callable[["Progress"], None] | None]:
    """Show count, speed and time left on a terminal; yield None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    form = "{n_fmt}/{total_fmt} |{bar}| {rate_fmt}, {remaining} left"
    with tqdm(total=0, unit=" images", bar_format=form, dynamic_ncols=True, leave=False) as bar:

        def show(progress: "Progress") -> None:
            bar.total = progress.total
            bar.update(progress.done - bar.n)

        yield show
