"""Links, copies and folders that moved: what `duplicates` lists can be removed, nothing is lost."""

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from click.testing import CliRunner

from retrieval.catalog.reading import Catalog
from retrieval.cli.main import cli
from retrieval.errors import RetrieveError
from tests.retrieval.small import paint, run_index, small_model, small_query_bank
from tests.torture.tally import Tally

STEPS = 8  # changes before the last run, at most
AFTER = 3  # … and after it, at most
FOLDERS = ("a", "b", "a/deep")
ENDS = (".png", " (1).png", " - Copy.png", "\n.png")  # of names
Change = Callable[[Path, Path, Path, random.Random], None]


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    tally = Tally("links, copies, moved folders: files listed as redundant")
    rounds = 12 if quick else 300
    for number in range(rounds):
        remove_redundant(folder / str(number), random.Random(f"{seed} {number}"), tally)
    tally.note = f"{rounds:,} libraries"
    yield tally


def remove_redundant(base: Path, chance: random.Random, tally: Tally) -> None:
    """Changes and runs in any order, and then `duplicates --threshold 1 -0 | xargs -0 rm`."""
    base = Path(os.path.realpath(base.parent)) / base.name
    photos, done = base / "photos", list[str]()
    for number, name in enumerate(FOLDERS):
        paint(photos / name / f"{number}.png", number)
        paint(photos / name / f"{number + 10}.png", number + 10)
    with closing(Catalog.open(base / "library", create=True)) as catalog:
        for _ in range(chance.randint(1, STEPS)):
            done.append(change(photos, chance))
            if chance.random() < 0.2:
                done.append(index(catalog, base, chance))
        done.append(index(catalog, base, chance))
        done += [change(photos, chance) for _ in range(chance.randint(0, AFTER))]
    where = f"{tally.fault}: {', '.join(done)}"
    before = contents_of(photos)
    listed = redundant(base / "library", tally, where)
    check_listed(listed, photos, tally, where)
    for path in listed:
        if os.path.lexists(path):
            os.remove(path)
    tally.expect(contents_of(photos) == before, f"{where}: removed {listed}: a picture is lost")
    shutil.rmtree(base)


def redundant(library: Path, tally: Tally, where: str) -> list[bytes]:
    command = ["--library", str(library), "duplicates", "--threshold", "1", "-0"]
    ran = CliRunner().invoke(cli, command)
    if ran.exit_code:
        tally.expect(ran.stderr.startswith("error: "), f"{where}: {ran.exception!r}")
    listed = [path for path in ran.stdout_bytes.split(b"\0") if path]
    tally.tried += len(listed)
    return listed


def check_listed(listed: list[bytes], photos: Path, tally: Tally, where: str) -> None:
    """Each is a file of its own, and another one of the same content stays."""
    places = {os.path.realpath(os.fsdecode(path)) for path in listed}
    kept = {
        (digest_of(path), identity(path))
        for path in files(photos)
        if not path.is_symlink() and os.path.realpath(path) not in places
    }
    for path in listed:
        is_file = os.path.isfile(path) and not os.path.islink(path)
        own = identity(path) if is_file else None
        others = [other for digest, other in kept if is_file and digest == digest_of(path)]
        is_redundant = any(other != own for other in others)
        tally.expect(is_redundant, f"{where}: {os.fsdecode(path)} is not redundant")
    tally.expect(len(places) == len(listed), f"{where}: listed twice")


# -- what changes --------------------------------------------------------------------------------


def change(photos: Path, chance: random.Random) -> str:
    """One, of any kind; says which."""
    there = [path for path in files(photos) if not path.is_symlink()]
    path = chance.choice(there)
    kinds = (copy, link, hard_link, move, folder_moves, folder_linked, swap, replace, remove)
    kind: Change = chance.choice(kinds)
    new = photos / chance.choice(FOLDERS) / f"{chance.randrange(10**6)}{chance.choice(ENDS)}"
    new.parent.mkdir(parents=True, exist_ok=True)
    kind(photos, path, new, chance)
    return kind.__name__.replace("_", " ")


def copy(photos: Path, path: Path, new: Path, chance: random.Random) -> None:
    chance.choice([shutil.copy, shutil.copy2])(path, new)


def link(photos: Path, path: Path, new: Path, chance: random.Random) -> None:
    """A symbolic one, absolute or not."""
    is_absolute = chance.random() < 0.5
    new.symlink_to(path if is_absolute else os.path.relpath(path, new.parent))


def hard_link(photos: Path, path: Path, new: Path, chance: random.Random) -> None:
    new.hardlink_to(path)


def move(photos: Path, path: Path, new: Path, chance: random.Random) -> None:
    path.rename(new)


def folder_moves(photos: Path, path: Path, new: Path, chance: random.Random) -> None:
    """To another name, where a link leads from the old one, or does not."""
    folder = chance.choice([each for each in FOLDERS if (photos / each).is_dir()])
    there = photos / f"moved {chance.randrange(10**6)}"
    old = photos / folder
    if old.is_symlink():
        return
    old.rename(there)
    if chance.random() < 0.5:
        old.parent.mkdir(parents=True, exist_ok=True)
        old.symlink_to(there)


def folder_linked(photos: Path, path: Path, new: Path, chance: random.Random) -> None:
    (photos / f"link {chance.randrange(10**6)}").symlink_to(path.parent)


def swap(photos: Path, path: Path, new: Path, chance: random.Random) -> None:
    """Two files take each other's name."""
    other = chance.choice([each for each in files(photos) if not each.is_symlink()])
    path.rename(new)
    if other != path:
        other.rename(path)
        new.rename(other)


def replace(photos: Path, path: Path, new: Path, chance: random.Random) -> None:
    """Another content, of the same time as before or not."""
    before = path.stat()
    paint(new, chance.randrange(100, 10**6))
    os.replace(new, path)
    if chance.random() < 0.5:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(photos: Path, path: Path, new: Path, chance: random.Random) -> None:
    if len(files(photos)) > 4:
        path.unlink()


# -- looking -------------------------------------------------------------------------------------


def index(catalog: Catalog, base: Path, chance: random.Random) -> str:
    """A run over all, over a folder of it, or by another way into it."""
    photos, way = base / "photos", base / "way"
    if not way.is_symlink():
        way.symlink_to(photos)
    place = chance.choice([photos, photos, way, photos / "a"])
    with suppress(RetrieveError):  # a folder may be gone
        run_index(catalog, [place], small_model(), query_bank=small_query_bank)
    return f"index {place.name}"


def files(photos: Path) -> list[Path]:
    """All of them, without following links to folders; links to files as well."""
    found = (Path(folder) / name for folder, _, names in os.walk(photos) for name in names)
    return sorted(path for path in found if path.is_file())


def contents_of(photos: Path) -> set[str]:
    return {digest_of(path) for path in files(photos)}


def digest_of(path: Path | bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(path: Path | bytes) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
