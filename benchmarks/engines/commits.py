"""Images committed a second, by several processes at once, to SQLite and PostgreSQL.

Each image has a vector of 512 dimensions, its shot and a file, in batches as an index run commits
them. PostgreSQL runs on this machine with its usual settings, so each commit waits for the disk.
"""

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks.harness.inputs import PictureLike
from benchmarks.harness.postgresql import Server, binaries
from benchmarks.harness.report import Row
from retrieval.catalog import roots, writing
from retrieval.catalog.reading import Catalog
from retrieval.decoding.content import digest_of
from retrieval.locate import DatabaseURL, Place
from retrieval.records import FileState, NewImage, Shot, Vectors

DIM, BATCH = 512, 64
WRITERS = (1, 2, 4)


def run(folder: Path, quick: bool) -> Iterator[Row]:
    count = 2_000 if quick else 100_000
    yield _measured("SQLite", folder / "library", count, 1)  # which has one writer at a time
    if binaries() is None:
        return
    server = Server({"shared_buffers": "256MB"})
    try:
        for writers in WRITERS:
            place = DatabaseURL(server.new_schema())
            yield _measured("PostgreSQL", place, count, writers)
    finally:
        server.remove()


def _measured(engine: str, place: Place, count: int, writers: int) -> Row:
    catalog = Catalog.open(place, create=True)
    writing.adopt_model(catalog, "synthetic", "5" * 64, DIM, "fp32")
    roots.place_root(catalog, Path("/nowhere/photos"), True)
    start = multiprocessing.get_context("spawn").Barrier(writers + 1)
    processes = [
        multiprocessing.get_context("spawn").Process(
            target=_write, args=(place, number, count // writers, start)
        )
        for number in range(writers)
    ]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - began
    committed, size = catalog.images.count(), catalog.database.size()
    catalog.close()
    return {
        "engine": engine,
        "writers": writers,
        "images": committed,
        "images/s": committed / seconds,
        "ms per commit": 1000 * seconds / (committed / BATCH),
        "bytes per image": size / committed,
    }


def _write(place: Place, writer: int, count: int, start: Barrier) -> None:
    vectors = PictureLike(DIM).draw(BATCH, writer)
    catalog = Catalog.open(place)
    [model], [root] = catalog.models(), catalog.roots()
    start.wait()
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        digests = [digest_of(b"%d/%d" % (writer, number)) for number in numbers]
        shot = Shot(camera="Box Brownie", latitude=48.1, longitude=11.5)
        images = [NewImage(each, 640, 480, "JPEG", "2023-06-01T12:00:00", shot) for each in digests]
        files = [
            FileState(root.id, b"%d/%03d/%06d.jpg" % (writer, n // 1000, n), 1, 1, digest, None)
            for n, digest in zip(numbers, digests, strict=True)
        ]
        of = dict(zip(digests, vectors, strict=False))
        writing.record(catalog, files, images, Vectors(model.id, of))
    catalog.close()
