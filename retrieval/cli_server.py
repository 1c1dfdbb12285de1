"""`retrieve serve` and `watch`: what goes on until Ctrl-C.

Nothing heavy is imported before the command runs.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retrieval.errors import Interrupted
from retrieval.program import PathType, Settings, common, progress_bar

if TYPE_CHECKING:
    from retrieval.records import Summary


@click.command(short_help="Show and search the library in a browser.")
@click.option("--host", default="127.0.0.1", metavar="NAME", help="Where to listen (127.0.0.1).")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="8000, or the next that is free, if not given.",
)
@click.option("--open", "is_shown", is_flag=True, help="Open it in the browser.")
@click.option(
    "--token",
    envvar="RETRIEVE_TOKEN",
    metavar="T",
    help="Let others search with this token ($RETRIEVE_TOKEN).",
)
@click.option(
    "--no-token",
    "is_open",
    is_flag=True,
    help="Let anyone who can reach the server search and see every picture.",
)
@click.option(
    "--allow-host", "names", multiple=True, metavar="NAME", help="Also accept this host name."
)
@click.option("--allow-url", is_flag=True, help="Fetch pictures named by http(s) addresses.")
@common
@click.pass_obj
def serve(
    settings: Settings,
    host: str,
    port: int | None,
    is_shown: bool,
    token: str | None,
    is_open: bool,
    names: tuple[str, ...],
    allow_url: bool,
) -> None:
    """Show and search the library in a browser, until Ctrl-C.

    The address that is printed carries a secret of this run. Who has it may do everything; other
    users of this machine may not. A --token lets others search and see, but not index or open
    folders; --host needs one. Programs ask /api, described in /api/openapi.json: the secret or
    token goes into Authorization: Bearer T, and a POST or DELETE needs the header X-Retrieve: 1.

    \b
    retrieve serve --open
    retrieve serve --host 0.0.0.0 --token "$(openssl rand -hex 16)"
    RETRIEVE_TOKEN=abc retrieve serve
    curl -s -H "Authorization: Bearer abc" "localhost:8000/api/search?q=a+red+car&limit=3"
    """
    from retrieval import malloc

    malloc.share()  # before anything that is imported here starts threads
    from retrieval.web import server
    from retrieval.web.site import Settings as How

    def ready(own: str, for_others: str | None) -> None:
        click.echo(f"{own}  (Ctrl-C ends it)")
        if for_others:
            click.echo(f"{for_others}  for others, who may search and see")
        if is_shown:
            click.launch(own)

    if token and is_open:
        raise click.UsageError("--token and --no-token exclude each other")
    if token == "":
        raise click.UsageError("the token is empty; leave it out, or give a long one")
    how = How(host, names, token, allow_url, is_open=is_open)
    with settings.open() as library:
        server.serve(library, how, port, ready)


@click.command(short_help="Keep the library up to date while folders change.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=PathType(path_type=Path))
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help='Leave out such names, now and in later runs; "none" clears. Repeatable.',
)
@common
@click.pass_obj
def watch(settings: Settings, paths: tuple[Path, ...], exclude: tuple[str, ...]) -> None:
    """Bring the library up to date as `retrieve index` does, then whatever changes below each PATH
    (without any: all that the library knows) as soon as it does, until Ctrl-C.

    Prints a line for each time that there was something to do. A library that another process
    writes to is waited for; a folder that disappears is kept, and looked through when it is back.
    """
    from retrieval.output import printable
    from retrieval.report import of_change
    from retrieval.watch import watch

    def say(said: str) -> None:
        click.echo(printable(said), err=True)

    def ran(summary: "Summary") -> None:
        if said := of_change(summary):
            click.echo(f"{datetime.now():%H:%M:%S}  {said}")

    with settings.open() as library:
        try:
            watch(library, paths, exclude=exclude, bar=progress_bar, ran=ran, say=say)
        except Interrupted as interrupt:
            ran(interrupt.summary)
        except KeyboardInterrupt:
            pass
