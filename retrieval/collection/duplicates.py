"""Copies and near copies among the pictures of a library, in groups with the best first.

Identical files are one image with several paths. Near copies (resized, saved again, the next frame
of a burst) are images that nearness.py considers near, grouped around the best one (stars.py). Only
files that exist and are as they were indexed take part, each once under whatever names
(presence.py), so nobody who deletes all but the first of each group loses any content. Videos and
pictures of several pages or frames are compared by their bytes alone: they may begin alike.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.copy_names import is_copy_name
from retrieval.catalog.presence import Presence, Present, present
from retrieval.catalog.queries.images import moment
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import chosen
from retrieval.collection.nearness import Nearness, mean_cosine, packed
from retrieval.collection.stars import stars
from retrieval.decoding.difference_hash import EMPTY_HASH
from retrieval.errors import InvalidQuery
from retrieval.filters import Filters
from retrieval.records import Image, Match, ModelRecord
from retrieval.values import check_kind, check_number

By = Literal["bytes", "vectors", "hash"]
Ids = NDArray[np.int64]
Files = Sequence[Present]
Member = tuple[int, float]  # the id of an image, and its cosine to the best

SAME_BYTES = Nearness.of_cosines(1.0)
SAMPLED = 1_000  # pictures, for their mean cosine


@dataclass(frozen=True, slots=True)
class Group:
    """Copies and near copies of one picture. Scores are cosines to the one to keep."""

    kept: Match
    others: tuple[Match, ...]  # copies of the same bytes first, then by falling score
    least: float = 0.0  # cosine from which vectors decided; below it, hashes did

    def is_exact(self, other: Match) -> bool:
        """Return whether a file is identical to the one to keep."""
        return other.image.id == self.kept.image.id

    def by(self, other: Match) -> By:
        """Return what a file has in common with the one to keep."""
        if self.is_exact(other):
            return "bytes"
        return "vectors" if other.score >= self.least else "hash"


class Groups(list[Group]):
    """Groups, in the order of the paths to keep."""

    def __init__(
        self,
        groups: Iterable[Group],
        sizes: Mapping[int, int],
        left_out: int,
        threshold: float = 1.0,
    ) -> None:
        super().__init__(sorted(groups, key=lambda group: group.kept.path))
        self.sizes = sizes  # bytes of each image's file, by the number of the image
        self.left_out = left_out  # files that are missing, or changed since they were indexed
        self.threshold = threshold  # cosine from which vectors alone decide

    def and_(self, other: "Groups") -> "Groups":
        """Return the groups of both, which have no picture in common."""
        sizes = {**self.sizes, **other.sizes}
        left_out = self.left_out + other.left_out
        return Groups([*self, *other], sizes, left_out, min(self.threshold, other.threshold))


def find(
    catalog: Catalog,
    model: ModelRecord,
    threshold: float | None,
    filters: Filters | None,
    pairs: bool = True,
) -> Groups:
    """Find groups among the pictures that match the filters. Raises InvalidQuery, PathNotFound.

    threshold: minimum cosine of near copies; 1: identical files only; None: the model's own
    (nearness.py). pairs: a raw file is not compared with other pictures if its JPEG is.
    """
    if threshold is not None:
        check_number("the threshold", threshold, 0, 1)
        if not threshold:
            raise InvalidQuery("the threshold must be above 0")
    if filters is not None:
        check_kind("filters", filters, Filters, "a Filters object")
    allowed = chosen(catalog, filters or Filters())
    if threshold == 1:
        return exact_groups(catalog, allowed)
    near = Nearness.of_cosines(threshold) if threshold else _nearness(catalog, model)
    apart = catalog.images.moving()
    apart = apart if allowed is None else apart[np.isin(apart, allowed)]
    apart = np.union1d(apart, _companions(catalog, allowed)) if pairs else apart
    if not len(apart):
        return groups(catalog, model, near, allowed)
    ids = catalog.images.ids() if allowed is None else allowed
    found = groups(catalog, model, near, ids[~np.isin(ids, apart)])
    return found.and_(exact_groups(catalog, apart))


def _nearness(catalog: Catalog, model: ModelRecord) -> Nearness:
    """Return the model's own rule, by pictures from all of the library if it was not measured."""
    ids = catalog.embeddings.ids(model.id)
    some = ids[np.linspace(0, len(ids) - 1, min(len(ids), SAMPLED)).astype(np.int64)]
    held = catalog.embeddings.vectors_of(model.id, some.tolist())
    vectors = np.frombuffer(b"".join(held.values()), "<f2").reshape(len(held), model.dim)
    return Nearness.of(model.name, mean_cosine(vectors))


def _companions(catalog: Catalog, allowed: Ids | None) -> Ids:
    """Return the sorted ids of raw files, and the like, whose picture is allowed as well."""
    mains = catalog.other_files.pairs()
    is_allowed = None if allowed is None else set(allowed.tolist())
    ids = [id for id, main in mains.items() if is_allowed is None or main in is_allowed]
    return np.array(sorted(ids), np.int64)


def groups(
    catalog: Catalog, model: ModelRecord, nearness: Nearness, allowed: Ids | None = None
) -> Groups:
    """Find copies and near copies among the images `allowed` (sorted ids), or among all.

    Every image is compared with every other: 15 s for 100,000 of 512 dimensions on two cores, and a
    hundred times as long for a million.
    """
    ids, vectors = _vectors(catalog, model, allowed)
    there = present(catalog.files.of_images(ids.tolist()))
    images = catalog.images.by_id(list(there.files))
    order = [row for row, id in enumerate(ids.tolist()) if id in images]
    order.sort(key=lambda row: _worth(images[int(ids[row])], there.files[int(ids[row])]))
    names = ids[order].tolist()
    held = catalog.images.difference_hashes(names)
    hashes = packed([held.get(id, EMPTY_HASH) for id in names])
    found = (
        [(names[row], score) for row, score in star]
        for star in stars(vectors[order], hashes, nearness)
    )
    return _groups(catalog, found, there, nearness)


def exact_groups(catalog: Catalog, allowed: Ids | None = None) -> Groups:
    """Find identical files."""
    ids = catalog.images.copied()
    ids = ids if allowed is None else ids[np.isin(ids, allowed)]
    there = present(catalog.files.of_images(ids.tolist()))
    return _groups(catalog, [[(id, 1.0)] for id in there.files], there, SAME_BYTES)


def redundant_paths(found: Sequence[Group]) -> list[Path]:
    """Return the paths of each group without the one to keep."""
    return [match.path for group in found for match in group.others]


def _vectors(
    catalog: Catalog, model: ModelRecord, allowed: Ids | None
) -> tuple[Ids, NDArray[np.float16]]:
    ids, vectors = [np.empty(0, np.int64)], [np.empty((0, model.dim), np.float16)]
    for some, held in catalog.embeddings.vectors(model.id, firsts=True):
        chosen = np.ones(len(some), bool) if allowed is None else np.isin(some, allowed)
        ids.append(some[chosen])
        vectors.append(held[chosen])
    return np.concatenate(ids), np.concatenate(vectors)


def _worth(image: Image, files: Files) -> tuple[int, bool, datetime, int, int, Path]:
    """Return a sort key, best first: more pixels, then no name of a copy, then older (by date
    taken, else the file's), then a shorter path.
    """
    path, modified_ns, _ = files[0]
    date = image.taken_at or moment(modified_ns)
    copy = is_copy_name(path.name)
    pixels = image.width * image.height
    return -pixels, copy, date.replace(tzinfo=None), modified_ns, len(os.fspath(path)), path


def _groups(
    catalog: Catalog, found: Iterable[Sequence[Member]], there: Presence, nearness: Nearness
) -> Groups:
    """Build the groups of two files or more, after another look at the files: comparing vectors may
    have taken long.
    """
    several = [some for some in found if len(some) > 1 or len(there.files[some[0][0]]) > 1]
    ids = [id for members in several for id, _ in members]
    images = catalog.images.by_id(ids)
    now = present(catalog.files.of_images(ids), catalog.images.digest_of)
    files = {id: [f for f in now.files.get(id, ()) if f in there.files[id]] for id in ids}
    alive = (  # others may have been removed in the meantime
        [(images[id], score) for id, score in some if id in images] for some in several
    )
    built = [_group(members, files, nearness.least) for members in alive if members]
    left_out = there.left_out + sum(len(there.files[id]) - len(files[id]) for id in {*ids})
    found_again = (group for group in built if group and group.others)
    return Groups(found_again, catalog.files.bytes_of(ids), left_out, nearness.alone)


def _group(
    members: Sequence[tuple[Image, float]], files: Mapping[int, Files], least: float
) -> Group | None:
    (best, _), *near = members
    if not files[best.id]:
        return None
    copies = [Match(file.path, 1.0, best) for file in files[best.id]]
    near.sort(key=lambda member: (-member[1], member[0].id))
    others = [Match(file.path, score, image) for image, score in near for file in files[image.id]]
    return Group(copies[0], (*copies[1:], *others), least)
