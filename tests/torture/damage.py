"""A library whose files were altered: searches are right or say why not, and a repair mends it."""

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite.connection import PAGE_SIZE
from retrieval.collection.check import check
from retrieval.locate import FILE_NAME
from tests.retrieval.small import contents, run_index, small_query_bank
from tests.torture.library import Scene, go_on, look_over
from tests.torture.tally import Tally

KINDS = ("noise", "zeros", "swapped", "cut")


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    scene = Scene(folder)
    chance = random.Random(seed)
    catalogs = Tally("pages of the catalog altered")
    for number in range(4 if quick else 200):
        damage_catalog(scene, KINDS[number % len(KINDS)], chance, catalogs)
    yield catalogs
    indexes = Tally("bytes of the index file altered")
    for _ in range(4 if quick else 200):
        damage_index(scene, chance, indexes)
    yield indexes


def damage_catalog(scene: Scene, kind: str, chance: random.Random, tally: Tally) -> None:
    """Some pages, but not the first: without it nothing can be known of the others."""
    tally.tried += 1
    library = indexed(scene)
    path = library / FILE_NAME
    where = f"{tally.fault}, {kind}, number {tally.tried}"
    pages = range(1, path.stat().st_size // PAGE_SIZE)
    one, other = chance.sample(pages, 2)
    data = bytearray(path.read_bytes())
    match kind:
        case "noise":
            data[at(one)] = chance.randbytes(PAGE_SIZE)
        case "zeros":
            data[at(one)] = bytes(PAGE_SIZE)
        case "swapped":
            data[at(one)], data[at(other)] = data[at(other)], data[at(one)]
        case "cut":
            del data[one * PAGE_SIZE + chance.randrange(PAGE_SIZE) :]
    path.write_bytes(data)
    check(library, repair=True)
    look_over(library, tally, where)
    go_on(library, scene, tally, where)
    shutil.rmtree(library)


def at(page: int) -> slice:
    return slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)


def damage_index(scene: Scene, chance: random.Random, tally: Tally) -> None:
    """One byte, anywhere, or all from there on: `check` sees it, a search survives it."""
    tally.tried += 1
    library = indexed(scene)
    [path] = library.glob("vectors-*.faiss")
    place = chance.randrange(path.stat().st_size)
    where = f"{tally.fault}, byte {place}"
    if chance.random() < 0.2:
        os.truncate(path, place)
    else:
        data = bytearray(path.read_bytes())
        data[place] ^= chance.randint(1, 255)
        path.write_bytes(data)
    tally.expect(len(check(library, repair=False)) == 1, f"{where}: check did not see it")
    check(library, repair=True)
    look_over(library, tally, where)
    go_on(library, scene, tally, where)
    shutil.rmtree(library)


def indexed(scene: Scene) -> Path:
    """A library that has seen all changes."""
    whole = scene.folder / "indexed"
    if not whole.exists():
        with closing(Catalog.open(scene.copy("indexed"))) as catalog:
            run_index(catalog, [scene.photos], scene.model, query_bank=small_query_bank)
            assert contents(catalog) == scene.expected
    return Path(shutil.copytree(whole, scene.folder / "library"))
