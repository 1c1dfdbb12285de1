"""Commands about the library as a whole: status, check, backup, forget, relocate, models."""

import click

from retrieval.cli.base import PathType, Settings, common


@click.command(short_help="Show what the library holds.")
@click.option("--failures", is_flag=True, help="List the files that could not be read, and why.")
@click.option("--json", "as_json", is_flag=True, help="One object; with --failures an array.")
@common
@click.pass_obj
def status(settings: Settings, failures: bool, as_json: bool) -> None:
    """Show what the library holds: model, pictures, failures, index, bytes and folders."""
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


@click.command(short_help="Say what is wrong with the library, and mend it with --repair.")
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@common
@click.pass_context
def check(context: click.Context, repair: bool) -> None:
    """Say what is wrong with the library itself, a line each: the catalog and its rows, the
    vectors, the index file, what killed runs left. Reads all of it, but no picture.

    --repair drops what makes no sense, so that the next `retrieve index` looks at those pictures
    again, and makes anew what is made from the rest. A damaged catalog is copied as far as it can
    be read; the damaged one is kept beside it. Ends with 1 if something is wrong still.
    """
    from retrieval.output import report
    from retrieval.output.text import write

    with context.ensure_object(Settings).open() as library:
        problems = library.check(repair=repair)
        write(report.of_check(library.folder, problems))
        if not all(problem.mended for problem in problems):
            if not repair:
                click.echo("`retrieve check --repair` mends what can be mended", err=True)
            context.exit(1)


@click.command(short_help="Copy the catalog into a file.")
@click.argument("file", type=PathType())
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@common
@click.pass_obj
def backup(settings: Settings, file: str, force: bool) -> None:
    """Copy the catalog into one FILE, checked, even while the library is in use. It holds all that
    is known of the pictures, with their vectors; everything else is made from it.

    \b
    retrieve backup /mnt/backup/photos-$(date +%F).sqlite

    To restore it, put it into an empty folder as catalog.sqlite, and name that folder with
    --library, or put the folder in the library's place.
    """
    from retrieval.output.report import size_of

    with settings.open() as library:
        size = library.backup(file, force=force)
    click.echo(f"wrote {file} ({size_of(size)})")


@click.command(short_help="Drop what is known of a folder or file.")
@click.argument("path", type=PathType(), required=False)
@click.option("--model", metavar="NAME", help="Drop the embeddings of a model no longer in use.")
@common
@click.pass_obj
def forget(settings: Settings, path: str | None, model: str | None) -> None:
    """Drop what is known of a folder or file. The pictures themselves are left alone.

    A part of an indexed folder stays forgotten; `retrieve index PATH` takes it in again.

    --model drops what a former model made of the pictures; `retrieve status` lists such models.
    """
    if (path is None) == (model is None):
        raise click.UsageError("give either a PATH or --model NAME")
    with settings.open() as library:
        if path is not None:
            click.echo(f"forgot {_files(library.forget(path))}")
        elif model is not None:
            held = library.forget_model(model)
            click.echo(f"forgot {held:,} embedding{'' if held == 1 else 's'} of {model}")


@click.command(short_help="Say that a folder was moved.")
@click.argument("old", type=PathType())
@click.argument("new", type=PathType())
@common
@click.pass_obj
def relocate(settings: Settings, old: str, new: str) -> None:
    """Say that what was in folder OLD is in folder NEW now. Nothing is encoded again."""
    with settings.open() as library:
        click.echo(f"relocated {_files(library.relocate(old, new))}")


@click.command(short_help="List the models.")
@common
@click.pass_obj
def models(settings: Settings) -> None:
    """List the models: name, dimensions, and where the weights are.

    The path of a checkpoint (OpenAI's, OpenCLIP's, a Hugging Face folder) names a model as well.
    """
    from retrieval.models import known
    from retrieval.output import report
    from retrieval.output.text import write

    with settings.open() as library:
        write(report.of_models(known(library.model)))


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"
