"""Prompt ensembles: the same words in several sentences, whose vectors are averaged.

The vector of one sentence depends on its phrasing; the mean of several depends on what they have in
common (Radford et al. 2021, section 3.1.4).
"""

from collections.abc import Sequence

from retrieval.errors import InvalidQuery

HOLE = "{}"

# Names that stand for several templates. `photo` is for words that name something visible.
SETS = {
    "photo": (
        "{}",
        "a photo of {}",
        "a photo of a {}",
        "a picture that shows {}",
        "a close-up of {}",
        "{} seen from a distance",
        "a snapshot of {}, not quite sharp",
        "a bright photo of {} on a clear day",
    ),
}


def expanded(templates: Sequence[str]) -> tuple[str, ...]:
    """Return the templates, with each set replaced by its own. Raises InvalidQuery."""
    every = [one for template in templates for one in SETS.get(template, (template,))]
    for template in every:
        if HOLE not in template:
            sets = ", ".join(SETS)
            raise InvalidQuery(
                f"the template {template!r} has no {{}} for the words, and there is no set of that "
                f"name (available: {sets})"
            )
    return tuple(every)


def filled(templates: Sequence[str], words: str) -> list[str]:
    """Return the words in each template; unchanged if there are no templates."""
    return [template.replace(HOLE, words) for template in templates] or [words]
