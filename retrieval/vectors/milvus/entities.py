"""What the catalog holds of an image → the rows of a collection, one for each vector.

`folders` has a key for each file's path and for every folder above it, so that "at or below this
folder" is one lookup in an array of integers. Names would not do: they need not be text, and may be
longer than any field. An image has as many folders as its copies, so it cannot be one column.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.queries.holdings import Holding
from retrieval.catalog.queries.vector_ids import vector_id
from retrieval.vectors.hubness import split

EXTRA_COLUMNS = 2  # after each vector: its hubness, as the sum of two float16
MAX_FOLDERS = 4_096  # of an image, as Milvus's arrays have at most
MAX_CAMERA_BYTES = 1_024
EPOCH = datetime(1970, 1, 1)
FACTS = (
    *("taken", "modified", "camera", "latitude", "longitude"),
    *("width", "height", "format", "folders"),
)

Entity = dict[str, Any]


def entities_of(holding: Holding, as_type: type[np.floating[Any]]) -> Iterator[Entity]:
    """Yield a row for each vector of an image, (D + EXTRA_COLUMNS,) of the type of the field."""
    facts = facts_of(holding)
    for moment, stored, hubness in holding.vectors:
        vector = np.concatenate([np.frombuffer(stored, "<f2"), split(hubness)])
        id = vector_id(holding.image_id, moment)
        yield {"id": id, "image": holding.image_id, "vector": vector.astype(as_type), **facts}


def facts_of(holding: Holding) -> Entity:
    """Return the fields of an image that filters need."""
    taken = holding.taken_at and microseconds(datetime.fromisoformat(holding.taken_at))
    camera = holding.camera and _shortened(holding.camera)
    keys = {key for place in holding.places for key in _folder_keys(*place)}
    values = (
        *(taken, holding.modified_ns, camera, holding.latitude, holding.longitude),
        *(holding.width, holding.height, holding.format, sorted(keys)[:MAX_FOLDERS]),
    )
    return dict(zip(FACTS, values, strict=True))


def microseconds(moment: datetime) -> int:
    """Return a local time as an integer that sorts like it."""
    return (moment.replace(tzinfo=None) - EPOCH) // timedelta(microseconds=1)


def folder_key(root_id: int, path: bytes) -> int:
    """Return the key of a folder or file in a root: 63 bits of a digest."""
    digest = hashlib.blake2b(path, digest_size=8, key=str(root_id).encode())
    return int.from_bytes(digest.digest(), "big") >> 1


def _folder_keys(root_id: int, path: bytes) -> Iterator[int]:
    """Yield the keys of a file, of the folders above it, and of its root."""
    yield folder_key(root_id, path)
    while path:
        path = path.rpartition(b"/")[0]
        yield folder_key(root_id, path)


def _shortened(text: str) -> str:
    return text.encode("utf-8", "replace")[:MAX_CAMERA_BYTES].decode("utf-8", "ignore")


def with_weights(queries: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Append negative weights of hubness (Q,) to queries (Q, D): (Q, D + EXTRA_COLUMNS)."""
    return np.concatenate([queries, np.stack([-weights] * EXTRA_COLUMNS, axis=1)], axis=1)
