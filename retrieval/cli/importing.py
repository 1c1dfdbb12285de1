"""The command that takes over vectors of other programs: import."""

import click

from retrieval.cli.base import CommonOptions, PathType, common
from retrieval.cli.completion import model_names
from retrieval.wording import counted


@click.command("import", short_help="Import vectors that clip-retrieval has computed.")
@click.argument("folder", metavar="DIR", type=PathType())
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=model_names,
    help="The model that computed them (default: the library's).",
)
@common
@click.pass_obj
def import_(settings: CommonOptions, folder: str, model: str | None) -> None:
    """Import the output of clip-retrieval's `clip inference` in DIR: img_emb/*.npy, and
    metadata/*.parquet with image_path, caption and url. No picture is decoded.

    Files on this machine become part of the library as if indexed; other rows are known by their
    address. Vectors must be of unit length and of the model's dimensions.

    \b
    retrieve import ./laion --model ViT-L/14
    """
    from retrieval.output.text import printable

    with settings.open() as library:
        done = library.import_vectors(folder, model=model)
    click.echo(
        f"imported {counted(done.rows, 'vector')}, {counted(done.files, 'file')} of them here"
    )
    for problem in done.problems:
        click.echo(f"note: {printable(problem)}", err=True)
    if done.without:
        said = counted(done.without, "row")
        click.echo(f"note: {said} without image_path and url left out", err=True)
