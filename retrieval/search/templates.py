"""Prompt ensembles: the same words in several sentences, of which the mean vector is taken.

One sentence leans to its own phrasing; the mean of several leans to what they have in common
(Radford et al. 2021, section 3.1.4).
"""

from collections.abc import Sequence

from retrieval.errors import InvalidQuery

HOLE = "{}"

# Names that stand for several templates. `photo` is for words that name what is to be seen.
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
    """Every template, those of sets included. Raises InvalidQuery."""
    every = [one for template in templates for one in SETS.get(template, (template,))]
    for template in every:
        if HOLE not in template:
            sets = ", ".join(SETS)
            raise InvalidQuery(
                f"the template {template!r} has no {{}} where the words go, and is none of the "
                f"sets that are built in ({sets})"
            )
    return tuple(every)


def filled(templates: Sequence[str], words: str) -> list[str]:
    """The words in each template; as they are where there is none."""
    return [template.replace(HOLE, words) for template in templates] or [words]
