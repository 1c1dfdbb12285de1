"""The table that img2dataset writes beside a shard: 00000.parquet beside 00000.tar.

Each row is an address: the key of its sample in the shard, the caption and other columns, and the
status, which is "success" where there is a picture.
"""

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

from retrieval.errors import SourceUnavailable, UnreadablePicture, reason
from retrieval.sources import parquet, sample
from retrieval.sources.container import TAR
from retrieval.sources.source import Source
from retrieval.sources.tar_shard import Table

KEY, STATUS, SUCCESS = "key", "status", "success"
COLUMNS = frozenset((KEY, STATUS, "exif", *chain.from_iterable(names for _, names in sample.NAMES)))
MAX_ROWS = 1_000_000  # that are kept in memory; img2dataset writes 10,000

Row = Mapping[str, Any]


class ShardTable(NamedTuple):
    """What a table says about the samples of its shard."""

    rows: Table | None = None
    failed: int = 0  # addresses that img2dataset could not fetch
    problem: str | None = None  # why there is a table, but unread


def table_beside(source: Source, shard: bytes) -> ShardTable:
    """Return the table beside a shard, given by its path; an empty one if there is none, or if it
    has no keys. Raises SourceUnavailable where the source is out of reach.
    """
    path = shard[: -len(TAR)] + b".parquet"
    if source.look_at(path) is None:
        return ShardTable()
    try:
        with source.open(path) as file:
            names = {name.lower() for name in parquet.names(file)}
            return _read(parquet.rows(file, COLUMNS)) if KEY in names else ShardTable()
    except FileNotFoundError:  # a server that answers no HEAD
        return ShardTable()
    except SourceUnavailable as error:
        return ShardTable(problem=f"tables beside shards are not read: {error}")
    except (UnreadablePicture, OSError) as error:
        said = reason(error) if isinstance(error, OSError) else str(error)
        return ShardTable(problem=f"the table beside it is not read: {said}")


def _read(rows: Iterable[Row]) -> ShardTable:
    held, failed = dict[bytes, Row](), 0
    for row in islice(rows, MAX_ROWS):
        named = {name.lower(): value for name, value in row.items()}
        key, status = named.pop(KEY), named.pop(STATUS, SUCCESS)
        if status == SUCCESS:
            held[str(key).encode()] = named
        else:
            failed += 1
    return ShardTable(held, failed)
