"""`retrieve serve` and `watch`: what goes on until Ctrl-C.

Nothing heavy is imported before the command runs.
"""

from typing import TYPE_CHECKING

import click

from retrieval.cli.base import CommonOptions, common

if TYPE_CHECKING:
    pass


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
    settings: CommonOptions,
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
    from retrieval.decoding import malloc

    malloc.share()  # before anything that is imported here starts threads
    from retrieval.web import server
    from retrieval.web.state import ServerSettings

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
    how = ServerSettings(host, names, token, allow_url, is_open=is_open)
    with settings.open() as library:
        server.serve(library, how, port, ready)
