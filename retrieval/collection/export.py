"""Export of a library's vectors: a NumPy file, and a table with the file of each row.

Both are written under temporary names and renamed when they are complete.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from retrieval.catalog.queries.vector_ids import BITS, IMAGE, image_of
from retrieval.catalog.reading import Catalog
from retrieval.collection.rows import iso, unit
from retrieval.errors import InvalidValue, LibraryReadOnly, because
from retrieval.paths import replacing
from retrieval.records import Image, ModelRecord, Moment, Shot

Form = Literal["npy", "parquet"]
FORMS = get_args(Form)
VECTORS, TABLE = "vectors.npy", "images.csv"
COLUMNS = (
    *("row", "id", "path", "width", "height", "format", "taken_at", "utc_offset"),
    *("camera", "latitude", "longitude", "moment", "unit"),
)


@dataclass(frozen=True, slots=True)
class Exported:
    """The files that an export wrote."""

    vectors: Path  # (N, D) float32, unit L2 norm
    table: Path  # one line per file and moment, with the row of its vector, which copies share
    count: int  # of vectors
    files: tuple[Path, ...] = ()  # of parquet, which hold both


def export(catalog: Catalog, model: ModelRecord, folder: Path, form: Form = "npy") -> Exported:
    """Write both files into `folder`, or with "parquet" files that hold both: parquet_export.py.

    Raises LibraryReadOnly if it cannot be written to, SourceUnavailable without the extra.
    """
    if form == "parquet":
        return _parquet(catalog, model, folder)
    if form not in FORMS:
        raise InvalidValue(f"the form must be one of {', '.join(FORMS)}, not {form!r}")
    vectors, table = folder / VECTORS, folder / TABLE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(table) as new_table, replacing(vectors) as new_vectors:
            count = _write(catalog, model, new_vectors, new_table)
    except OSError as error:
        raise because(LibraryReadOnly, f"cannot write to {folder}", error) from error
    return Exported(vectors, table, count)


def _parquet(catalog: Catalog, model: ModelRecord, folder: Path) -> Exported:
    from retrieval.collection import parquet_export

    try:
        folder.mkdir(parents=True, exist_ok=True)
        files, count = parquet_export.write(catalog, model, folder)
    except OSError as error:
        raise because(LibraryReadOnly, f"cannot write to {folder}", error) from error
    return Exported(files[0], files[0], count, tuple(files))


def _write(catalog: Catalog, model: ModelRecord, vectors: Path, table: Path) -> int:
    """Write the vectors one after another; the header, with their number, is completed last."""
    count = 0
    head = {"descr": "<f4", "fortran_order": False, "shape": (10**12, model.dim)}
    with (
        vectors.open("wb") as file,
        table.open("w", encoding="utf-8", errors="surrogateescape", newline="") as lines,
    ):
        np.lib.format.write_array_header_1_0(file, head)  # as long as the final one
        start = file.tell()
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        for ids, held in catalog.embeddings.vectors(model.id):
            owners = image_of(ids).tolist()
            images, moments = catalog.images.by_id(owners), catalog.images.moments(owners)
            known = [id in images for id in owners]
            file.write(unit(held[known]).tobytes())
            for id in ids[known].tolist():
                of_image = moments.get(id & IMAGE, [])
                moment = of_image[id >> BITS] if of_image else None
                writer.writerows(_lines(count, images[id & IMAGE], moment))
                count += 1
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, {**head, "shape": (count, model.dim)})
        assert file.tell() == start
    return count


def _lines(row: int, image: Image, moment: Moment | None) -> Iterator[tuple[object, ...]]:
    shot = image.shot or Shot()
    about = (image.width, image.height, image.format, *iso(image.taken_at))
    when = (moment.position, moment.unit) if moment else (None, None)
    for path in image.paths:
        yield row, image.id, path, *about, shot.camera, shot.latitude, shot.longitude, *when
