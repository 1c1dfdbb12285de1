"""Objects at addresses, such as s3://bucket/holiday, by fsspec. Those of http are in `web/`."""

import hashlib
import os
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from io import BufferedIOBase
from typing import Any, cast

from retrieval.address import scheme_of
from retrieval.decoding.limits import MAX_BYTES
from retrieval.errors import FailureCode, SourceUnavailable, UnreadablePicture
from retrieval.records import Found
from retrieval.sources.entry import Entry, Part
from retrieval.sources.options import Options, as_arguments
from retrieval.sources.source import FileKind

INSTALL = 'install what reads it: pip install ".[cluster]"'
TIMES = ("LastModified", "mtime", "updated", "modified", "last_modified", "created")
ETAGS = ("ETag", "etag", "e_tag", "md5Hash", "content_hash", "version_id", "generation")
VERSION = "?versionId="  # ends a key for s3fs, so that one which has it cannot be read
BLOCK = 1 << 20  # bytes read at a time where the size is not known
SHARD_BLOCK = 8 << 20  # bytes read ahead in a shard


class Remote:
    """The objects below one address."""

    def __init__(self, address: str, options: Options = ()) -> None:
        """Raises SourceUnavailable if nothing is installed that reads such addresses."""
        self._address = address.rstrip("/")
        self._files = file_system(scheme_of(address), options)

    @classmethod
    def at(cls, entry: Entry) -> "Object":
        """Return the object that holds the bytes of an entry."""
        address = os.fsdecode(entry.path)
        return Object(file_system(scheme_of(address), entry.options), address)

    def kind(self, path: bytes) -> FileKind | None:
        """Return what is at a path. What has both is a folder."""
        at = self._at(path)
        with explained(at):
            if self._files.isdir(at):
                return "folder"
            return "file" if self._files.exists(at) else None

    def matching(self, pattern: str) -> list[str]:
        """Return the addresses that match a pattern with *, sorted."""
        with explained(pattern):
            found = self._files.glob(pattern)
        return sorted(self._files.unstrip_protocol(each) for each in found)

    def look_at(self, path: bytes) -> Found | None:
        at = self._at(path)
        with explained(at):
            try:
                info = self._files.info(at)
            except FileNotFoundError:
                return None
        return found(path, info) if info.get("type") == "file" else None

    def open(self, path: bytes) -> BufferedIOBase:
        with explained(self._at(path)):
            opened = self._files.open(self._at(path), "rb", block_size=SHARD_BLOCK)
        return cast(BufferedIOBase, opened)

    def listed(self, inside: bytes) -> Iterator[tuple[bytes, Found | None]]:
        """Yield what is in a folder: path, and the file, or None for a folder.

        Raises OSError if it cannot be listed.
        """
        at = self._at(inside)
        base = self._files._strip_protocol(at).rstrip("/")
        for info in self._files.ls(at, detail=True, refresh=True):
            name = str(info["name"]).rstrip("/")
            if info.get("type") == "directory" and str(info["name"]) == base + "/":
                yield os.path.join(inside, b""), None  # of keys with "//"
                continue
            if not name.startswith(base + "/"):
                continue  # the folder itself, or a link that leads elsewhere
            last = name[len(base) + 1 :]
            if not last or "/" in last or VERSION in last:
                continue
            path = os.path.join(inside, os.fsencode(last))
            if info.get("type") == "directory" or str(info["name"]).endswith("/"):
                yield path, None
            else:
                yield path, found(path, info)

    def _at(self, path: bytes) -> str:
        return posixpath.join(self._address, os.fsdecode(path)) if path else self._address


class Object:
    """One object, which may be a shard."""

    def __init__(self, files: Any, address: str) -> None:
        self._files = files
        self._address = address

    def read(self, part: Part | None = None) -> bytes:
        """Return its bytes, or a part of them. Raises OSError, UnreadablePicture.

        Its size was bounded when it was listed; some servers refuse a range beyond the end.
        """
        with in_one_kind(self._address):
            if part:
                end = part.offset + part.size
                data = self._files.cat_file(self._address, start=part.offset, end=end)
            else:
                data = self._files.cat_file(self._address)
        if len(data) > MAX_BYTES:
            said = f"it has more than {MAX_BYTES:,} bytes"
            raise UnreadablePicture(said, FailureCode.TOO_MANY_BYTES)
        return bytes(data)


def found(path: bytes, info: Mapping[str, Any]) -> Found:
    """Return an object as a file. Its ctime stands for its ETag, so that another one is seen."""
    etag = next((str(info[name]) for name in ETAGS if info.get(name)), "")
    version = hashlib.blake2b(etag.encode(), digest_size=8).digest() if etag else b""
    size, ctime_ns = int(info.get("size") or 0), int.from_bytes(version) >> 1
    return Found(path, size, _nanoseconds(info), ctime_ns, 0)


def _nanoseconds(info: Mapping[str, Any]) -> int:
    for name in TIMES:
        when = info.get(name)
        if isinstance(when, str):
            try:
                when = datetime.fromisoformat(when)
            except ValueError:
                continue
        if isinstance(when, datetime):
            when = when if when.tzinfo else when.replace(tzinfo=UTC)
            return int(when.timestamp()) * 1_000_000_000 + when.microsecond * 1_000
        if isinstance(when, int | float):
            return round(when * 1_000_000) * 1_000
    return 0


@lru_cache(maxsize=64)
def file_system(scheme: str, options: Options) -> Any:
    """Return fsspec's file system for addresses of a scheme. Raises SourceUnavailable."""
    try:
        import fsspec
    except ImportError as error:
        raise SourceUnavailable(f"{scheme}:// cannot be read here; {INSTALL}") from error
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise SourceUnavailable(f"{scheme}:// cannot be read here: {error}") from error
    except ValueError as error:
        raise SourceUnavailable(f"{scheme}:// is not a known kind of address") from error
    try:
        return kind(use_listings_cache=False, **as_arguments(options))
    except TypeError as error:
        raise SourceUnavailable(f"a storage option of {scheme}:// is unknown: {error}") from error


@contextmanager
def in_one_kind(address: str) -> Iterator[None]:
    """Raise every error of a storage as an OSError with one line for users."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise type(error)(error.errno, _said(error), address) from error
        raise OSError(error.errno, _said(error), address) from error
    except UnreadablePicture:
        raise
    except Exception as error:  # of the storage's own client
        raise OSError(None, _said(error), address) from error


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Raise every error of a storage as SourceUnavailable, but for FileNotFoundError."""
    try:
        with in_one_kind(address):
            yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SourceUnavailable(f"cannot reach {address}: {error.strerror or error}") from error


def _said(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error)
    return " ".join(str(said).split()) or type(error).__name__
