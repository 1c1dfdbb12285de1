"""The bytes of an index file: what FAISS reads, then our footer, which tells whether to trust it.

FAISS believes the lengths in its files: an altered one makes it allocate without bound or read
past the end. So a checksum covers everything that FAISS interprets (all but the codes), and the
footer gives the length of the file.

    flat   head (118 bytes) | codes | number of ids | ids        | footer
             `- checked ------^     ^- not checked at open (see `verify`); ids are
    ivf    a flat file | lists (ivf/layout.py)

A thing may have several vectors: the id of the first is its own, below 2**40, and a further one has
its number in the bits above. Ids rise, so all first vectors precede the further ones.
"""

import errno
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.errors import DamagedIndex

MAGIC = b"RTRV-IX1"
FLAT = 0  # 1 were lists of float16 codes
CHUNK_BYTES = 4 << 20  # read at a time

_FIELDS = struct.Struct("<8s2I8x4q2I")  # magic, kind, then in the order of Footer
_CHECK = struct.Struct("<I")  # crc32 of the fields
OWNER = (1 << 40) - 1  # the bits of an id that name the thing
FOOTER_BYTES = _FIELDS.size + _CHECK.size


@dataclass(frozen=True)
class Footer:
    """The contents of a flat file in numbers, and the checksums of its bytes."""

    dim: int
    count: int  # vectors
    last_id: int  # the greatest first id, -1 when empty
    # Bytes [body_start, body_end) are codes; FAISS interprets the rest.
    body_start: int
    body_end: int
    skeleton_crc: int  # of everything outside the body
    body_crc: int

    def pack(self) -> bytes:
        return sealed(_FIELDS.pack(MAGIC, FLAT, *astuple(self)))

    @staticmethod
    def unpack(data: bytes) -> "Footer":
        if len(data) != FOOTER_BYTES or not data.startswith(MAGIC):
            raise DamagedIndex("it does not end with our footer")
        _, kind, *numbers = _FIELDS.unpack(unsealed(data))
        if kind != FLAT:
            raise DamagedIndex("an older version wrote it")
        return Footer(*numbers)


def sealed(fields: bytes) -> bytes:
    """Return the fields of a footer and their checksum."""
    return fields + _CHECK.pack(zlib.crc32(fields))


def unsealed(data: bytes) -> bytes:
    """Return the fields of a footer. Raises DamagedIndex unless they have their checksum."""
    fields = data[: -_CHECK.size]
    if data != sealed(fields):
        raise DamagedIndex("its footer was altered")
    return fields


def flat_head(dim: int, count: int) -> bytes:
    """Return what FAISS writes before the codes of an IndexIDMap over float16 codes."""
    return b"IxMp" + _common_head(dim, count) + codes_head(dim, count)


def codes_head(dim: int, count: int) -> bytes:
    """Return what FAISS writes before float16 codes."""
    quantizer = struct.pack("<iifQQQ", faiss.ScalarQuantizer.QT_fp16, 0, 0.0, dim, 2 * dim, 0)
    size = struct.pack("<Q", 2 * dim * count)
    return b"IxSQ" + _common_head(dim, count) + quantizer + size


def _common_head(dim: int, count: int) -> bytes:
    return struct.pack("<iqqq?i", dim, count, 1 << 20, 1 << 20, True, faiss.METRIC_INNER_PRODUCT)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; its errors become a DamagedIndex that names it."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        if error.errno == errno.EMFILE:  # the file is not to blame
            raise
        raise DamagedIndex(f"{path}: {error.strerror}") from error
    except DamagedIndex as error:
        raise DamagedIndex(f"{path} is damaged: {error}") from error.__cause__


def read_footer(file: BinaryIO, end: int | None = None) -> Footer:
    """Return the footer of a flat file that ends at byte `end`, or with the file.

    Raises DamagedIndex unless length and skeleton are as written.
    """
    size = file.seek(0, os.SEEK_END) if end is None else end
    file.seek(max(size - FOOTER_BYTES, 0))
    footer = Footer.unpack(file.read(FOOTER_BYTES))
    check_span(footer.body_start, footer.body_end, size - FOOTER_BYTES)
    check_skeleton(file, 0, size - FOOTER_BYTES, footer)
    return footer


class Checked(Protocol):
    """The part of a footer that says which bytes have which checksum."""

    @property
    def body_start(self) -> int: ...
    @property
    def body_end(self) -> int: ...
    @property
    def skeleton_crc(self) -> int: ...
    @property
    def body_crc(self) -> int: ...


def check_span(start: int, body: int, end: int) -> None:
    """Raise DamagedIndex unless the numbers of a footer rise, as they do in a whole file."""
    if not 0 < start <= body <= end:
        raise DamagedIndex("its length is not the one in its footer")


def check_skeleton(file: BinaryIO, start: int, end: int, footer: Checked) -> None:
    """Raise DamagedIndex unless the bytes [start, end) outside the body are as written."""
    head = crc_of(chunks(file, start, footer.body_start))
    if crc_of(chunks(file, footer.body_end, end), head) != footer.skeleton_crc:
        raise DamagedIndex("its header was altered")


def check_body(file: BinaryIO, footer: Checked) -> None:
    """Raise DamagedIndex unless the codes are as written."""
    if crc_of(chunks(file, footer.body_start, footer.body_end)) != footer.body_crc:
        raise DamagedIndex("its codes were altered")


def map_index(file: BinaryIO) -> faiss.Index:
    """Map an open file with FAISS."""
    # By number: the path may name another file by now, and FAISS takes only names in UTF-8.
    name = f"/dev/fd/{file.fileno()}" if Path("/dev/fd").is_dir() else file.name
    try:
        return faiss.read_index(name, faiss.IO_FLAG_MMAP_IFC if _can_be_mapped(file) else 0)
    except RuntimeError as error:
        if os.strerror(errno.EMFILE) in str(error):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), file.name) from error
        raise DamagedIndex("FAISS cannot read it") from error


def index_in(data: NDArray[np.uint8]) -> Any:
    """Return the FAISS index in these bytes, which it refers to. Raises RuntimeError."""
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(data), data.size)  # type: ignore[attr-defined]
    index: Any = faiss.read_index(reader)
    index.referenced_objects = [data]
    return index


def _can_be_mapped(file: BinaryIO) -> bool:
    """Return whether the file system can map files; on others they are read into memory."""
    try:
        mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ).close()
    except OSError as error:
        return error.errno != errno.ENODEV
    return True


def array_in(file: BinaryIO, dtype: str, offset: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a part of an open file as an array, mapped if possible."""
    if _can_be_mapped(file):
        return np.memmap(file, dtype, "r", offset, shape)
    return np.memmap(file, dtype, "c", offset, shape)


def chunks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes [start, end) of `file` in chunks; fewer bytes if it is shorter."""
    file.seek(start)
    while start < end and (data := file.read(min(CHUNK_BYTES, end - start))):
        start += len(data)
        yield data


def crc_of(parts: Iterator[bytes], crc: int = 0) -> int:
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc
