"""`retrieve search` and `similar`: from the typed query to matches in the requested format.

Nothing heavy is imported before the command runs.
"""

import re
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retrieval.cli import completion
from retrieval.cli.base import CommonOptions, Number, PathType, common, on_device
from retrieval.cli.options import (
    chosen_filters,
    filtering,
    given_in,
    in_form,
    limited,
    pairing,
    remembered,
)
from retrieval.cli.picture_options import Picturing, located, pictured, show

if TYPE_CHECKING:
    from retrieval.library import Library
    from retrieval.records import Match, ModelRecord
    from retrieval.search.options import SearchOptions
    from retrieval.search.question import Question

search_option = partial(remembered, "search")


class Searching(Picturing):
    """A command that explains words with a leading hyphen: `-leash`, which subtracts a word in
    other programs, is not an option here.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, list(args))
        except click.UsageError as error:
            if (word := _taken_for_options(error, args)) is None:
                raise
            less = word.lstrip("-")
            raise click.UsageError(
                f"“{word}” is not an option; to search for less of it, write "
                f"`- {less}` or `--not {shlex.quote(less)}`",
                ctx,
            ) from error


def _taken_for_options(error: click.UsageError, args: list[str]) -> str | None:
    """Return the word that click mistook for options or the value of one; None if none."""
    if isinstance(error, click.NoSuchOption):
        letter = error.option_name.removeprefix("-")
    elif isinstance(error, click.BadParameter) and error.param and error.param.name == "limit":
        letter = "n"
    else:
        return None
    words = args[: args.index("--")] if "--" in args else args
    hyphened = (word for word in words if re.match(r"-[^\W\d_]\D", word) and letter in word)
    return next(hyphened, None) if len(letter) == 1 else None


@click.command(cls=Searching, short_help="Search by description or by example picture.")
@click.argument(
    "query", nargs=-1, required=True, metavar="QUERY...", shell_complete=completion.files
)
@limited(10)
@filtering
@search_option(
    "--not", "without", multiple=True, metavar="TEXT", help="Subtract this description. Repeatable."
)
@search_option(
    "--template",
    "templates",
    multiple=True,
    metavar="TEXT",
    help='Put the description into this sentence, at {}; "photo" is a set of sentences. Several '
    "are averaged. Repeatable.",
)
@search_option(
    "--min-score", type=Number(), metavar="S", help="Only matches with a cosine of at least S."
)
@search_option(
    "--min-relevance",
    type=Number(),
    metavar="R",
    help="Only matches at least this relevant, 0 to 1.",
)
@search_option(
    "--rank",
    type=click.Choice(["relevance", "cosine"]),
    default="relevance",
    metavar="BY",
    help="Rank by relevance, or by cosine, the plain score (default: relevance).",
)
@search_option(
    "--using",
    metavar="NAME",
    shell_complete=completion.model_names,
    help='Search with another model that the library holds, or "all", which fuses their ranks.',
)
@search_option(
    "--sort",
    type=click.Choice(["score", "date"]),
    default="score",
    metavar="BY",
    help="Sort the matches by score (as ranked), or by date, newest first (default: score).",
)
@search_option(
    "--allow-url", is_flag=True, help="Allow http(s) addresses of pictures in the query."
)
@pairing
@in_form
@pictured
@on_device
@common
@click.pass_context
def search(
    context: click.Context,
    query: tuple[str, ...],
    limit: int,
    no_pairs: bool,
    form: str | None,
    null: bool,
) -> None:
    """Search by description or by example picture.

    A QUERY that names an existing file, or ends in .jpg or the like, is an example picture; - reads
    one from standard input; everything else is a description. Terms can be weighted, added and
    subtracted, and filters can stand among them: see docs/query.md for the whole language.

    Prints score (cosine), relevance (strong, fair or weak, if the model supports it), size, date
    taken and path, best first: aligned in a terminal, tab-separated in a pipe. The order is not
    exactly that of the scores, as pictures that resemble everything rank lower; --rank cosine turns
    that off. JSON objects have id (id:12 is a term), path, name, score, relevance, strength, width,
    height, format, taken_at, date (the file's own if taken_at is null), taken_from (where the date
    is from), copies (other paths of the same picture), companions (its raw file, Live Photo and
    sidecars), and for what moves or has pages moment (of the unit second, frame or page, the last
    two counted from 0) and moments (all that match). Exits with 0 even if nothing matches.

    \b
    retrieve search a red car -n 20
    retrieve search ~/Desktop/beach.jpg --in ~/Pictures/2023
    retrieve search "2:golden retriever" + ./pool.jpg - leash
    retrieve search a birthday cake after:2023-06 camera:pixel
    retrieve search "a cat" -0 | xargs -0r cp -t /tmp/cats
    """
    with context.ensure_object(CommonOptions).open_to_search() as library:
        from retrieval.output.captions import answer
        from retrieval.search.options import SearchOptions
        from retrieval.search.parse import typed

        filters = chosen_filters(context)
        given = given_in(context, "search")
        options = SearchOptions(limit=limit, filters=filters, pairs=not no_pairs, **given)
        asked = typed(query, sys.stdin.buffer.read, options.allow_url, library.has)
        matches = _found(library, asked, options)
        places = located(context, library, matches)
    text = rendered("null" if null else form, matches, by_date=options.sort == "date")
    show(context, text, [answer(" ".join(query), matches, places)])


def _found(library: "Library", asked: "Question", options: "SearchOptions") -> list["Match"]:
    """Return the matches; print notes about them on standard error."""
    for note in asked.notes:
        click.echo(f"note: {note}", err=True)
    matches = library.search(asked, options=options)
    if not matches:
        any_score = replace(options, limit=1, min_score=None, min_relevance=None)
        _say_that_none_match(library.search(asked, options=any_score))
    elif not _any_relevant(matches):
        _say_that_none_is_relevant(asked)
    elif sys.stderr.isatty():
        from retrieval.search.using import models_used

        [model, *_] = models_used(library.catalog, options.using)
        _say_that_they_are_guesses(asked, model)
    return matches


@click.command(cls=Picturing, short_help="Find pictures similar to a given one.")
@click.argument("path", metavar="PATH", type=PathType(path_type=Path))
@limited(10)
@filtering
@pairing
@in_form
@pictured
@on_device
@common
@click.pass_context
def similar(
    context: click.Context, path: Path, limit: int, no_pairs: bool, form: str | None, null: bool
) -> None:
    """Find pictures similar to the file PATH, without that picture and its copies.

    The output is the same as that of `retrieve search`.
    """
    with context.ensure_object(CommonOptions).open_to_search() as library:
        from retrieval.output.captions import answer

        filters = chosen_filters(context)
        matches = library.similar(path, limit, filters=filters, pairs=not no_pairs)
        places = located(context, library, matches)
    text = rendered("null" if null else form, matches)
    show(context, text, [answer(f"similar to {path.name}", matches, places)])


def rendered(form: str | None, matches: list["Match"], *, by_date: bool = False) -> str | bytes:
    """Render the matches in the requested format. by_date: whether they are sorted by date."""
    from retrieval.output import text

    match form:
        case "json":
            from retrieval.output.json_forms import as_json

            return as_json(matches)
        case "paths":
            return text.as_paths(matches, end=b"\n")
        case "null":
            return text.as_paths(matches, end=b"\0")
    in_columns = text.as_table if sys.stdout.isatty() else text.as_columns
    return in_columns(matches, by_date=by_date)


def _say_that_none_match(best: list["Match"]) -> None:
    said = "no pictures match the filters"
    if best:
        said = f"the best score is {best[0].score:.3f}"
        said += (
            "" if best[0].relevance is None else f", with a relevance of {best[0].relevance:.2f}"
        )
    click.echo(f"no match: {said}", err=True)


def _any_relevant(matches: list["Match"]) -> bool:
    """Return whether any match is relevant, or its relevance is unknown."""
    from retrieval.search.relevance import FAIR

    return any(match.relevance is None or match.relevance >= FAIR for match in matches)


def _say_that_none_is_relevant(asked: "Question") -> None:
    from retrieval.output.text import printable
    from retrieval.search.question import Words

    assert isinstance(asked.query, Words)  # only these have relevance
    said = printable(asked.query.text)
    click.echo(f"nothing in this library looks like “{said}”; the closest:", err=True)


def _say_that_they_are_guesses(asked: "Question", model: "ModelRecord") -> None:
    """Say so for a model without relevance, and name a better model if there is one."""
    from retrieval.models.choice import better_than
    from retrieval.search.question import Words
    from retrieval.search.relevance import calibration_of

    if calibration_of(model) or not isinstance(asked.query, Words):
        return
    better = better_than(model.name)
    hint = f"; for a better model run `retrieve index --model {better}` (see `retrieve models`)"
    click.echo(f"these are best guesses{hint if better else ''}", err=True)
