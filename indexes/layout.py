"""The bytes of an index file: what FAISS reads, then a footer of ours to tell whether to trust it.

FAISS believes the lengths in its files: an altered one makes it allocate without bound or read
past the end. So everything that FAISS interprets (all but the codes, and the ids of IVF lists, of
known size) is covered by a checksum, and the file's length by the footer.

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
CHUNK = 4 << 20  # bytes a read

_FIELDS = struct.Struct("<8s4I4q2I")  # in the order of Footer, after the magic
_CHECK = struct.Struct("<I")  # crc32 of the fields
FOOTER_BYTES = _FIELDS.size + _CHECK.size


@dataclass(frozen=True)
class Footer:
    """What the file holds, and what its bytes must be."""

    kind: Kind
    dim: int
    lists: int
    probes: int
    count: int  # vectors
    last_id: int  # the greatest id, -1 when empty
    body_start: (
        int  # bytes [body_start, body_end) are codes (ivf: and ids), the rest FAISS interprets
    )
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
            raise DamagedIndex("it does not end as an index of ours does")
        if _CHECK.unpack_from(data, _FIELDS.size) != (zlib.crc32(data[: _FIELDS.size]),):
            raise DamagedIndex("its footer was altered")
        _, kind, *numbers = _FIELDS.unpack_from(data)
        return Footer(KINDS[kind], *numbers)


def flat_head(dim: int, count: int) -> bytes:
    """What FAISS writes before the codes of an IndexIDMap over a float16 IndexScalarQuantizer."""
    common = struct.pack("<iqqq?i", dim, count, 1 << 20, 1 << 20, True, faiss.METRIC_INNER_PRODUCT)
    quantizer = struct.pack("<iifQQQ", faiss.ScalarQuantizer.QT_fp16, 0, 0.0, dim, 2 * dim, 0)
    return b"IxMp" + common + b"IxSQ" + common + quantizer + struct.pack("<Q", 2 * dim * count)


def ivf_head(empty: faiss.IndexIVFScalarQuantizer, sizes: NDArray[np.int64]) -> bytes:
    """What FAISS would write before the first list, did they hold `sizes` (lists,) vectors."""
    head = bytearray(faiss.serialize_index(empty).tobytes())
    lists = b"ilar" + struct.pack("<QQ", empty.nlist, empty.code_size)
    none_filled = lists + b"sprs" + struct.pack("<Q", 0)
    assert head.endswith(none_filled), "FAISS writes its inverted lists in a new layout"
    del head[-len(none_filled) :]
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
    """The file, for reading; what goes wrong with it becomes a DamagedIndex that names it."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        if error.errno == errno.EMFILE:  # nothing is wrong with the file
            raise
        raise DamagedIndex(f"{path}: {error.strerror}") from error
    except DamagedIndex as error:
        raise DamagedIndex(f"{path} is damaged: {error}") from error.__cause__


def read_footer(file: BinaryIO) -> Footer:
    """The footer of a file whose length and skeleton are as written; else DamagedIndex."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - FOOTER_BYTES, 0))
    footer = Footer.unpack(file.read())
    if not 0 < footer.body_start <= footer.body_end <= size - FOOTER_BYTES:
        raise DamagedIndex(f"it is {size} bytes long")
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
    """What FAISS makes of an open file, mapped."""
    # By number: the path may name another file by now, and FAISS takes no name that is not UTF-8.
    name = f"/dev/fd/{file.fileno()}" if os.path.isdir("/dev/fd") else file.name
    try:
        return faiss.read_index(name, faiss.IO_FLAG_MMAP_IFC if _can_be_mapped(file) else 0)
    except RuntimeError as error:
        if os.strerror(errno.EMFILE) in str(error):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), file.name) from error
        raise DamagedIndex("FAISS cannot read it") from error


def _can_be_mapped(file: BinaryIO) -> bool:
    """Not on every file system: it is read into memory there."""
    try:
        mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ).close()
    except OSError as error:
        return error.errno != errno.ENODEV
    return True


def array_in(file: BinaryIO, dtype: str, offset: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """A part of an open file as an array: mapped, where that can be."""
    if _can_be_mapped(file):
        return np.memmap(file, dtype, "r", offset, shape)
    return np.memmap(file, dtype, "c", offset, shape)


def chunks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """The bytes [start, end) of `file`, a few megabytes at a time; fewer where it is shorter."""
    file.seek(start)
    while start < end and (data := file.read(min(CHUNK, end - start))):
        start += len(data)
        yield data


def crc_of(parts: Iterator[bytes], crc: int = 0) -> int:
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc
