"""Commands over many pictures at once: `retrieve duplicates`, `tag` and `export`.

Nothing heavy is imported before the command runs.
"""

from pathlib import Path

import click

from retrieval.cli.base import CommonOptions, PathType, common
from retrieval.cli.options import chosen_filters, filtering, in_form, limited
from retrieval.cli.picture_options import Picturing, pictured, show


@click.command(cls=Picturing, short_help="List copies and near copies in groups.")
@click.option(
    "--threshold",
    type=float,
    metavar="S",
    help="Least cosine of near copies (default: as measured for the model, else 0.97); "
    "1: only files of the same bytes.",
)
@filtering
@in_form
@pictured
@common
@click.pass_context
def duplicates(
    context: click.Context, threshold: float | None, form: str | None, null: bool
) -> None:
    """List copies and near copies in groups, in each the one to keep first.

    Files of the same bytes are "same"; others show their cosine to the first, or "alike" where
    their difference hashes (64 bits of how brightness changes) agree instead. The first has the
    most pixels; among equals it is not named as a copy ("x (1)", "Copy of x"), else it is the
    oldest, else it has the shortest path.

    --paths and --null list all but the first of each group, for a pipe. A file is listed only if it
    is there and unchanged since it was indexed. Links to a file and other names of it are not
    copies. Nothing is ever deleted.

    \b
    retrieve duplicates --in ~/Pictures/2023
    retrieve duplicates --threshold 1 -0 | xargs -0 ls -l
    """
    from retrieval.collection.duplicates import redundant_paths
    from retrieval.output import json_forms, report
    from retrieval.output.captions import copies
    from retrieval.output.json_forms import json_array
    from retrieval.output.text import paths_of

    with context.ensure_object(CommonOptions).open() as library:
        found = library.duplicates(threshold, filters=chosen_filters(context))
    if found.left_out:
        click.echo(report.of_left_out(found.left_out), err=True)
    text: str | bytes
    if null or form == "paths":
        text = paths_of(redundant_paths(found), end=b"\0" if null else b"\n")
    elif form == "json":
        text = json_array([json_forms.group_object(group, found.sizes) for group in found])
    else:
        text = report.of_groups(found)
    show(context, text, [copies(group) for group in found])


@click.command(short_help="Say which of some labels pictures show.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=PathType())
@click.option(
    "--labels", required=True, metavar="FILE", type=PathType(path_type=Path), help="One a line."
)
@click.option(
    "--template",
    "templates",
    multiple=True,
    default=("photo",),
    metavar="TEXT",
    help='As of `retrieve search` ("photo").',
)
@limited(3, " labels of each")
@click.option("--json", "as_json", is_flag=True, help="One array of objects, with every label.")
@common
@click.pass_obj
def tag(
    settings: CommonOptions,
    paths: tuple[str, ...],
    labels: Path,
    templates: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> None:
    """Say which of some labels each PATH shows, a picture or a folder of the library.

    Prints probability, label and path between tabs, the most likely first. The probabilities of all
    labels add up to 1, whether or not one fits: give the file a label for everything else.

    \b
    retrieve tag ~/Pictures/2023 --labels animals.txt -n 1
    """
    from retrieval.output import json_forms, report
    from retrieval.output.json_forms import json_array
    from retrieval.output.text import write
    from retrieval.paths import with_home
    from retrieval.search.tags import read_labels

    with settings.open() as library:
        found = library.tag(paths, read_labels(with_home(labels)), templates=templates)
    if as_json:
        write(json_array([json_forms.tagged_object(each) for each in found]))
    else:
        write(report.of_tagged(found, limit))


@click.command(short_help="Write vectors and paths for use elsewhere.")
@click.argument("folder", metavar="DIR", type=PathType())
@common
@click.pass_obj
def export(settings: CommonOptions, folder: str) -> None:
    """Write vectors and paths for use elsewhere, into the folder DIR.

    vectors.npy holds a row of float32 at unit length for each picture, as `numpy.load` reads it;
    images.csv a line for each file, with the row of its vector (copies share one), id, path, size,
    format, date taken, camera and place.
    """
    with settings.open() as library:
        done = library.export(folder)
    click.echo(f"{done.count:,} vectors in {done.vectors}, their files in {done.table}")
