"""The bytes of the lists, which follow a flat file with the same vectors.

    flat file | head with rotation, centroids, codebook, list sizes | codes, ids per list | footer
                `- what FAISS reads as an IndexIVFPQFastScan ----------------'

As in a flat file, a checksum covers the head. Each list is filled up to whole blocks of 32 codes
with zeros, whose ids are -1.
"""

import os
import struct
from dataclasses import astuple, dataclass, replace
from typing import BinaryIO

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.errors import DamagedIndex
from indexes.ivf.effort import LEVELS, Effort
from indexes.ivf.rotation import Rotated
from indexes.layout import Footer, check_skeleton, check_span, read_footer, sealed, unsealed

MAGIC = b"RTRV-IV2"
_FIELDS = struct.Struct(f"<8s4q2I{2 * len(LEVELS)}q")  # magic, then in the order of ListsFooter
FOOTER_BYTES = _FIELDS.size + 4


@dataclass(frozen=True)
class ListsFooter:
    """The numbers of the lists, and the checksums of their bytes."""

    flat_bytes: int  # of the flat file before them
    lists: int
    body_start: int
    body_end: int
    skeleton_crc: int
    body_crc: int
    effort: Effort

    def pack(self) -> bytes:
        *numbers, (lists, codes) = astuple(self)
        return sealed(_FIELDS.pack(MAGIC, *numbers, *lists, *codes))

    def tuned(self, effort: Effort) -> "ListsFooter":
        return replace(self, effort=effort)


def read_footers(file: BinaryIO) -> tuple[Footer, ListsFooter | None]:
    """Return the footers of an index file: that of its flat file, and that of its lists, if any.

    Raises DamagedIndex unless length and skeleton are as written.
    """
    lists = read_lists_footer(file)
    return read_footer(file, lists.flat_bytes if lists else None), lists


def read_lists_footer(file: BinaryIO) -> ListsFooter | None:
    """Return the footer of the lists at the end of a file; None if it does not end with lists.

    Raises DamagedIndex unless length and skeleton are as written.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - FOOTER_BYTES, 0))
    data = file.read()
    if len(data) != FOOTER_BYTES or not data.startswith(MAGIC):
        return None
    _, flat_bytes, lists, start, end, head_crc, body_crc, *most = _FIELDS.unpack(unsealed(data))
    effort = Effort(tuple(most[: len(LEVELS)]), tuple(most[len(LEVELS) :]))
    footer = ListsFooter(flat_bytes, lists, start, end, head_crc, body_crc, effort)
    check_span(footer.flat_bytes, footer.body_start, footer.body_end)
    if footer.body_end != size - FOOTER_BYTES:
        raise DamagedIndex("its length is not the one in its footer")
    check_skeleton(file, footer.flat_bytes, footer.body_end, footer)
    return footer


def lists_head(rotated: Rotated, sizes: NDArray[np.int64], count: int) -> bytes:
    """Return what FAISS would write before lists of `sizes` (lists,) codes, pads included.

    rotated: the index without any codes.
    """
    empty = rotated.index
    no_codes = faiss.ArrayInvertedLists(empty.nlist, empty.code_size)
    no_codes.this.disown()  # type: ignore[attr-defined]  # by Python: the index owns it
    empty.replace_invlists(no_codes, True)
    head = bytearray(faiss.serialize_index(rotated.whole()).tobytes())
    inner = len(head) - len(faiss.serialize_index(empty))
    lists = b"ilar" + struct.pack("<QQ", empty.nlist, empty.code_size)
    no_lists = lists + b"sprs" + struct.pack("<Q", 0)
    assert head.endswith(no_lists), "FAISS writes its inverted lists in a new layout"
    del head[-len(no_lists) :]
    for start in (0, inner):
        struct.pack_into("<q", head, start + 8, count)
    numbers = b"full" + struct.pack("<Q", len(sizes)) + sizes.astype("<u8").tobytes()
    return bytes(head) + lists + numbers


def sizes_in(file: BinaryIO, footer: ListsFooter) -> NDArray[np.int64]:
    """Return the sizes of the lists, (lists,), pads included, which end the skeleton."""
    file.seek(footer.body_start - 8 * footer.lists)
    return np.frombuffer(file.read(8 * footer.lists), "<u8").astype(np.int64)
