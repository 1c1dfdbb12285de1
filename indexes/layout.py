"""The bytes of an index file: what FAISS reads, then our footer, which tells whether to trust it.

FAISS believes the lengths in its files: an altered one makes it allocate without bound or read
past the end. So a checksum covers everything that FAISS interprets (all but the codes and the ids
of IVF lists, whose size is known), and the footer gives the length of the file.

    flat   head (118 bytes) | codes | number of ids | ids        | footer
    ivf    head with centroids, list sizes | codes, ids per list | footer
             `- checked ---------------^     ^- not checked at open (see `verify`); flat: ids are
"""

import errno
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.errors import DamagedIndex
from indexes.spec import Kind

MAGIC = b"RTRV-IX1"
KINDS: tuple[Kind, ...] = ("flat", "ivf")
CHUNK_BYTES = 4 << 20  # read at a time

_FIELDS = struct.Struct("<8s4I4q2I")  # in the order of Footer, after the magic
_CHECK = struct.Struct("<I")  # crc32 of the fields
FOOTER_BYTES = _FIELDS.size + _CHECK.size


@dataclass(frozen=True)
class Footer:
    """The contents of the file in numbers, and the checksums of its bytes."""

    kind: Kind
    dim: int
    lists: int
    probes: int
    count: int  # vectors
    last_id: int  # the greatest id, -1 when empty
    # Bytes [body_start, body_end) are codes (ivf: and ids); FAISS interprets the rest.
    body_start: int
    body_end: int
    skeleton_crc: int  # of everything outside the body
    body_crc: int

    def pack(self) -> bytes:
        fields = _FIELDS.pack(
            MAGIC,
            KINDS.index(self.kind),
            self.dim,
            self.lists,
            self.probes,
            self.count,
            self.last_id,
            self.body_start,
            self.body_end,
            self.skeleton_crc,
            self.body_crc,
        )
        return fields + _CHECK.pack(zlib.crc32(fields))

    @staticmethod
    def unpack(data: bytes) -> "Footer":
        if len(data) != FOOTER_BYTES or not data.startswith(MAGIC):
            raise DamagedIndex("it does not end with our footer")
        if _CHECK.unpack_from(data, _FIELDS.size) != (zlib.crc32(data[: _FIELDS.size]),):
            raise DamagedIndex("its footer was altered")
        _, kind, *numbers = _FIELDS.unpack_from(data)
        return Footer(KINDS[kind], *numbers)


def flat_head(dim: int, count: int) -> bytes:
    """Return what FAISS writes before the codes of an IndexIDMap over float16 codes."""
    common = struct.pack("<iqqq?i", dim, count, 1 << 20, 1 << 20, True, faiss.METRIC_INNER_PRODUCT)
    quantizer = struct.pack("<iifQQQ", faiss.ScalarQuantizer.QT_fp16, 0, 0.0, dim, 2 * dim, 0)
    return b"IxMp" + common + b"IxSQ" + common + quantizer + struct.pack("<Q", 2 * dim * count)


def ivf_head(empty: faiss.IndexIVFScalarQuantizer, sizes: NDArray[np.int64]) -> bytes:
    """Return what FAISS would write before lists of `sizes` (lists,) vectors."""
    head = bytearray(faiss.serialize_index(empty).tobytes())
    lists = b"ilar" + struct.pack("<QQ", empty.nlist, empty.code_size)
    no_lists = lists + b"sprs" + struct.pack("<Q", 0)
    assert head.endswith(no_lists), "FAISS writes its inverted lists in a new layout"
    del head[-len(no_lists) :]
    struct.pack_into("<q", head, 8, int(sizes.sum()))
    return (
        bytes(head)
        + lists
        + b"full"
        + struct.pack("<Q", len(sizes))
        + sizes.astype("<u8").tobytes()
    )


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


def read_footer(file: BinaryIO) -> Footer:
    """Return the footer. Raises DamagedIndex unless length and skeleton are as written."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - FOOTER_BYTES, 0))
    footer = Footer.unpack(file.read())
    if not 0 < footer.body_start <= footer.body_end <= size - FOOTER_BYTES:
        raise DamagedIndex(f"its length, {size:,} bytes, is not the one in its footer")
    head = crc_of(chunks(file, 0, footer.body_start))
    if crc_of(chunks(file, footer.body_end, size - FOOTER_BYTES), head) != footer.skeleton_crc:
        raise DamagedIndex("its header was altered")
    return footer


def verify(path: Path) -> None:
    """Read every byte and raise DamagedIndex if one is not as it was written."""
    with opened(path) as file:
        footer = read_footer(file)
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
