"""A library whose pictures changed: what a run has to do, and what must come of it."""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from clipmodel.families import as_json
from clipmodel.model_folder import CONFIG, TEXT, VISION, ModelFolder
from retrieval.catalog import migrations
from retrieval.catalog.database import SCHEMA_VERSION
from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite import database
from retrieval.collection.check import check
from retrieval.errors import LibraryEmpty, RetrieveError
from retrieval.library import Library
from retrieval.locate import FILE_NAME
from tests.retrieval.small import (
    SmallEncoder,
    contents,
    paint,
    paint_many,
    run_index,
    small_model,
    small_query_bank,
)
from tests.torture.tally import Tally

BATCH = SmallEncoder.batch_size  # pictures
MICRO_BATCH = BATCH // SmallEncoder.slots  # pictures that are committed together


class Scene:
    """Pictures, the library of what they were before, and what a whole run makes of them now."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.photos = self.folder / "photos"
        self.model = model_at(self.folder / "model")
        self.other = model_at(self.folder / "other")
        self.before = self.folder / "before"
        paint_many(self.photos, 16)
        with closing(Catalog.open(self.before, create=True)) as catalog:
            run_index(catalog, [self.photos], self.model, query_bank=small_query_bank)
            self.last_id = catalog.rows("SELECT max(id) FROM images")[0][0]
        self._change()
        self.expected, self.work = self._whole(self.model)
        self.expected_of_other, self.work_of_other = self._whole(self.other)

    def copy(self, name: str) -> Path:
        """A library that has not seen the changes."""
        return Path(shutil.copytree(self.before, self.folder / name))

    def _change(self) -> None:
        """New pictures, one of them twice; changed ones; moved, removed and broken ones."""
        paint_many(self.photos / "new", 24, first=100)
        shutil.copy(self.photos / "new/100.png", self.photos / "new/copy.png")
        for seed in range(3):
            paint(self.photos / f"{seed:03d}.png", 200 + seed)
        os.rename(self.photos / "003.png", self.photos / "new/moved.png")
        for seed in (4, 5, 6):
            (self.photos / f"{seed:03d}.png").unlink()
        (self.photos / "broken.png").write_bytes(b"no picture")

    def _whole(self, model: ModelFolder) -> tuple[dict[str, Any], int]:
        """What a run that nobody disturbs makes of it, and how many pictures it encodes."""
        with closing(Catalog.open(self.copy(f"whole-{model.name}"))) as catalog:
            summary = run_index(catalog, [self.photos], model, query_bank=small_query_bank)
            whole = contents(catalog)
        with closing(Catalog.open(self.folder / f"fresh-{model.name}", create=True)) as catalog:
            run_index(catalog, [self.photos], model, query_bank=small_query_bank)
            assert contents(catalog) == whole
        return whole, summary.encoded


def model_at(folder: Path) -> ModelFolder:
    """The small model as a folder that the program can be told of; it has no weights."""
    folder.mkdir(parents=True)
    model = small_model(folder.name)
    held = {"name": folder.name, "digest": model.digest, **as_json(model.config)}
    (folder / CONFIG).write_text(json.dumps(held))
    for name in (VISION, TEXT):
        (folder / name).touch()
    return ModelFolder.open(folder)


def look_over(library: Path, tally: Tally, where: str) -> None:
    """A library after a fault: whole as far as it goes, and searched with right answers."""
    if not (library / FILE_NAME).exists():
        tally.lost.append(f"{where}: no catalog")
        return
    beside = Path(shutil.copytree(library, tempfile.mkdtemp(), dirs_exist_ok=True))
    with closing(sqlite3.connect(beside / FILE_NAME)) as connection:
        said = connection.execute("PRAGMA integrity_check").fetchall()
    shutil.rmtree(beside)
    tally.expect(said == [("ok",)], f"{where}: {said}")
    with closing(Catalog.open(library)) as catalog:
        model = catalog.current_model()
        pages = list(catalog.embeddings.vectors(model.id)) if model else []
        alive = {row[0] for row in catalog.rows("SELECT image_id FROM files")} - {None}
    if not pages:
        return
    ids = np.concatenate([page for page, _ in pages])
    vectors = np.concatenate([page for _, page in pages]).astype(np.float32)
    query = vectors[len(ids) // 2]
    try:
        with Library.open(library) as opened:
            matches = opened.search(query, 1_000)
    except LibraryEmpty:
        matches = []
    scores = vectors @ query
    found = {match.image.id: match.score for match in matches}
    right = all(abs(found[id] - scores[ids == id][0]) < 1e-3 for id in found)
    tally.expect(right, f"{where}: a search gave scores of other vectors")
    there = alive & set(ids.tolist())  # what changed is in no file until the run is over
    tally.expect(set(found) == there, f"{where}: a search lacked pictures")


def go_on(
    library: Path, scene: Scene, tally: Tally, where: str, model: ModelFolder | None = None
) -> int:
    """The next run: the library is what one that was never disturbed is. Pictures encoded."""
    expected = scene.expected if model is None else scene.expected_of_other
    try:
        with closing(Catalog.open(library, create=True)) as catalog:
            summary = run_index(
                catalog, [scene.photos], model or scene.model, query_bank=small_query_bank
            )
            tally.expect(contents(catalog) == expected, f"{where}: the next run made it another")
        problems = [problem.what for problem in check(library, repair=False)]
        tally.expect(not problems, f"{where}: {problems}")
    except (RetrieveError, sqlite3.Error) as error:
        tally.lost.append(f"{where}: the next run failed: {error!r}")
        return 0
    return summary.encoded


# -- a version of the catalog that is still to come ----------------------------------------------


def migrate(connection: Connection) -> None:
    """Steps as a migration has them: a new column, every row of it, an index."""
    connection.execute(text("ALTER TABLE images ADD COLUMN torture TEXT"))
    step()
    connection.execute(text("UPDATE images SET torture = hex(digest)"))
    step()
    connection.execute(text("CREATE INDEX by_torture ON images (torture)"))
    step()


def step() -> None:
    """Where a migration may be killed: see `victim.py`."""


@contextmanager
def of_the_future() -> Iterator[None]:
    """This program, one version of the catalog later."""
    known = migrations.MIGRATIONS
    database.SCHEMA_VERSION = SCHEMA_VERSION + 1
    migrations.MIGRATIONS = (*known, migrate)
    try:
        yield
    finally:
        database.SCHEMA_VERSION = SCHEMA_VERSION
        migrations.MIGRATIONS = known
