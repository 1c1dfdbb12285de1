"""`retrieve serve`: the library in a browser, and for programs.

Nothing heavy is imported before the command runs.
"""

import click

from retrieval.program import Settings, common


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
    help="Answer only who knows it ($RETRIEVE_TOKEN).",
)
@click.option(
    "--allow-host", "names", multiple=True, metavar="NAME", help="Another of its names. Repeatable."
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
    names: tuple[str, ...],
    allow_url: bool,
) -> None:
    """Show and search the library in a browser, until Ctrl-C.

    It listens on this machine alone; for others --host needs a --token, which whoever comes with
    the address /?token=T proves to know. Programs ask /api, described in /api/openapi.json; a POST
    or DELETE needs the header X-Retrieve: 1, and the token goes into Authorization: Bearer T.

    \b
    retrieve serve --open
    retrieve serve --host 0.0.0.0 --token "$(openssl rand -hex 16)"
    curl -s "localhost:8000/api/search?q=a+red+car&limit=3"
    """
    from retrieval.web import server
    from retrieval.web.site import Settings as How

    def ready(address: str) -> None:
        click.echo(f"{address}  (Ctrl-C ends it)")
        if is_shown:
            click.launch(f"{address}?token={token}" if token else address)

    how = How(host, names, token, allow_url)
    with settings.open() as library:
        server.serve(library, how, port, ready)
