"""Tar shards: each regular member that is named as a picture is one, read by its offset.

Nothing is unpacked. Members are listed by their headers alone, so a local shard of any size costs
a few reads a member. A shard may come from anywhere: a header may lie about sizes and offsets.
"""

import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BufferedIOBase
from typing import Any, cast

from retrieval.decoding.formats import picture_extensions
from retrieval.decoding.kinds.names import Kind, extension_of, kind_by_name, lacking
from retrieval.decoding.limits import MAX_BYTES as MAX_PICTURE_BYTES
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.records import Facts, Failure, fitting
from retrieval.sources import sample
from retrieval.sources.entry import Part

BLOCK = 512  # bytes
MAX_HEADER = 1 << 20  # bytes of one header: pax records, and long names
MAX_KEPT = 16 << 20  # bytes of a member that comes with its bytes
SIDECARS = (b"txt", b"json")
MAX_NAME = 4_096  # bytes
Table = Mapping[bytes, Mapping[str, Any]]  # by key: columns by their lower-case names
CUT_OFF = "the shard ends in the middle of a member; it was cut off"


@dataclass(frozen=True, slots=True)
class Member:
    """A picture in a shard, with what lies beside it under the same key."""

    name: bytes  # '/'-separated, without "." and ".."
    part: Part
    mtime_ns: int
    facts: Facts | None = None
    failure: Failure | None = None  # why it cannot be read
    data: bytes | None = None  # its bytes, if the shard keeps them


@dataclass(slots=True)
class Sample:
    """The members of one key so far."""

    key: bytes = b""
    pictures: list[Member] = field(default_factory=list)
    beside: dict[bytes, bytes] = field(default_factory=dict)  # extension -> bytes

    def members(self, table: Table) -> Iterator[Member]:
        row = table.get(self.key.rpartition(b"/")[2])
        facts = sample.facts_of(self.beside.get(b"txt"), self.beside.get(b"json"), row)
        for each in self.pictures:
            yield replace(each, facts=facts)


class TarShard:
    """The members of a shard, in their order. Iterate over `members` once; the rest is then known.

    `members` raises UnreadablePicture where the shard is damaged, or ends too early, after
    everything in front of it.
    """

    def __init__(
        self, file: BufferedIOBase, size: int, *, keeps: bool = False, table: Table | None = None
    ) -> None:
        """file: open for reading, at its start. size: of the whole shard, in bytes. keeps: whether
        members come with their bytes, as where reading them later would take another request.
        table: what is said elsewhere of samples without a .json, by key.
        """
        self._keeps = keeps
        self._table = table or {}
        self.left_out: Counter[tuple[Kind, bytes]] = Counter()  # kind, extension
        self.unsafe = 0  # members whose names lead out of the shard, or were there before
        self.apart = 0  # keys whose text and picture are not beside each other
        self._file = file
        self._size = size
        self._seen: set[bytes] = set()
        self._only: tuple[set[bytes], set[bytes]] = set(), set()  # keys with a text; a picture

    def members(self) -> Iterator[Member]:
        sample = Sample()
        try:
            for info in self._infos():
                name = cleaned(info.name)
                if name is None or name in self._seen:
                    self.unsafe += 1
                    continue
                self._seen.add(name)
                if (key := key_of(name)) != sample.key:
                    yield from self._complete(sample)
                    sample = Sample(key)
                self._take(sample, name, info)
        except (UnreadablePicture, OSError):
            yield from self._complete(sample)
            raise
        yield from self._complete(sample)
        self.apart = len(self._only[0] & self._only[1])

    def _complete(self, sample: Sample) -> Iterator[Member]:
        if bool(sample.beside) != bool(sample.pictures):
            self._only[bool(sample.pictures)].add(sample.key)
        yield from sample.members(self._table)

    def _take(self, sample: Sample, name: bytes, info: tarfile.TarInfo) -> None:
        base = name.rpartition(b"/")[2]
        extension = extension_of(base)
        beside = base.partition(b".")[2].lower()
        part = Part(info.offset_data, info.size)
        if base.startswith(b"."):
            self.left_out[Kind.HIDDEN, b""] += 1
        elif extension in picture_extensions():
            mtime_ns = fitting(fitting(info.mtime) * 1_000_000_000)  # pax knows "inf" and "nan"
            failure = _failure(info)
            data = self._read(part) if self._keeps and info.size <= MAX_KEPT else None
            sample.pictures.append(Member(name, part, mtime_ns, None, failure, data))
        elif beside in SIDECARS and info.size <= MAX_HEADER and info.sparse is None:
            sample.beside[beside] = self._read(part)
        elif beside not in SIDECARS:
            kind = Kind.NEEDS if lacking(extension.decode("ascii", "replace")) else None
            self.left_out[kind or kind_by_name(extension) or Kind.UNKNOWN, extension] += 1

    def _infos(self) -> Iterator[tarfile.TarInfo]:
        """Yield the regular members; check that the shard ends as it should."""
        tar, before = None, -1
        try:
            tar = self._opened()
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if info.size < 0 or tar.offset <= before:  # a number with a sign
                    raise tarfile.ReadError("bad size")
                before = tar.offset
                is_plain = info.isreg() and info.sparse is None
                end = info.offset_data + info.size if is_plain else tar.offset
                if end > self._size:  # what has no bytes here may state a size all the same
                    raise tarfile.ReadError("unexpected end of data")
                if info.isreg():
                    yield info
        except OSError:  # the disk or the network failed
            raise
        except Exception as error:  # a parser may raise anything for invalid data
            raise broken(error, tar, self._size) from error
        self._check_end(tar.offset)

    def _opened(self) -> tarfile.TarFile:
        file = cast(BufferedIOBase, Headers(self._file))
        return tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape")

    def _check_end(self, offset: int) -> None:
        """Raise UnreadablePicture unless the mark of the end is where the members end."""
        self._file.seek(offset)
        block = self._file.read(BLOCK)
        if not block:
            raise damaged(f"the shard ends at byte {offset:,} without the mark of its end")
        if len(block) < BLOCK:
            raise damaged(CUT_OFF)
        if block.strip(b"\0"):
            raise damaged(f"the shard has no valid header at byte {offset:,}")
        if self._file.read(tarfile.RECORDSIZE).strip(b"\0"):
            said = "if it was joined from several, index those"
            raise damaged(f"the shard ends at byte {offset:,}, but more follows; {said}")

    def _read(self, part: Part) -> bytes:
        at = self._file.tell()
        self._file.seek(part.offset)
        data = self._file.read(part.size)
        self._file.seek(at)
        return data


class Headers:
    """A file for tarfile, which reads only headers from it: none may be as long as it claims."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def cleaned(name: str) -> bytes | None:
    """Return a member's name without "." and empty parts; None if it leads out of the shard, or is
    no name.
    """
    raw = name.encode("utf-8", "surrogateescape")
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts or b"\0" in raw or len(raw) > MAX_NAME:
        return None
    return b"/".join(parts)


def key_of(name: bytes) -> bytes:
    """Return the key of a member's sample: its name up to the first dot of its last part."""
    folder, slash, base = name.rpartition(b"/")
    return folder + slash + base.partition(b".")[0]


def damaged(said: str) -> UnreadablePicture:
    return UnreadablePicture(said, FailureCode.DAMAGED)


def broken(error: Exception, tar: tarfile.TarFile | None, size: int) -> UnreadablePicture:
    """Return the error of a shard that cannot be read on."""
    if size == 0:
        return UnreadablePicture("the file is empty", FailureCode.EMPTY)
    if tar is None and size >= BLOCK:
        return UnreadablePicture("it is not a tar file", FailureCode.NOT_A_PICTURE)
    if tar is None or "unexpected end" in str(error):
        return damaged(CUT_OFF)
    return damaged(f"the shard is damaged at byte {tar.offset:,}: {error}")


def _failure(info: tarfile.TarInfo) -> Failure | None:
    if info.sparse is not None:
        return Failure(FailureCode.NOT_A_FILE, "it is stored as a sparse file; pack it without -S")
    if info.size > MAX_PICTURE_BYTES:
        said = f"it has {info.size:,} bytes, more than {MAX_PICTURE_BYTES:,}"
        return Failure(FailureCode.TOO_MANY_BYTES, said)
    return None
