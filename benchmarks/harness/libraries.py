"""Models with random weights, and libraries that are filled directly, as speed does not depend on
their content.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.inputs import PictureLike
from clipmodel.config import ModelConfig, TextConfig, VisionConfig
from clipmodel.hub.registry import OPENAI_MEAN, OPENAI_STD, REGISTRY
from clipmodel.model_folder import ModelFolder, save_folder
from retrieval.catalog.reading import Catalog
from retrieval.catalog.writing import adopt_model
from retrieval.decoding.content import digest_of
from retrieval.decoding.limits import DECODING
from retrieval.locate import FILE_NAME
from retrieval.records import ModelRecord
from retrieval.vectors.hubness import query_bank_digest
from retrieval.vectors.index_file import refresh

SMALL = ModelConfig(
    512,
    VisionConfig(64, 16, 128, 2, 2, 256, "gelu"),
    TextConfig(77, 49408, 128, 2, 2, 256, "gelu"),
    OPENAI_MEAN,
    OPENAI_STD,
)


def vit_b_32(folder: Path) -> ModelFolder:
    """Return a model folder of ViT-B/32's shape."""
    return random_model(folder, REGISTRY["ViT-B/32"].config)


def random_model(
    folder: Path, config: ModelConfig, files: Mapping[str, bytes] | None = None
) -> ModelFolder:
    """Return a model folder of any shape, with the initial weights of training.

    files: of its tokenizer.
    """
    import torch

    from clipmodel.model import CLIP

    torch.manual_seed(0)
    return save_folder(
        folder, str(folder), config, CLIP.of(config).state_dict(), "float32", files=files
    )


def filled(folder: Path, model: ModelFolder, count: int, first: int = 1) -> ModelRecord:
    """Fill a library with `count` pictures that do not exist, whose ids begin at `first`.

    The index is not built: `indexed` does that.
    """
    numbers = range(first, first + count)
    files = (
        (b"%03d/%06d.jpg" % (number // 1000, number), 1, 1, digest_of(number.to_bytes(8, "little")))
        for number in numbers
    )
    return _fill(folder, model, Path("/nowhere/photos"), files, count, first)


def filled_from(folder: Path, model: ModelFolder, photos: Path) -> None:
    """Fill and index a library that knows every file under `photos`, without decoding any."""
    found = sorted(path for path in photos.rglob("*.jpg"))
    files = (_file(photos, path) for path in found)
    indexed(folder, _fill(folder, model, photos.resolve(), files, len(found), first=1))


def indexed(folder: Path, record: ModelRecord) -> None:
    """Build the index file of a library, or add to it what it lacks, as `retrieve index` does."""
    with closing(Catalog.open(folder)) as catalog:
        refresh(catalog, record)


def recorded(folder: Path) -> ModelRecord:
    """Return the model of a library that was filled."""
    with closing(Catalog.open(folder)) as catalog:
        record = catalog.current_model()
    assert record
    return record


File = tuple[bytes, int, int, bytes]  # path, size, mtime_ns, digest


def _file(root: Path, path: Path) -> File:
    status = path.stat()
    inside = os.fsencode(path.relative_to(root).as_posix())
    return inside, status.st_size, status.st_mtime_ns, digest_of(path.read_bytes())


def _fill(
    folder: Path, model: ModelFolder, root: Path, files: Iterator[File], count: int, first: int
) -> ModelRecord:
    dim = model.config.embed_dim
    with closing(Catalog.open(folder, create=True)) as catalog:
        record = adopt_model(catalog, model.name, model.digest, dim, "fp32", query_bank_digest())
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute(
            "INSERT OR IGNORE INTO roots (id, path, entire) VALUES (1, ?, 1)", (os.fsencode(root),)
        )
        for ids, vectors in PictureLike(dim).batches(count, seed=first):
            _insert(database, record, files, ids + (first - 1), vectors)
            database.commit()  # else the journal becomes as large as the catalog
    return record


def _insert(
    database: sqlite3.Connection,
    record: ModelRecord,
    files: Iterator[File],
    ids: NDArray[np.int64],
    vectors: NDArray[np.float16],
) -> None:
    numbers = [int(id) for id in ids]
    some = [(number, *next(files)) for number in numbers]
    hubness = np.random.default_rng(numbers[0]).normal((0.17, 0.045), 0.01, (len(ids), 2))
    packed = (vector.tobytes() for vector in vectors)
    embeddings = zip(numbers, packed, *hubness.T.tolist(), strict=True)
    database.executemany(
        "INSERT INTO images (id, digest, width, height, format, difference_hash, taken_from, "
        f"decoding) VALUES (?, ?, 640, 480, 'JPEG', ?, 'file', {DECODING})",
        ((number, digest, digest[:8]) for number, _, _, _, digest in some),
    )
    database.executemany("INSERT INTO shots (image_id) VALUES (?)", ((each,) for each in numbers))
    database.executemany(
        "INSERT INTO files (root_id, image_id, path, size, mtime_ns) VALUES (1, ?, ?, ?, ?)",
        (place for *place, _ in some),
    )
    database.executemany(
        "INSERT INTO embeddings (model_id, image_id, moment, vector, bank_mean, bank_deviation) "
        f"VALUES ({record.id}, ?, 0, ?, ?, ?)",
        embeddings,
    )
