"""`retrieve serve`: the web page and API, until Ctrl-C.

Nothing heavy is imported before the command runs.
"""

import click

from retrieval.cli.base import CommonOptions, WholeNumber, common, on_device


@click.command(short_help="Search the library in a browser.")
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="NAME",
    help="Listen on this address (default: 127.0.0.1).",
)
@click.option(
    "--port",
    type=WholeNumber(0, 65535),
    metavar="N",
    help="Listen on this port (default: 8000, or the next free one).",
)
@click.option("--open", "is_shown", is_flag=True, help="Open the page in your browser.")
@click.option(
    "--token",
    envvar="RETRIEVE_TOKEN",
    metavar="T",
    help="Require this token from others ($RETRIEVE_TOKEN).",
)
@click.option(
    "--no-token",
    "is_open",
    is_flag=True,
    help="Let anyone who can reach the server search and view pictures.",
)
@click.option(
    "--allow-host", "names", multiple=True, metavar="NAME", help="Also accept this host name."
)
@click.option("--allow-url", is_flag=True, help="Allow http(s) addresses of pictures in queries.")
@on_device
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
    """Search the library in a browser, until Ctrl-C.

    The printed address contains a secret for this run, and gives full access; without it, other
    users of this machine have none. With a --token, others can search and view pictures, but not
    index or open folders; --host requires one. Programs use /api, described in /api/openapi.json:
    send the secret or token as Authorization: Bearer T, and with every POST or DELETE the header
    X-Retrieve: 1.

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
        click.echo(f"{own}  (press Ctrl-C to stop)")
        if for_others:
            click.echo(f"{for_others}  for others: search and view only")
        if is_shown:
            click.launch(own)

    if token and is_open:
        raise click.UsageError("--token and --no-token cannot be combined")
    if token == "":
        raise click.UsageError("the token is empty; omit --token, or use a long one")
    how = ServerSettings(host, names, token, allow_url, is_open=is_open)
    with settings.open_for_long() as library:
        server.serve(library, how, port, ready)
