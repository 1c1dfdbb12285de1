"""Queries → unit vectors of a library's model. Known pictures and recent words are looked up."""

import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipmodel.config import Resize
from clipmodel.pools import Lock
from retrieval.catalog.reading import Catalog
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.errors import InvalidQuery, PathNotFound, UnreadablePicture
from retrieval.models import choice
from retrieval.models.devices import ANY, DeviceChoice, device_or_default
from retrieval.models.encoders import in_numpy, in_torch, most_in_numpy
from retrieval.paths import as_on_disk
from retrieval.records import ModelRecord
from retrieval.search.question import (
    Address,
    Example,
    ImageId,
    Mix,
    PreparedPicture,
    Query,
    Term,
    Vector,
    Words,
)
from retrieval.search.templates import HOLE, filled

if TYPE_CHECKING:
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
    from clipmodel.numpy_backend.text_encoder import TextEncoder
    from clipmodel.pretrained import ModelFolder
    from clipmodel.torch_backend.image_encoder import ImageEncoder
    from retrieval.decoding.media.medium import Medium

MAX_REMEMBERED = 1_000  # texts whose vectors are kept, as the next page needs the same ones
MAX_SENTENCES = 1_000  # of one query: each of its texts in every template
MAX_CHARACTERS = 1 << 20  # of all these sentences together
MOMENTS = 8  # of a video to search with
MIN_LENGTH = 1e-3  # of a sum, relative to its weights; a shorter one is only rounding errors


class QueryEncoder:
    """The towers of the model that encoded a catalog, each opened when the first query needs it.

    Any number of threads may embed at once.
    """

    def __init__(self, catalog: Catalog, record: ModelRecord, on: DeviceChoice = ANY) -> None:
        """on: the device for new pictures; unless one is asked for, NumPy encodes a few."""
        self.record, self._on = record, on
        self._catalog = catalog
        self._opening = Lock()
        self._remembering = Lock()
        self._remembered: dict[tuple[str, tuple[str, ...]], NDArray[np.float32]] = {}

    def embed(self, queries: Sequence[Query], templates: Sequence[str] = ()) -> NDArray[np.float32]:
        """Return (Q, D) float32, unit L2 norm. All queries go through each tower together.

        A picture in the catalog is looked up, not encoded (a video is the mean of its moments);
        words in several templates become the
        mean of their vectors. Raises PathNotFound, UnreadablePicture, ModelUnavailable,
        ModelMismatch, and InvalidQuery for a vector of another dimension or terms that cancel out.
        """
        for query in queries:
            _check_size(query, templates)
        sums = [q.terms if isinstance(q, Mix) else (Term(1.0, q),) for q in queries]
        parts = self._embed([term.of for terms in sums for term in terms], templates)
        vectors, start = np.empty((len(queries), self.record.dim), np.float32), 0
        for i, terms in enumerate(sums):
            vectors[i] = _summed(terms, parts[start : start + len(terms)])
            start += len(terms)
        return vectors

    def _embed(
        self, parts: Sequence[Words | Example | Vector], templates: Sequence[str]
    ) -> NDArray[np.float32]:
        vectors = np.empty((len(parts), self.record.dim), np.float32)
        texts = dict[int, str]()
        pictures = dict[int, NDArray[np.uint8]]()
        for i, part in enumerate(parts):
            if isinstance(part, Words):
                texts[i] = part.text
            elif isinstance(part, Vector):
                vectors[i] = self._checked(part)
            elif (seen := self._seen(part)).ndim == 1:
                vectors[i] = seen
            else:
                pictures[i] = seen.astype(np.uint8, copy=False)
        if texts:
            vectors[list(texts)] = self._encode_words(list(texts.values()), templates)
        if pictures:
            vectors[list(pictures)] = self._encode_pictures(list(pictures.values()))
        return vectors

    def _checked(self, query: Vector) -> NDArray[np.float32]:
        if len(query.values) != self.record.dim:
            raise InvalidQuery(
                f"the vector has {len(query.values)} dimensions; this library's model "
                f"({self.record.name}) has {self.record.dim}"
            )
        return query.values

    # -- pictures --------------------------------------------------------------------------------

    def _seen(self, example: Example) -> NDArray[np.float32] | NDArray[np.uint8]:
        """Return the vector (D,) of a picture that is known by path or content, else its pixels
        (S, S, 3).
        """
        picture = example.picture
        if isinstance(picture, Path):
            picture = as_on_disk(picture)
            image_id, held = identified(self._catalog, picture)
            if (known := self._vector(image_id)) is not None:
                return known
            return self._decoded(held or _opened(picture), str(picture))
        if isinstance(picture, bytes):
            return self._known_or_decoded(picture, "these bytes")
        if isinstance(picture, ImageId):
            return self._of_number(picture.id)
        if isinstance(picture, PreparedPicture):
            known = self._vector(self._catalog.images.of_digest(picture.digest))
            return self._fitting(picture) if known is None else known
        if isinstance(picture, Address):
            from retrieval.sources.web.fetch import fetch  # urllib, http and ssl

            return self._known_or_decoded(fetch(picture.url), picture.url)
        from retrieval.decoding import decode

        return decode.pixels_of(picture, self.resize)

    def _known_or_decoded(self, data: bytes, name: str) -> NDArray[np.float32] | NDArray[np.uint8]:
        from retrieval.decoding.media import medium

        held = medium.of_bytes(data)
        known = self._vector(self._catalog.images.of_digest(held.digest))
        return self._decoded(held, name) if known is None else known

    def _decoded(self, held: "Medium", name: str) -> NDArray[np.float32] | NDArray[np.uint8]:
        """Return the pixels of a picture, (S, S, 3), or the vector of what has several moments."""
        try:
            decoded = held.decode(self.resize, MAX_PIXELS, MOMENTS)
        except UnreadablePicture as error:
            raise _unreadable(name, error) from error
        if len(decoded.frames) < 2:
            return decoded.pixels
        return _mean(self._encode_pictures([frame.pixels for frame in decoded.frames]))

    def _of_number(self, image_id: int) -> NDArray[np.float32]:
        if (vector := self._vector(image_id)) is None:
            raise InvalidQuery(
                f"picture {image_id} is not encoded yet or no longer exists; run `retrieve index`"
            )
        return vector

    def _fitting(self, picture: PreparedPicture) -> NDArray[np.uint8]:
        if (pixels := picture.pixels.get(self.resize)) is None:
            raise InvalidQuery("the picture was prepared for another model; upload it again")
        return pixels

    def _vector(self, image_id: int | None) -> NDArray[np.float32] | None:
        """Return a known picture's vector, (D,): the mean over its moments."""
        if image_id is None:
            return None
        vectors = self._catalog.embeddings.of_image(self.record.id, image_id)
        return None if vectors is None else _mean(vectors)

    # -- towers ----------------------------------------------------------------------------------

    def _encode_words(self, texts: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
        """Return (B, D): with several templates the mean vector, normalised again."""
        keys = [(text, tuple(templates)) for text in texts]
        with self._remembering:
            known = {key: self._remembered[key] for key in keys if key in self._remembered}
        if new := [key for key in dict.fromkeys(keys) if key not in known]:
            encoded = self._encode_new_words([text for text, _ in new], templates)
            known.update(zip(new, encoded, strict=True))
            with self._remembering:
                self._remembered.update((key, known[key]) for key in new)
                while len(self._remembered) > MAX_REMEMBERED:
                    del self._remembered[next(iter(self._remembered))]
        return np.stack([known[key] for key in keys])

    def _encode_new_words(
        self, texts: Sequence[str], templates: Sequence[str]
    ) -> NDArray[np.float32]:
        with self._opening:
            tower = self._text_tower
        sentences = [sentence for text in texts for sentence in filled(templates, text)]
        vectors = tower.encode(sentences).reshape(len(texts), -1, self.record.dim).mean(axis=1)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = vectors / lengths
        return unit

    def _encode_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Encode pictures, (S, S, 3) each, to (B, D)."""
        with self._opening:
            few = "torch" not in sys.modules and len(pictures) <= most_in_numpy(self._model)
            is_light = few and not self._on.needs_torch
            tower = self._light_image_tower if is_light else self._image_tower
        starts = range(0, len(pictures), tower.batch_size)
        batches = (np.stack(pictures[i : i + tower.batch_size]) for i in starts)
        return np.concatenate([tower.encode(batch) for batch in batches])

    @property
    def resize(self) -> Resize:
        """How the model's pixels are made. Raises ModelUnavailable, ModelMismatch."""
        with self._opening:
            return self._model.config.pixels

    @property
    def logits(self) -> tuple[float, float | None]:
        """The factor of cosines in the model's training, and its bias if it has one (SigLIP)."""
        with self._opening:
            return self._text_tower.scale, self._text_tower.bias

    # Each is opened once, by the thread that holds the lock.

    @cached_property
    def _model(self) -> "ModelFolder":
        return choice.of_library(self.record)

    @cached_property
    def _text_tower(self) -> "TextEncoder":
        from clipmodel.numpy_backend.text_encoder import TextEncoder

        return TextEncoder(self._model)

    @cached_property
    def _image_tower(self) -> "ImageEncoder":
        return in_torch(self._model, device_or_default(self._on.device), self._on.precision)

    @cached_property
    def _light_image_tower(self) -> "NumpyImageEncoder":
        return in_numpy(self._model)


def identified(catalog: Catalog, path: Path) -> "tuple[int | None, Medium | None]":
    """Return the id of the image in a file, found by path or else by content; and that file if it
    had to be opened. Raises PathNotFound, UnreadablePicture.
    """
    if (image_id := catalog.places.image_of_path(path)) is not None:
        return image_id, None
    if (image_id := catalog.containers.image_of_member(path)) is not None:
        return image_id, None
    held = _opened(path)
    return catalog.images.of_digest(held.digest), held


def _opened(path: Path) -> "Medium":
    from retrieval.decoding.media import medium

    try:
        return medium.opened(path)
    except FileNotFoundError as error:
        raise PathNotFound(f"no such picture: {path}") from error
    except UnreadablePicture as error:
        raise _unreadable(str(path), error) from error


def _check_size(query: Query, templates: Sequence[str]) -> None:
    """Refuse a query that would take minutes to encode. Raises InvalidQuery."""
    terms = query.terms if isinstance(query, Mix) else (Term(1.0, query),)
    texts = [term.of.text for term in terms if isinstance(term.of, Words)]
    if (sentences := len(texts) * max(1, len(templates))) > MAX_SENTENCES:
        raise InvalidQuery(
            f"{len(texts):,} descriptions × {len(templates) or 1:,} templates are {sentences:,} "
            f"sentences; the limit is {MAX_SENTENCES:,}"
        )
    length, fixed = sum(map(len, texts)), sum(map(len, templates or (HOLE,)))
    holes = sum(template.count(HOLE) for template in templates or (HOLE,))
    if (characters := length * holes + len(texts) * fixed) > MAX_CHARACTERS:
        raise InvalidQuery(
            f"the sentences of this query have {characters:,} characters in total; "
            f"the limit is {MAX_CHARACTERS:,}"
        )


def _summed(terms: Sequence[Term], parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weighted sum of (T, D), (D,), normalised so that scores stay cosines."""
    if len(terms) == 1 and terms[0].weight > 0:
        alone: NDArray[np.float32] = parts[0]
        return alone
    total = np.array([term.weight for term in terms], np.float64) @ parts
    length = float(np.linalg.norm(total))
    if length < MIN_LENGTH * sum(abs(term.weight) for term in terms):
        raise InvalidQuery("the terms of the query cancel each other out; change one of them")
    summed: NDArray[np.float32] = (total / length).astype(np.float32)
    return summed


def _mean(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of (M, D), unit L2 norm: (D,)."""
    if len(vectors) == 1:
        alone: NDArray[np.float32] = vectors[0]
        return alone
    mean = vectors.mean(axis=0)
    unit: NDArray[np.float32] = mean / np.linalg.norm(mean)
    return unit


def _unreadable(name: str, error: UnreadablePicture) -> UnreadablePicture:
    return UnreadablePicture(f"cannot use {name}: {error}", error.code, error.limit)
