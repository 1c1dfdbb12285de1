"""Commands over many pictures at once: `retrieve duplicates`, `tag` and `export`.

Nothing heavy is imported before the command runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from retrieval.cli.base import CommonOptions, Number, PathType, common, on_device
from retrieval.cli.options import chosen_filters, filtering, in_form, limited, pairing
from retrieval.cli.picture_options import Picturing, located, pictured, show
from retrieval.wording import counted

if TYPE_CHECKING:
    from retrieval.collection.export import Form


@click.command(cls=Picturing, short_help="List duplicates and near-duplicates in groups.")
@click.option(
    "--threshold",
    type=Number(),
    metavar="S",
    help="Minimum cosine of near-duplicates (default: the model's own, see docs/models.md); "
    "1 lists only identical files.",
)
@filtering
@pairing
@in_form
@pictured
@common
@click.pass_context
def duplicates(
    context: click.Context, threshold: float | None, no_pairs: bool, form: str | None, null: bool
) -> None:
    """List duplicates and near-duplicates in groups, with the file to keep first.

    Identical files are marked "same"; others show their cosine to the first file, or "alike" if
    their difference hashes (64 bits of brightness gradients) agree instead. The file to keep has
    the most pixels; among equals, the one whose name does not say it is a copy ("x (1)", "Copy of
    x"), then the oldest, then the one with the shortest path.

    --paths and --null list the redundant files: all but the first of each group. A file is listed
    only if it exists and is unchanged since it was indexed. Links to a file, and other names of it,
    are not duplicates, nor is a raw file of its JPEG (--no-pairs compares them as well). Nothing is
    ever deleted.

    \b
    retrieve duplicates --in ~/Pictures/2023
    retrieve duplicates --threshold 1 -0 | xargs -0r ls -l
    """
    from retrieval.collection.duplicates import redundant_paths
    from retrieval.output import json_forms, report
    from retrieval.output.captions import copies
    from retrieval.output.json_forms import json_array
    from retrieval.output.text import paths_of

    with context.ensure_object(CommonOptions).open() as library:
        filters = chosen_filters(context)
        found = library.duplicates(threshold, filters=filters, pairs=not no_pairs)
        matches = [match for group in found for match in (group.kept, *group.others)]
        places = located(context, library, matches) or {}
    if found.left_out:
        click.echo(report.of_left_out(found.left_out), err=True)
    text: str | bytes
    if null or form == "paths":
        text = paths_of(redundant_paths(found), end=b"\0" if null else b"\n")
    elif form == "json":
        text = json_array([json_forms.group_object(group, found.sizes) for group in found])
    else:
        text = report.of_groups(found)
    show(context, text, [copies(group, places) for group in found])


@click.command(short_help="Pick the best of your labels for each picture.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=PathType())
@click.option(
    "--labels",
    required=True,
    metavar="FILE",
    type=PathType(path_type=Path),
    help="Read labels from FILE, one per line.",
)
@click.option(
    "--template",
    "templates",
    multiple=True,
    default=("photo",),
    metavar="TEXT",
    help="Put labels into this sentence, as in `retrieve search` (default: photo).",
)
@limited(3, "labels per picture")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, with every label.")
@on_device
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
    """Pick the best of your labels for each PATH, a picture or folder in the library.

    Prints probability, label and path, tab-separated, most likely first. The probabilities of all
    labels add up to 1 even if none fits, so include a label for everything else. With SigLIP
    models, each label has a probability of its own.

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


@click.command(short_help="Export vectors and paths for other programs.")
@click.argument("folder", metavar="DIR", type=PathType())
@click.option(
    "--format",
    "form",
    type=click.Choice(["npy", "parquet"]),
    default="npy",
    metavar="FORM",
    help="Write npy and CSV, or parquet (default: npy).",
)
@common
@click.pass_obj
def export(settings: CommonOptions, folder: str, form: "Form") -> None:
    """Export vectors and paths for other programs, into the folder DIR.

    vectors.npy has one float32 row of unit length per picture, for `numpy.load`; images.csv has one
    line per file: the row of its vector (copies share one), id, path, size, format, date taken,
    camera and place.

    --format parquet writes images-00000.parquet and so on: one row per vector, a million rows per
    file, for DuckDB, pandas, LanceDB or the bulk import of Milvus. docs/sources.md has the columns.
    """
    with settings.open() as library:
        done = library.export(folder, form)
    if done.files:
        click.echo(
            f"wrote {done.count:,} vectors to {counted(len(done.files), 'file')} in {folder}"
        )
        return
    click.echo(f"wrote {done.count:,} vectors to {done.vectors} and their files to {done.table}")
