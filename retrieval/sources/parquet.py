"""Parquet files, by pyarrow: the only module that knows it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import FailureCode, SourceUnavailable, UnreadablePicture

if TYPE_CHECKING:
    pass

INSTALL = 'install what reads and writes it: pip install ".[cluster]"'
BATCH_ROWS = 5_000

Columns = Mapping[str, Sequence[object]]


@contextmanager
def known() -> Iterator[None]:
    """Raise SourceUnavailable if pyarrow is not installed."""
    try:
        yield
    except ImportError as error:
        raise SourceUnavailable(f"parquet is not known here; {INSTALL}") from error


def rows(
    file: BufferedIOBase | Path, wanted: Collection[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file as dictionaries. wanted: lower-case names of columns; None: all.

    Raises UnreadablePicture for anything that is not parquet.
    """
    with known():
        from pyarrow import ArrowException, parquet
    try:
        table = parquet.ParquetFile(file)
        names = table.schema_arrow.names
        columns = [name for name in names if wanted is None or name.lower() in wanted]
        for batch in table.iter_batches(BATCH_ROWS, columns=columns):
            yield from batch.to_pylist()
    except (ArrowException, OSError, ValueError, OverflowError) as error:  # such as invalid UTF-8
        raise damaged(error) from error


def count(file: Path) -> int:
    """Return the number of rows. Raises UnreadablePicture."""
    with known():
        from pyarrow import ArrowException, parquet
    try:
        return int(parquet.ParquetFile(file).metadata.num_rows)
    except (ArrowException, OSError) as error:
        raise damaged(error) from error


def names(file: BufferedIOBase | Path) -> list[str]:
    """Return the names of a file's columns. Raises UnreadablePicture."""
    with known():
        from pyarrow import ArrowException, parquet
    try:
        return list(parquet.ParquetFile(file).schema_arrow.names)
    except (ArrowException, OSError) as error:
        raise damaged(error) from error


def damaged(error: Exception) -> UnreadablePicture:
    said = f"it cannot be read as parquet: {' '.join(str(error).split())}"
    return UnreadablePicture(said, FailureCode.DAMAGED)


class VectorTable:
    """A file with a column of vectors and others, written in parts. A context manager.

    The vectors are lists of float32, not of a fixed size: what reads both reads these.
    """

    def __init__(self, path: Path, kinds: Mapping[str, str], about: Mapping[str, str]) -> None:
        """kinds: Arrow's type of each column, by name. about: metadata of the file."""
        with known():
            import pyarrow
            from pyarrow import parquet
        fields = [(name, getattr(pyarrow, kind)()) for name, kind in kinds.items()]
        vector = ("vector", pyarrow.list_(pyarrow.float32()))
        self._schema = pyarrow.schema([*fields, vector]).with_metadata(dict(about))
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> "VectorTable":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, columns: Columns, vectors: NDArray[np.float32]) -> None:
        """Append rows: columns by name, and vectors (n, D)."""
        import pyarrow

        ends = np.arange(0, vectors.size + 1, vectors.shape[1] or 1, dtype=np.int32)
        held: pyarrow.Array = pyarrow.ListArray.from_arrays(ends, vectors.ravel())
        arrays = [pyarrow.array(columns[name], self._schema.field(name).type) for name in columns]
        self._writer.write_batch(
            pyarrow.record_batch([*arrays, held], schema=self._schema), row_group_size=100_000
        )
