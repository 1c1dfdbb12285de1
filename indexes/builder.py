"""Write index files: atomically, and streamed, so that memory does not grow with the vectors."""

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from indexes.exact import Vectors
from indexes.flat_file import FlatFile
from indexes.ivf.growth import write_grown_lists
from indexes.ivf.layout import read_footers
from indexes.ivf.writing import write_lists
from indexes.layout import OWNER, Footer, chunks, flat_head, opened
from indexes.spec import IndexSpec
from indexes.threads import apart

Batches = Iterable[tuple[NDArray[np.int64], Vectors]]


def build(path: Path, batches: Batches, spec: IndexSpec, dim: int) -> None:
    """Write the index of `batches` to `path`, as `VectorIndex.build` documents it."""
    with replacing(path) as file:
        footer = write_flat(file, batches, dim)
        if spec.kind == "ivf":
            if footer.count < spec.lists:
                raise ValueError(f"{footer.count} vectors do not fill {spec.lists} lists")
            with temporary(path.with_name(path.name + ".codes")) as codes:
                flat = FlatFile(file, footer)
                lists = apart(lambda: write_lists(file, flat, codes, spec))
            file.write(lists.pack())


def grow(path: Path, batches: Batches) -> None:
    """Add `batches` to the ivf index at `path`, as `VectorIndex.grow` documents it."""
    with opened(path) as old, replacing(path) as file:
        held, lists = read_footers(old)
        assert lists is not None
        kept = FlatFile(old, held)
        footer = write_flat(file, batches, held.dim, kept)
        flat = FlatFile(file, footer)
        grown = apart(lambda: write_grown_lists(file, flat, old, lists, len(kept.ids)))
        file.write(grown.pack())


@contextmanager
def temporary(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that is removed afterwards, unless it was renamed.

    Whatever has its name is removed first: the rest of a killed build, or a link, which must not be
    followed, as the folder may come from anywhere.
    """
    path.unlink(missing_ok=True)
    try:
        with path.open("x+b") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` once it is complete and on the disk."""
    part = path.with_name(path.name + ".part")
    with temporary(part) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(part, path)  # noqa: PTH105  # where the torture kills a run
    if os.name == "posix":  # other systems cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name survives a power cut
        finally:
            os.close(folder)


def write_flat(file: BinaryIO, batches: Batches, dim: int, kept: FlatFile | None = None) -> Footer:
    """Write what FAISS reads as an IndexIDMap of codes: those of a file to be kept, and `batches`.

    Returns the footer, which is written as well.
    """
    file.write(flat_head(dim, 0))
    start, crc, blocks = file.tell(), 0, [np.empty(0, np.int64)]
    if kept is not None:
        for part in chunks(kept.file, kept.footer.body_start, kept.footer.body_end):
            file.write(part)
        crc, blocks = kept.footer.body_crc, [np.array(kept.ids)]
    for ids, vectors in batches:
        check_batch(ids, vectors, dim, after=int(blocks[-1][-1]) if len(blocks[-1]) else -1)
        if len(ids):
            codes = np.ascontiguousarray(vectors, "<f2").data.cast("B")
            file.write(codes)
            crc = zlib.crc32(codes, crc)
            blocks.append(ids)
    return finish_flat(file, np.concatenate(blocks).astype("<i8"), dim, start, crc)


def finish_flat(
    file: BinaryIO, ids: NDArray[np.int64], dim: int, start: int, body_crc: int
) -> Footer:
    """Add ids and footer, and write the count, which is now known, into the head."""
    end, count = file.tell(), len(ids)
    head, tail = flat_head(dim, count), count.to_bytes(8, "little") + ids.tobytes()
    file.write(tail)
    file.seek(0)
    file.write(head)
    file.seek(0, os.SEEK_END)
    last_id = int((ids & OWNER).max(initial=-1))
    skeleton_crc = zlib.crc32(tail, zlib.crc32(head))
    footer = Footer(dim, count, last_id, start, end, skeleton_crc, body_crc)
    file.write(footer.pack())
    file.flush()
    return footer


def check_batch(ids: NDArray[np.int64], vectors: Vectors, dim: int, after: int) -> None:
    """Raise ValueError unless the ids rise from above `after`, and each has a vector."""
    if vectors.shape != (len(ids), dim):
        raise ValueError(f"{len(ids)} ids need vectors ({len(ids)}, {dim}), not {vectors.shape}")
    if np.any(np.diff(ids, prepend=after) <= 0):
        raise ValueError(
            f"the ids of a batch must rise, each above the last one before it, {after}"
        )
