"""A vector store: a mapped FAISS file, plus a scan of the newer vectors in the catalog (the tail).

Results are right whatever happens to the file: if it is missing, damaged or another library's, it
is built again, or the whole catalog is scanned.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipmodel.pools import Lock
from indexes import DamagedIndex
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import Ids, Selection
from retrieval.errors import LibraryBusy, LibraryReadOnly
from retrieval.paths import identity
from retrieval.records import ModelRecord
from retrieval.vectors import index_file
from retrieval.vectors.hubness import is_measured, with_weights
from retrieval.vectors.scan import CatalogScan, merged
from retrieval.vectors.store import Nearest

if TYPE_CHECKING:
    from indexes import VectorIndex

LOOK_SECONDS = 60.0  # between two looks how far a file is behind the runs of other machines
# Times the last build's duration before the next, as their runs may outdate it again and again.
BUILD_PAUSES = 10
SMALL_FILE_BYTES = 4 << 20  # the catalog reads as many vectors in some 10 ms


class FileStore:
    """The `VectorStore` of a library on one machine."""

    def __init__(self, catalog: Catalog, model: ModelRecord) -> None:
        self._catalog = catalog
        self._model = model
        self._scan = CatalogScan(catalog, model)
        self._opening = Lock()
        self._stamp: tuple[int, ...] | None = None
        self._index: VectorIndex | None = None
        self._is_first = True
        self._next_look = self._next_build = 0.0  # of the monotonic clock

    def prepare(self) -> None:
        if index := self.index():
            index.read_ahead()

    def search(
        self,
        queries: NDArray[np.float32],
        limit: int,
        allowed: Selection | None,
        weights: NDArray[np.float32],
    ) -> Nearest:
        index = self.index()
        self._is_first = False
        if index is None:
            return self._scan.search(queries, limit, allowed, weights)
        last_id = max(index.last_id, 0)
        tail = self._scan.search(queries, limit, allowed, weights, after=last_id)
        longer = with_weights(queries, weights) if is_measured(self._model) else queries
        ids = None if allowed is None else self._with_further(allowed.ids)
        found = Nearest(*index.search(longer, limit, ids), unverified=last_id)
        return merged(found, tail, limit)

    def _with_further(self, images: Ids) -> Ids:
        """Return the sorted ids of all vectors of these images."""
        further = self._catalog.embeddings.further(images)
        return np.concatenate([images, further]) if len(further) else images

    def count(self, allowed: Selection, most: int) -> int:
        return min(len(allowed.ids), most)

    def refresh(self) -> None:
        index_file.refresh(self._catalog, self._model)

    def close(self) -> None:
        with self._opening:
            self._index = self._stamp = None

    def distrust(self) -> None:
        """Build the file again; if that fails, do without it until it is replaced."""
        with self._opening:
            self._index = self._rebuild()
            self._stamp = _stamp(self._path)

    def index(self) -> "VectorIndex | None":
        """Return the index, opened again if its file was replaced; None if a scan is better.

        The first search of a small file is faster as a scan, since importing FAISS takes longer.
        """
        with self._opening:
            stamp = _stamp(self._path)
            if not self._catalog.database.may_have_index:
                return None
            if self._is_first and stamp and stamp[2] < SMALL_FILE_BYTES:
                return None
            if stamp is None or stamp != self._stamp:
                self._index, self._stamp = self._open(stamp is not None), stamp
            if self._catalog.database.is_shared and self._index:
                self._follow(self._index)
            return self._index

    @property
    def is_exact(self) -> bool:
        """Return whether a search of the file compares every vector, so that it misses none."""
        return self._index is None or self._index.kind == "flat"

    @property
    def _path(self) -> Path:
        return index_file.path_of(self._catalog, self._model.digest)

    def _open(self, is_there: bool) -> "VectorIndex | None":
        if is_there:
            from indexes import VectorIndex  # FAISS

            with suppress(DamagedIndex):
                index = VectorIndex.open(self._path)
                if index.dim == index_file.dim_of(self._model):
                    return index
        is_long = self._catalog.embeddings.count_vectors(self._model.id) > index_file.MAX_TAIL
        return self._rebuild() if is_long else None  # a few are scanned quickly

    def _follow(self, index: "VectorIndex") -> None:
        """Bring the file up to date if the runs of other machines have left it far behind."""
        if (now := time.monotonic()) < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        longest = int(max(index_file.MAX_TAIL, index_file.MAX_TAIL_FRACTION * index.count))
        tail = self._catalog.embeddings.at_least(self._model.id, longest + 1, index.last_id)
        if tail > longest and self._held(lambda: index_file.refresh(self._catalog, self._model)):
            self._index, self._stamp = self._open(True), _stamp(self._path)

    def _rebuild(self) -> "VectorIndex | None":
        """Build the file; return None if it cannot be written, so that the catalog is scanned."""
        built: list[VectorIndex | None] = []
        began = time.monotonic()
        if self._catalog.database.is_shared and began < self._next_build:
            return None
        self._held(lambda: built.append(index_file.rebuild(self._catalog, self._model)))
        ended = time.monotonic()
        self._next_build = ended + BUILD_PAUSES * (ended - began)
        return built[0] if built else None

    def _held(self, work: Callable[[], None]) -> bool:
        """Do what writes the file; return whether that was possible."""
        from retrieval.catalog.lock import write_lock  # filelock takes 40 ms to import

        try:
            with write_lock(self._catalog.local_folder, is_brief=True):
                work()
        except (LibraryBusy, LibraryReadOnly):
            return False
        return True


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return identity, size and time of a file, which change when it is replaced."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return *identity(status), status.st_size, status.st_mtime_ns
