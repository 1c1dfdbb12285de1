"""The pictures of captions in a library, and the vectors of candidates under one model."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipmodel.model_folder import ModelFolder
from retrieval.catalog.lock import Tell
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import first_in
from retrieval.evaluation.captions import Caption
from retrieval.evaluation.ranks import Page, Pages
from retrieval.models.devices import DeviceChoice
from retrieval.records import ModelRecord, Progress
from retrieval.search.query_encoder import QueryEncoder
from retrieval.search.question import Example
from retrieval.vectors.hubness import HUBNESS_WEIGHT, QueryBank, is_measured

ENCODED_AT_ONCE = 64  # pictures
PAGE = 50_000  # vectors


@dataclass(frozen=True, slots=True)
class Captioned:
    """The captions whose pictures are in the library."""

    texts: tuple[str, ...]
    owners: NDArray[np.int64]  # for each text the id of its image
    missing: tuple[str, ...]  # pictures of other captions, as named

    @property
    def ids(self) -> NDArray[np.int64]:
        """Return the images with captions, sorted."""
        return np.unique(self.owners)

    def of(self, ids: NDArray[np.int64]) -> "Captioned":
        """Return the captions of some of the images."""
        kept = np.isin(self.owners, ids)
        texts = tuple(text for text, is_kept in zip(self.texts, kept, strict=True) if is_kept)
        return Captioned(texts, self.owners[kept], self.missing)


def located(catalog: Catalog, captions: Sequence[Caption], folder: Path) -> Captioned:
    """Find the pictures of captions: by path, from `folder` or a root; else by the end of it.

    An end that several different pictures share stands for none of them.
    """
    found: dict[str, int | None] = {}
    roots = [root.path for root in catalog.roots()]
    for name in dict.fromkeys(caption.picture for caption in captions):
        paths = (base / name for base in (folder, *roots))
        known = (catalog.places.image_at(Path(os.path.abspath(path))) for path in paths)
        found[name] = next((image for image in known if image is not None), None)
    if lost := [name for name, image in found.items() if image is None]:
        found.update(_by_end(catalog, lost))
    here = [caption for caption in captions if found[caption.picture] is not None]
    return Captioned(
        texts=tuple(caption.text for caption in here),
        owners=np.array([found[caption.picture] for caption in here], np.int64),
        missing=tuple(name for name, image in found.items() if image is None),
    )


def _by_end(catalog: Catalog, names: Sequence[str]) -> dict[str, int]:
    """Return the images of names that are the last parts of exactly one image's paths."""
    wanted = {tuple(Path(name).parts): name for name in names}
    lengths = {len(parts) for parts in wanted}
    found = dict[str, set[int]]()
    for path, image_id in catalog.files.with_images():
        parts = Path(os.fsdecode(path)).parts
        for length in lengths:
            if name := wanted.get(parts[-length:]):
                found.setdefault(name, set()).add(image_id)
    return {name: ids.pop() for name, ids in found.items() if len(ids) == 1}


def held(
    catalog: Catalog, model: ModelRecord, candidates: NDArray[np.int64], *, by_cosine: bool
) -> Pages:
    """Return the vectors that a library holds of a model, with hubness as its searches use it."""
    weight = HUBNESS_WEIGHT if is_measured(model) and not by_cosine else 0.0

    def pages() -> Iterator[Page]:
        for ids, vectors, hubness in catalog.embeddings.measured(model.id, batch=PAGE):
            kept = np.isin(ids, candidates, assume_unique=True)
            page = Page(ids[kept], vectors[kept].astype(np.float32), weight * hubness[kept])
            if len(page.ids):
                yield page

    return pages


def encoded(
    catalog: Catalog,
    model: ModelRecord,
    folder: ModelFolder,
    candidates: NDArray[np.int64],
    *,
    by_cosine: bool,
    tell: Tell,
    on: DeviceChoice,
) -> Pages:
    """Encode images that the library has not encoded with this model, from one of their files.

    tell: called with the progress. Raises UnreadablePicture, PathNotFound.
    """
    encoder = QueryEncoder(catalog, model, on)
    images = catalog.images.by_id(candidates.tolist())
    parts = []
    for start in range(0, len(candidates), ENCODED_AT_ONCE):
        some = [images[id] for id in candidates[start : start + ENCODED_AT_ONCE].tolist()]
        parts.append(encoder.embed([Example(first_in(image.paths)) for image in some]))
        tell(Progress(start + len(some), len(candidates), start + len(some)))
    vectors = np.concatenate(parts)
    hubness = np.zeros(len(candidates), np.float32)
    if not by_cosine:
        hubness = HUBNESS_WEIGHT * QueryBank.of(folder).measure(vectors).sum(axis=1)
    page = Page(candidates, vectors, hubness)
    return lambda: iter([page])


def vectors_of(ids: NDArray[np.int64], pages: Pages) -> NDArray[np.float32]:
    """Return the vectors (n, D) of some candidates, by sorted id."""
    return np.concatenate([page.vectors[np.isin(page.ids, ids)] for page in pages()])
