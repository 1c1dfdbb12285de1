"""Companions in answers: a raw file and its JPEG are one match, which names its other files."""

from collections.abc import Sequence
from dataclasses import replace

from retrieval.catalog.reading import Catalog
from retrieval.records import Match
from retrieval.vectors.nearest import Hit


def paired(catalog: Catalog, hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits with each pair as one: at the place of the better, the picture to show.

    A raw file whose JPEG is not among the hits stays, as where a filter leaves out the JPEG, and so
    does one with a copy somewhere else.
    """
    of = {hit.image.id: hit for hit in hits}
    mains = catalog.other_files.folded(list(of))
    shown: dict[int, Hit] = {}
    for hit in hits:
        main = mains.get(hit.image.id, hit.image.id)
        own = main if main in of else hit.image.id
        shown.setdefault(own, of[own])
    return list(shown.values())


def with_companions(catalog: Catalog, answers: Sequence[Sequence[Match]]) -> list[list[Match]]:
    """Return the matches with the companions of the files that they show."""
    ids = {match.image.id for matches in answers for match in matches}
    beside = catalog.other_files.of_images(sorted(ids))
    if not beside:
        return [list(matches) for matches in answers]
    return [
        [replace(match, companions=tuple(beside.get(match.path, ()))) for match in matches]
        for matches in answers
    ]


def others(catalog: Catalog, matches: Sequence[Match], own: int | None, pairs: bool) -> list[Match]:
    """Return the matches without an image, and with `pairs` without the one that it belongs to."""
    main = catalog.other_files.pairs([own]).get(own) if own is not None and pairs else None
    return [match for match in matches if match.image.id not in (own, main)]
