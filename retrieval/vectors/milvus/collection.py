"""One collection: the vectors of one model in one library."""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from indexes.exact import best
from retrieval.errors import VectorsUnavailable
from retrieval.vectors.milvus.address import MilvusAddress
from retrieval.vectors.milvus.connection import (
    CALL_SECONDS,
    WRITE_SECONDS,
    connect,
    explained,
    release,
)
from retrieval.vectors.milvus.entities import EXTRA_COLUMNS, MAX_CAMERA_BYTES, MAX_FOLDERS, Entity

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

IndexKind = Literal["FLAT", "HNSW", "DISKANN"]
BUILD: dict[IndexKind, dict[str, int]] = {
    "FLAT": {},
    "HNSW": {"M": 32, "efConstruction": 256},
    "DISKANN": {},
}
# The candidates that a search keeps: more of them miss less, and it returns no more than these.
EFFORT = {"HNSW": "ef", "DISKANN": "search_list"}
MAX_LIMIT = 16_384  # results of one search
PAGE = 10_000  # rows of a listing
INDEXED = ("image", "taken", "modified", "camera", "format", "width", "height", "folders")


class MilvusCollection:
    """A collection in an open Milvus. Methods raise VectorsUnavailable. Threads may share it."""

    def __init__(self, address: MilvusAddress, name: str, dim: int) -> None:
        """Connect; `close` has to follow. dim: of the model's vectors."""
        self.address = address
        self.name = name
        self._dim = dim + EXTRA_COLUMNS
        self._process = os.getpid()
        self._opened: MilvusClient = connect(address)

    def close(self) -> None:
        release(self.address)

    @property
    def _client(self) -> "MilvusClient":
        if self._process != os.getpid():  # gRPC has no threads here
            raise VectorsUnavailable(f"{self.address.shown} was opened before a fork")
        return self._opened

    @property
    def number_type(self) -> type[np.floating[Any]]:
        """The type of a vector's numbers: Milvus Lite has no float16."""
        return np.float32 if self.address.is_lite else np.float16

    def exists(self) -> bool:
        with explained(self.address):
            return bool(self._client.has_collection(self.name, timeout=CALL_SECONDS))

    def create(self) -> None:
        """Create the collection, empty, in place of one that may exist."""
        with explained(self.address):
            self._client.drop_collection(self.name, timeout=CALL_SECONDS)
            schema = self._schema()
            params = self._client.prepare_index_params()
            params.add_index("vector", index_type="FLAT", metric_type="IP")
            for name in () if self.address.is_lite else INDEXED:
                params.add_index(name, index_type="INVERTED")
            self._client.create_collection(
                self.name, schema=schema, index_params=params, timeout=CALL_SECONDS
            )

    def drop(self, name: str) -> None:
        """Drop a collection, this one or one of another model."""
        with explained(self.address):
            self._client.drop_collection(name, timeout=CALL_SECONDS)

    def count(self, expression: str = "") -> int:
        """Count the vectors that an expression selects, as of now."""
        with explained(self.address):
            [row] = self._client.query(
                self.name,
                filter=expression,
                output_fields=["count(*)"],
                consistency_level="Strong",
                timeout=CALL_SECONDS,
            )
        return int(row["count(*)"])

    def index_kind(self) -> str:
        with explained(self.address):
            described = self._client.describe_index(self.name, "vector", timeout=CALL_SECONDS)
        return str(described["index_type"])

    def set_index(self, kind: IndexKind) -> None:
        """Index the vectors anew. Searches fail until that is done."""
        with explained(self.address):
            self._client.release_collection(self.name, timeout=CALL_SECONDS)
            self._client.drop_index(self.name, "vector", timeout=CALL_SECONDS)
            params = self._client.prepare_index_params()
            params.add_index("vector", index_type=kind, metric_type="IP", params=BUILD[kind])
            self._client.create_index(self.name, params)  # it waits until the index is built
            self._client.load_collection(self.name)

    def put(self, entities: Sequence[Entity]) -> None:
        """Add rows, or replace those with the same ids."""
        if entities:
            with explained(self.address):
                self._client.upsert(self.name, list(entities), timeout=WRITE_SECONDS)

    def remove(self, expression: str) -> None:
        """Remove the rows that an expression selects."""
        with explained(self.address):
            self._client.delete(self.name, filter=expression, timeout=WRITE_SECONDS)

    def search(
        self,
        queries: NDArray[np.float32],
        limit: int,
        expression: str,
        params: dict[str, int],
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return inner products with queries (Q, D + EXTRA_COLUMNS) and ids, (Q, k), best first,
        ties by id; k is at most `limit`, and an id of -1 means none.
        """
        with explained(self.address):
            found = self._client.search(
                self.name,
                list(queries.astype(self.number_type)),
                anns_field="vector",
                limit=limit,
                filter=expression,
                output_fields=["id"],
                search_params={"metric_type": "IP", "params": params},
                timeout=CALL_SECONDS,
            )
        longest = max(map(len, found), default=0)
        scores = np.full((len(queries), longest), -np.inf, np.float32)
        ids = np.full((len(queries), longest), -1, np.int64)
        for row, hits in enumerate(found):
            scores[row, : len(hits)] = [hit["distance"] for hit in hits]
            ids[row, : len(hits)] = [hit["id"] for hit in hits]
        return best(scores, ids, limit)

    def rows(self, expression: str, fields: Sequence[str]) -> Iterator[list[Entity]]:
        """Yield all rows that an expression selects, in pages."""
        with explained(self.address):
            pages = self._client.query_iterator(
                self.name,
                batch_size=PAGE,
                filter=expression,
                output_fields=list(fields),
                consistency_level="Strong",
                timeout=CALL_SECONDS,
            )
            try:
                while page := pages.next():
                    yield page
            finally:
                pages.close()

    def _schema(self) -> "CollectionSchema":
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        is_lite = self.address.is_lite
        vector = DataType.FLOAT_VECTOR if is_lite else DataType.FLOAT16_VECTOR
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("image", DataType.INT64)
        schema.add_field("vector", vector, dim=self._dim)
        schema.add_field("taken", DataType.INT64, nullable=True)  # microseconds, local time
        schema.add_field("modified", DataType.INT64, nullable=True)  # nanoseconds
        schema.add_field("camera", DataType.VARCHAR, max_length=MAX_CAMERA_BYTES, nullable=True)
        schema.add_field("latitude", DataType.DOUBLE, nullable=True)  # degrees
        schema.add_field("longitude", DataType.DOUBLE, nullable=True)
        schema.add_field("width", DataType.INT64)
        schema.add_field("height", DataType.INT64)
        schema.add_field("format", DataType.VARCHAR, max_length=64)
        schema.add_field(
            "folders",
            DataType.ARRAY,
            element_type=DataType.INT64,
            max_capacity=MAX_FOLDERS,
        )
        return schema
