"""Lists of addresses: CSV, TSV, JSON lines and parquet, each row a picture on the web."""

import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BufferedIOBase
from typing import Any, cast

from retrieval.address import has_user
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.records import Facts
from retrieval.sources import parquet, sample
from retrieval.sources.container import Container
from retrieval.sources.entry import Entry

PER_HOST = 2  # requests at a time to one host
MAX_URL = 4_096  # characters
MAX_FIELD = 1 << 20  # characters of a cell
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """How a list is read, and its pictures fetched. The catalog remembers it with the list."""

    url_column: str = "url"
    caption_column: str | None = None  # None: caption, text, title and the like
    per_host: int = PER_HOST
    allow_private: bool = False  # addresses that are not public

    def stored(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, stored: str | None) -> "ListOptions":
        """Read what `stored` wrote; anything else counts as the default."""
        try:
            held = json.loads(stored or "{}")
            return cls(**{name: held[name] for name in cls.__slots__ if name in held})
        except (ValueError, TypeError):
            return cls()


@dataclass(frozen=True, slots=True)
class ListedAddress:
    """A row of a list."""

    url: str
    facts: Facts | None


class AddressList:
    """The rows of a list. Iterate over `rows` once; then the rest is known."""

    def __init__(self, file: BufferedIOBase, name: str, how: ListOptions) -> None:
        """name: of the file; its extension tells the form."""
        self.unusable = 0  # rows without an address of http or https
        self.repeated = 0  # rows whose address came before
        self._file = file
        self._form = name.lower().rpartition(".")[2]
        self._how = how
        self._seen: set[bytes] = set()

    def rows(self) -> Iterator[ListedAddress]:
        """Yield each address once. Raises UnreadablePicture, also where the list is damaged after
        everything in front of it, or lacks a column.
        """
        for row in self._raw():
            held = {str(name).lower(): value for name, value in row.items() if name is not None}
            url = str(held.pop(self._how.url_column.lower(), None) or "").strip()
            key = url.encode("utf-8", "surrogatepass")
            if not is_web(url):
                self.unusable += 1
            elif key in self._seen:
                self.repeated += 1
            else:
                self._seen.add(key)
                yield ListedAddress(url, self._facts(held))

    def _facts(self, held: dict[str, Any]) -> Facts | None:
        if self._how.caption_column:
            held = {"caption": held.get(self._how.caption_column.lower())}
        held.pop("url", None)
        return sample.facts_of_columns(held)

    def _raw(self) -> Iterator[Row]:
        if self._form == "parquet":
            return self._parquet()
        return self._json_lines() if self._form in ("jsonl", "ndjson") else self._csv()

    def _csv(self) -> Iterator[Row]:
        file = cast(io.BufferedReader, self._file)
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
        csv.field_size_limit(MAX_FIELD)
        try:
            first = text.readline()
            between = max(",;", key=first.count)  # Excel writes ; where the decimal sign is a comma
            lines = itertools.chain([first], text)
            reader = csv.DictReader(lines, delimiter="\t" if self._form == "tsv" else between)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            self._check(reader.fieldnames)
            yield from reader
        except csv.Error as error:
            raise damaged(f"the list is damaged: {error}") from error
        finally:
            text.detach()

    def _json_lines(self) -> Iterator[Row]:
        is_checked = False
        for number, line in enumerate(self._file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise damaged(f"line {number:,} of the list is not JSON") from error
            if not isinstance(row, dict):
                raise damaged(f"line {number:,} of the list is not a JSON object")
            if not is_checked:
                self._check(list(row))
                is_checked = True
            yield row

    def _parquet(self) -> Iterator[Row]:
        names = parquet.names(self._file)
        self._check(names)
        yield from parquet.rows(self._file, self._columns())

    def _columns(self) -> set[str]:
        """Return the columns that are used: others may hold the pictures themselves."""
        wanted = {self._how.url_column.lower(), "exif"}
        wanted |= {name for _, several in sample.NAMES for name in several}
        return wanted | ({self._how.caption_column.lower()} if self._how.caption_column else set())

    def _check(self, names: Sequence[str]) -> None:
        known = [name.lower() for name in names]
        for option, column in (
            ("--url-column", self._how.url_column),
            ("--caption-column", self._how.caption_column),
        ):
            if column is not None and column.lower() not in known:
                if not names:
                    raise UnreadablePicture("the list is empty", FailureCode.EMPTY)
                said = ", ".join(names[:20])
                raise damaged(f"the list has no column {column!r}, only {said}; see {option}")


def is_web(url: str) -> bool:
    """Return whether a text may be an address of http or https, and has no password, which the
    catalog would hold and show.
    """
    scheme, sign, rest = url.partition("://")
    is_sound = sign and rest and len(url) <= MAX_URL and url.isprintable() and " " not in url
    return bool(is_sound) and not has_user(url) and scheme.lower() in ("http", "https")


def damaged(said: str) -> UnreadablePicture:
    return UnreadablePicture(said, FailureCode.DAMAGED)


def entry_in(container: Container, path: bytes) -> Entry:
    """Return the entry of a member of a list, by its path below the root."""
    how = ListOptions.read(container.options)
    manners = ("per_host", str(how.per_host)), ("allow_private", str(how.allow_private))
    return Entry(path[len(container.path) + 1 :], None, manners)
