"""Commands for the library as a whole: status, check, backup, forget, relocate; models, devices."""

import click

from retrieval.cli.base import CommonOptions, PathType, common
from retrieval.wording import counted


@click.command(short_help="Show what the library contains.")
@click.option("--failures", is_flag=True, help="List unreadable files, with reasons.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object; with --failures, an array."
)
@common
@click.pass_obj
def status(settings: CommonOptions, failures: bool, as_json: bool) -> None:
    """Show what the library contains: model, pictures, failures, index, bytes and folders.

    The index may hold more or fewer vectors than there are pictures: searches scan new pictures
    directly, and skip removed ones, until the index is written again.
    """
    from retrieval.output import json_forms, report, text

    with settings.open() as library:
        if failures and as_json:
            held = [json_forms.failure_object(failed) for failed in library.failures()]
            text.write(json_forms.json_array(held))
        elif failures:
            text.write(report.of_failures(library.failures()))
        elif as_json:
            text.write(json_forms.json_object(json_forms.status_object(library.status())) + b"\n")
        else:
            text.write(report.of_status(library.status()))


@click.command(short_help="Check the library; --repair fixes it.")
@click.option("--repair", is_flag=True, help="Fix whatever can be fixed.")
@common
@click.pass_context
def check(context: click.Context, repair: bool) -> None:
    """Check the library and print one line per problem: in the catalog and its rows, the vectors,
    the index file, or left behind by killed runs. Reads the whole library, but no pictures.

    --repair removes invalid records, so that the next `retrieve index` reads those pictures again,
    and rebuilds derived files. A damaged catalog is copied as far as it is readable; the damaged
    original is kept beside the copy. Exits with 1 if problems remain.
    """
    from retrieval.output import report
    from retrieval.output.text import write

    with context.ensure_object(CommonOptions).open() as library:
        problems = library.check(repair=repair)
        write(report.of_check(library.where, problems))
        if not all(problem.mended or problem.harmless for problem in problems):
            if not repair:
                click.echo("run `retrieve check --repair` to fix whatever can be fixed", err=True)
            context.exit(1)


@click.command(short_help="Back up the catalog to a file.")
@click.argument("file", type=PathType())
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@common
@click.pass_obj
def backup(settings: CommonOptions, file: str, force: bool) -> None:
    """Back up the catalog to one FILE and verify it, even while the library is in use. The catalog
    holds everything about the pictures, including vectors; the rest is derived from it.

    \b
    retrieve backup /mnt/backup/photos-$(date +%F).sqlite

    To restore it, put it into an empty folder as catalog.sqlite, and use that folder as --library,
    or move it to where the library was.
    """
    from retrieval.output.report import size_of

    with settings.open() as library:
        size = library.backup(file, force=force)
    click.echo(f"wrote {file} ({size_of(size)})")


@click.command(short_help="Remove a folder or file from the library.")
@click.argument("path", type=PathType(), required=False)
@click.option("--model", metavar="NAME", help="Drop the embeddings of a model no longer in use.")
@common
@click.pass_obj
def forget(settings: CommonOptions, path: str | None, model: str | None) -> None:
    """Remove a folder or file from the library. The pictures themselves are not touched.

    If PATH is inside an indexed folder, later runs skip it until you run `retrieve index PATH`.

    --model removes the vectors of a previous model; `retrieve status` lists such models.
    """
    if (path is None) == (model is None):
        raise click.UsageError("give either a PATH or --model NAME")
    with settings.open() as library:
        if path is not None:
            click.echo(f"removed {counted(library.forget(path), 'file')} from the library")
        elif model is not None:
            held = library.forget_model(model)
            click.echo(f"removed {counted(held, 'vector')} of {model}")


@click.command(short_help="Tell the library that a folder has moved.")
@click.argument("old", type=PathType())
@click.argument("new", type=PathType())
@common
@click.pass_obj
def relocate(settings: CommonOptions, old: str, new: str) -> None:
    """Tell the library that folder OLD is now at NEW. Nothing is encoded again."""
    with settings.open() as library:
        click.echo(f"relocated {counted(library.relocate(old, new), 'file')}")


@click.command(short_help="List the models.")
@click.option("--json", "as_json", is_flag=True, help="Print an array of objects.")
@common
@click.pass_obj
def models(settings: CommonOptions, as_json: bool) -> None:
    """List the models that have a name: family, what is fetched, resolution, dimensions, languages,
    licence, published figures, speed on this machine, and where the weights are.

    --model takes a name in any spelling, a repository on the Hugging Face hub (hf:ORG/NAME), a name
    of OpenCLIP's (open_clip:ARCH/TAG), or the path of a checkpoint: OpenAI, OpenCLIP or Hugging
    Face.
    """
    from retrieval.models.known import known
    from retrieval.output.json_forms import json_array
    from retrieval.output.models import model_object, of_models
    from retrieval.output.text import write

    with settings.open() as library:
        found = known(library.model)
    write(json_array([model_object(each) for each in found]) if as_json else of_models(found))


@click.command(short_help="List the devices that can encode.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@common
def devices(as_json: bool) -> None:
    """List the devices of this machine: name, product, memory, the precision that `auto` means, and
    how many pictures it has at once; or why it cannot be used, and what to do.

    Each is tried with a small product. `--device NAME` and $RETRIEVE_DEVICE choose one.
    """
    from retrieval.models.devices import known_devices
    from retrieval.output import json_forms, report
    from retrieval.output.text import write

    found = known_devices()
    if as_json:
        write(json_forms.json_array([json_forms.device_object(each) for each in found]))
    else:
        write(report.of_devices(found))
