"""Export to parquet: a row for each vector, a million rows a file.

| column | type | |
|---|---|---|
| `id` | int64 | unique: that of the image, plus 2⁴⁰ times the number of the moment |
| `image` | int64 | the image's number in the library |
| `moment`, `unit` | double, string | page, frame or second; null for an image that has only one |
| `path` | string | of its first copy: a file, or an address |
| `copies` | int32 | number of further files with the same content |
| `width`, `height`, `format` | int32, int32, string | as displayed |
| `taken_at`, `utc_offset` | string | local time in ISO 8601, 2023-06-01T12:30:00; +02:00 if known |
| `camera`, `latitude`, `longitude` | string, double, double | null if not known |
| `caption` | string | the first description, or null |
| `vector` | list of float32 | of unit length |
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.queries.vector_ids import BITS, IMAGE, image_of
from retrieval.catalog.reading import Catalog
from retrieval.collection.rows import iso, unit
from retrieval.paths import replacing
from retrieval.records import Image, ModelRecord, Moment, Shot
from retrieval.sources.parquet import VectorTable

FILE = "images-{:05d}.parquet"
ROWS_A_FILE = 1_000_000
KINDS = {
    **{"id": "int64", "image": "int64", "moment": "float64", "unit": "string", "path": "string"},
    **{"copies": "int32", "width": "int32", "height": "int32", "format": "string"},
    **{"taken_at": "string", "utc_offset": "string", "camera": "string"},
    **{"latitude": "float64", "longitude": "float64", "caption": "string"},
}

Page = tuple[list[tuple[object, ...]], NDArray[np.float32]]  # rows as in KINDS, vectors (n, D)


def write(catalog: Catalog, model: ModelRecord, folder: Path) -> tuple[list[Path], int]:
    """Write the files; return them and the number of vectors. Raises OSError."""
    files, count = list[Path](), 0
    about = {"model": model.name, "model_digest": model.digest, "dimensions": str(model.dim)}
    pages = _pages(catalog, model)
    page: Page | None = next(pages, ([], np.empty((0, model.dim), np.float32)))
    while page is not None:
        file, written = folder / FILE.format(len(files)), 0
        with replacing(file) as part, VectorTable(part, KINDS, about) as table:
            while page is not None and written < ROWS_A_FILE:
                rows, vectors = page
                table.write(dict(zip(KINDS, _columns(rows), strict=True)), vectors)
                written += len(rows)
                page = next(pages, None)
        files.append(file)
        count += written
    for old in folder.glob("images-*.parquet"):
        if old not in files:
            old.unlink()  # of a former export that had more
    return files, count


def _columns(rows: list[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in KINDS]


def _pages(catalog: Catalog, model: ModelRecord) -> Iterator[Page]:
    for ids, held in catalog.embeddings.vectors(model.id):
        owners = image_of(ids).tolist()
        images, moments = catalog.images.by_id(owners), catalog.images.moments(owners)
        captions = catalog.images.captions(owners)
        known = [id in images for id in owners]
        rows = []
        for id in ids[known].tolist():
            of_image, number = moments.get(id & IMAGE, []), id & IMAGE
            moment = of_image[id >> BITS] if of_image else None
            rows.append(_row(id, images[number], moment, captions.get(number)))
        yield rows, unit(held[known])


def _row(id: int, image: Image, moment: Moment | None, caption: str | None) -> tuple[object, ...]:
    shot = image.shot or Shot()
    path = str(image.paths[0]) if image.paths else ""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return (
        *(id, image.id, moment.position if moment else None, moment.unit if moment else None),
        *(text, max(0, len(image.paths) - 1), image.width, image.height, image.format),
        *(*iso(image.taken_at), shot.camera, shot.latitude, shot.longitude, caption),
    )
