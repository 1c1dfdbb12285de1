"""Queries → unit vectors in the space of a library's model, with as little work as possible."""

import sys
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrieval import models
from retrieval.catalog import Catalog
from retrieval.errors import InvalidQuery, PathNotFound, UnreadablePicture
from retrieval.query import Query, Vector, Words
from retrieval.records import ModelRecord

if TYPE_CHECKING:
    import PIL.Image

    from clipmodel.image_encoder import ImageEncoder
    from clipmodel.numpy_image_encoder import NumpyImageEncoder
    from clipmodel.pretrained import ModelFolder
    from clipmodel.text_encoder import TextEncoder

FEW = 4  # pictures that take NumPy less time than importing torch (2 s), even with a ViT-L/14


class Embedder:
    """The towers of the model that encoded a catalog, each opened when the first query needs it.

    Any number of threads may embed at once.
    """

    def __init__(self, catalog: Catalog, record: ModelRecord) -> None:
        self.record = record
        self._catalog = catalog
        self._opening = threading.RLock()

    def embed(self, queries: Sequence[Query]) -> NDArray[np.float32]:
        """(Q, D) float32, unit L2 norm; what has to be encoded goes through each tower together.

        A picture that the catalog knows is looked up. Raises PathNotFound, UnreadablePicture,
        InvalidQuery for a vector of another dimension, ModelUnavailable, ModelMismatch.
        """
        vectors = np.empty((len(queries), self.record.dim), np.float32)
        texts = dict[int, str]()
        pictures = dict[int, NDArray[np.uint8]]()
        for i, query in enumerate(queries):
            if isinstance(query, Words):
                texts[i] = query.text
            elif isinstance(query, Vector):
                vectors[i] = self._checked(query)
            elif not isinstance(query.picture, Path):
                pictures[i] = self._pixels(query.picture)
            elif isinstance(found := self._known(query.picture), bytes):
                pictures[i] = self._decode(found, query.picture)
            else:
                vectors[i] = found
        if texts:
            vectors[list(texts)] = self._encode_words(list(texts.values()))
        if pictures:
            vectors[list(pictures)] = self._encode_pictures(list(pictures.values()))
        return vectors

    def _checked(self, query: Vector) -> NDArray[np.float32]:
        if len(query.values) != self.record.dim:
            raise InvalidQuery(
                f"a vector for this library has {self.record.dim} dimensions "
                f"(it holds {self.record.name!r}), not {len(query.values)}"
            )
        return query.values

    # -- pictures --------------------------------------------------------------------------------

    def _known(self, path: Path) -> NDArray[np.float32] | bytes:
        """The vector of a file that is known, by its place or its content; else its bytes."""
        known = self._vector(self._catalog.image_of_path(path))
        if known is not None:
            return known
        from retrieval import decode

        try:
            data = decode.read(path)
        except FileNotFoundError as error:
            raise PathNotFound(f"no such picture: {path}") from error
        except UnreadablePicture as error:
            raise _unreadable(path, error) from error
        known = self._vector(self._catalog.image_of_digest(decode.digest_of(data)))
        return data if known is None else known

    def _vector(self, image_id: int | None) -> NDArray[np.float32] | None:
        return None if image_id is None else self._catalog.vector(self.record.id, image_id)

    def _decode(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        from retrieval import decode

        try:
            return decode.decode(data, self._side).pixels
        except UnreadablePicture as error:
            raise _unreadable(path, error) from error

    def _pixels(self, picture: "PIL.Image.Image") -> NDArray[np.uint8]:
        from retrieval import decode

        return decode.pixels_of(picture, self._side)

    # -- towers ----------------------------------------------------------------------------------

    def _encode_words(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with self._opening:
            tower = self._text_tower
        return tower.encode(texts)

    def _encode_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(S, S, 3) each -> (B, D). One thread at a time, as torch's tower wants it."""
        with self._opening:
            is_light = len(pictures) <= FEW and "torch" not in sys.modules
            tower = self._light_image_tower if is_light else self._image_tower
            starts = range(0, len(pictures), tower.batch_size)
            batches = (np.stack(pictures[i : i + tower.batch_size]) for i in starts)
            return np.concatenate([tower.encode(batch) for batch in batches])

    @property
    def _side(self) -> int:
        with self._opening:
            return self._model.config.vision.image_size

    # Each is opened once, by whoever holds the lock.

    @cached_property
    def _model(self) -> "ModelFolder":
        return models.of_library(self.record)

    @cached_property
    def _text_tower(self) -> "TextEncoder":
        from clipmodel.text_encoder import TextEncoder

        return TextEncoder(self._model)

    @cached_property
    def _image_tower(self) -> "ImageEncoder":
        from clipmodel.image_encoder import ImageEncoder  # imports torch

        return ImageEncoder(self._model)

    @cached_property
    def _light_image_tower(self) -> "NumpyImageEncoder":
        from clipmodel.numpy_image_encoder import NumpyImageEncoder

        return NumpyImageEncoder(self._model)


def _unreadable(path: Path, error: UnreadablePicture) -> UnreadablePicture:
    return UnreadablePicture(f"cannot search for {path}: {error}")
