"""Captions → a comparison of models: what each finds, how fast, in how many bytes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from retrieval.catalog.lock import Tell
from retrieval.catalog.reading import Catalog
from retrieval.collection.other_models import FLOAT16
from retrieval.errors import InvalidQuery, LibraryEmpty
from retrieval.evaluation.captions import SPLIT, read_captions
from retrieval.evaluation.cut_off import CutOff, cut_off_of
from retrieval.evaluation.measures import CUTS, Measures, Ranks, measured, share_better
from retrieval.evaluation.pool import Captioned, encoded, held, located, vectors_of
from retrieval.evaluation.ranks import Page, Pages, ranked
from retrieval.evaluation.speed import Speed, speed_of
from retrieval.models import choice
from retrieval.models.devices import ANY, DeviceChoice
from retrieval.records import MAX_INTEGER, ModelRecord
from retrieval.search.options import Rank
from retrieval.search.relevance import calibration_of
from retrieval.values import check_whole

SAMPLE = 1_000  # pictures to encode with models that the library does not hold
NOT_HELD = -1  # the id of their records, under which the catalog has no vectors


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What was measured of one model."""

    name: str
    dim: int
    text_to_image: Measures
    image_to_text: Measures
    cut_off: CutOff | None  # None: the model claims no relevance, or cosines were ranked
    speed: Speed
    vector_bytes: int  # of one picture
    weight_bytes: int
    sure: float  # how sure the first model answers more within 10 than this one; 0.5 for itself

    @property
    def order(self) -> tuple[float, ...]:
        """Return what models are sorted by: the better, the less."""
        found = self.text_to_image
        return -found.recall[CUTS[-1]].value, -found.mean_average_precision.value


@dataclass(frozen=True, slots=True)
class Comparison:
    """Models that were evaluated with the same captions among the same pictures, best first."""

    captions: int
    pictures: int  # with captions
    among: int  # pictures that each caption's one was searched among
    missing: tuple[str, ...]  # pictures that the library does not have, as named
    rank: Rank
    models: tuple[Evaluated, ...]


def compare(
    catalog: Catalog,
    file: Path,
    names: Sequence[choice.Name] = (),
    sample: int = SAMPLE,
    rank: Rank = "relevance",
    split: str = SPLIT,
    progress: Tell | None = None,
    on: DeviceChoice = ANY,
) -> Comparison:
    """Evaluate models by the captions in a file (see `read_captions`), ranked as searches do.

    names: models; none: all that the library holds. If it holds all of them, each caption's picture
    is searched among all that they have encoded; else among `sample` pictures with captions, which
    are encoded for this, and not kept. Raises InvalidQuery, PathNotFound, LibraryEmpty,
    ModelUnavailable, UnreadablePicture.
    """
    check_whole("sample", sample, 1, MAX_INTEGER)
    captions = read_captions(file, split)
    records = _records(catalog, names)
    captioned = located(catalog, captions, Path(os.path.abspath(file)).parent)
    if not captioned.texts:
        raise InvalidQuery(
            f"the library has none of the pictures that {file} describes (the first: "
            f"{captioned.missing[0]}); index them first"
        )
    if any(record.id == NOT_HELD for record in records):
        candidates = _drawn(captioned.ids, sample)
    else:
        candidates = reduce(np.intersect1d, (catalog.embeddings.ids(each.id) for each in records))
    captioned = captioned.of(candidates)
    if not captioned.texts:
        raise InvalidQuery(
            "no picture with a caption is encoded by all of these models; run "
            "`retrieve index --model NAME` for each of them"
        )
    given = captioned, candidates, rank, progress or (lambda _: None), on
    found = [_evaluated(catalog, each, *given) for each in records]
    found.sort(key=lambda result: result[0].order)
    best = found[0][1]
    return Comparison(
        captions=len(captioned.texts),
        pictures=len(captioned.ids),
        among=len(candidates),
        missing=captioned.missing,
        rank=rank,
        models=tuple(
            replace(one, sure=share_better(best, ranks, captioned.owners)) for one, ranks in found
        ),
    )


def _records(catalog: Catalog, names: Sequence[choice.Name]) -> list[ModelRecord]:
    """Return a record of each model, made up for models that the library does not hold."""
    known = [model for model in catalog.models() if catalog.embeddings.at_least(model.id, 1)]
    if not names:
        if not known:
            raise LibraryEmpty(f"the library {catalog.where} holds no pictures; index some first")
        return known
    found = dict[str, ModelRecord]()
    for name in names:
        folder = choice.find(name)
        made_up = ModelRecord(NOT_HELD, folder.name, folder.digest, folder.config.embed_dim, "fp32")
        of_ours = (model for model in known if model.digest == folder.digest)
        found[folder.digest] = next(of_ours, made_up)
    return list(found.values())


def _drawn(ids: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    drawn: NDArray[np.int64] = np.sort(np.random.default_rng(0).permutation(ids)[:count])
    return drawn


def _evaluated(
    catalog: Catalog,
    record: ModelRecord,
    captioned: Captioned,
    candidates: NDArray[np.int64],
    rank: Rank,
    tell: Tell,
    on: DeviceChoice,
) -> tuple[Evaluated, Ranks]:
    """Evaluate one model; return the ranks of the captions' pictures as well."""
    folder = choice.of_library(record)
    encoder = TextEncoder(folder)
    pages = _pages(catalog, record, folder, candidates, rank, tell, on)
    texts = encoder.encode(captioned.texts)
    right = [np.array([owner]) for owner in captioned.owners]
    found = ranked(texts, right, pages)
    curve = calibration_of(record) if rank == "relevance" else None
    evaluated = Evaluated(
        name=record.name,
        dim=record.dim,
        text_to_image=measured(found.ranks, captioned.owners),
        image_to_text=_image_to_text(captioned, texts, pages),
        cut_off=cut_off_of(curve, found.best, right, len(candidates)) if curve else None,
        speed=speed_of(folder, encoder, captioned.texts, on),
        vector_bytes=record.dim * FLOAT16,
        weight_bytes=sum(file.stat().st_size for file in (folder.vision_file, folder.text_file)),
        sure=0.5,
    )
    return evaluated, found.ranks


def _pages(
    catalog: Catalog,
    record: ModelRecord,
    folder: ModelFolder,
    candidates: NDArray[np.int64],
    rank: Rank,
    tell: Tell,
    on: DeviceChoice,
) -> Pages:
    by_cosine = rank == "cosine"
    if record.id != NOT_HELD:
        return held(catalog, record, candidates, by_cosine=by_cosine)
    return encoded(catalog, record, folder, candidates, by_cosine=by_cosine, tell=tell, on=on)


def _image_to_text(captioned: Captioned, texts: NDArray[np.float32], pages: Pages) -> Measures:
    """Search the captions by each picture, by cosine."""
    ids, numbers = captioned.ids, np.arange(len(texts))
    every_text = Page(numbers, texts, np.zeros(len(texts), np.float32))
    right = [numbers[captioned.owners == id] for id in ids]
    return measured(ranked(vectors_of(ids, pages), right, lambda: iter([every_text])).ranks, ids)
