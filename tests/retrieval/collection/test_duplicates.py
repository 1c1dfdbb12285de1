"""Advice on what is redundant loses nothing: in any situation a file is called so only if another
one, which stays, holds the same at that moment. And which of several is kept.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from retrieval import Library
from retrieval.catalog.copy_names import is_copy_name
from retrieval.catalog.reading import Catalog
from retrieval.cli.main import cli
from retrieval.collection import duplicates, nearness
from retrieval.collection.nearness import (
    MAX_BITS_ALIKE,
    MAX_BITS_SAME,
    Nearness,
    Twins,
    distances,
    mean_cosine,
    mirrored,
    packed,
)
from retrieval.decoding.decode import SMALL_SIDE, decode
from retrieval.decoding.difference_hash import EMPTY_HASH, difference_hash
from tests.retrieval.catalog.test_migration import as_of_version_1
from tests.retrieval.small import as_counts, contents, paint, run_index

LIBRARY = "library"


def typed(*arguments: object) -> bytes:
    command = [*map(str, arguments), "--library", LIBRARY]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def index(*paths: object) -> None:
    typed("index", *paths, "--workers", 0)


def redundant() -> list[Path]:
    """What the pipe that the help names would be given."""
    said = typed("duplicates", "--threshold", 1, "-0")
    return [Path(os.fsdecode(path)) for path in said.split(b"\0")[:-1]]


def held(*folders: Path) -> set[str]:
    """The contents that can be read below these folders."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def copied(source: Path, *places: Path) -> None:
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


# -- situations ----------------------------------------------------------------------------------


def a_link_beside_its_target(base: Path) -> None:
    (base / "album").mkdir()
    (base / "album/one.png").symlink_to("../photos/one.png")
    (base / "album/all").symlink_to("../photos")
    index(base)


def a_folder_that_moved(base: Path) -> None:
    index(base / "photos")
    (base / "photos").rename(base / "new")
    index(base / "new")


def a_second_root_through_a_link(base: Path) -> None:
    (base / "other").mkdir()
    (base / "other/link").symlink_to("../photos")
    (base / "other/one.png").symlink_to("../photos/one.png")
    index(base / "photos")
    index(base / "other")


def links_in_a_circle(base: Path) -> None:
    (base / "photos/up").symlink_to("..")
    (base / "photos/self.png").symlink_to("self.png")
    index(base)


def a_hard_link(base: Path) -> None:
    os.link(base / "photos/one.png", base / "photos/hard.png")
    os.link(base / "photos/two.png", base / "two.png")
    index(base)


def a_folder_in_the_place_of_a_file(base: Path) -> None:
    copied(base / "photos/one.png", base / "a.png")
    index(base)
    (base / "a.png").unlink()
    (base / "a.png").mkdir()


def a_link_in_the_place_of_a_file(base: Path) -> None:
    copied(base / "photos/one.png", base / "a.png")
    index(base)
    (base / "photos/one.png").unlink()
    (base / "photos/one.png").symlink_to("../a.png")


def a_folder_that_became_a_link(base: Path) -> None:
    index(base / "photos")
    (base / "photos").rename(base / "new")
    (base / "photos").symlink_to("new")
    index(base / "new")


def the_one_to_keep_on_a_disk_that_is_gone(base: Path) -> None:
    copied(base / "photos/one.png", base / "disk/o.png")
    copied(base / "photos/two.png", base / "disk/t.png")
    index(base / "photos")
    index(base / "disk")
    (base / "disk").rename(base / "unmounted")
    (base / "disk").mkdir()


def one_that_changed_since(base: Path) -> None:
    copied(base / "photos/one.png", base / "photos/old.png")
    index(base)
    paint(base / "photos/one.png", 77)


def two_that_swapped_their_names(base: Path) -> None:
    """Of one size and time, so that only the inode, or its last change, tells."""
    one, old, other = (base / f"photos/{name}.bmp" for name in ("x", "x (1)", "y"))
    Image.new("RGB", (20, 10), "red").save(one)
    Image.new("RGB", (20, 10), "blue").save(other)
    copied(one, old)
    for file in (one, old, other):
        os.utime(file, (1e9, 1e9))
    index(base)
    with closing(sqlite3.connect(Path(LIBRARY, "catalog.sqlite"))) as catalog:
        for file in base.rglob("*.*"):
            known = os.stat(file).st_ctime_ns, os.stat(file).st_ino
            at = os.fsencode(file.relative_to(base))
            catalog.execute("UPDATE files SET ctime_ns = ?, inode = ? WHERE path = ?", (*known, at))
        catalog.commit()
    one.rename(base / "aside")
    other.rename(one)
    (base / "aside").rename(other)


def one_that_shrank_to_nothing(base: Path) -> None:
    copied(base / "photos/one.png", base / "photos/old.png", base / "photos/older.png")
    index(base)
    (base / "photos/old.png").write_bytes(b"")


SITUATIONS: list[Callable[[Path], None]] = [
    a_link_beside_its_target,
    a_folder_that_moved,
    a_second_root_through_a_link,
    links_in_a_circle,
    a_hard_link,
    a_folder_in_the_place_of_a_file,
    a_link_in_the_place_of_a_file,
    a_folder_that_became_a_link,
    the_one_to_keep_on_a_disk_that_is_gone,
    one_that_changed_since,
    two_that_swapped_their_names,
    one_that_shrank_to_nothing,
]


@pytest.fixture
def base(home: Path) -> Path:
    base = Path(os.path.realpath(home)) / "pictures"
    for seed, name in enumerate(("one", "two", "three")):
        paint(base / f"photos/{name}.png", seed)
    return base


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.__name__)
def test_whoever_deletes_what_is_redundant_loses_nothing(
    base: Path, situation: Callable[[Path], None]
) -> None:
    situation(base)
    before = held(base)
    found = json.loads(typed("duplicates", "--threshold", 1, "--json"))
    kept = [Path(group["keep"]["path"]) for group in found]
    spare = redundant()
    for path in [*kept, *spare]:
        assert path.is_file() and not path.is_symlink()
    assert len({(os.stat(path).st_dev, os.stat(path).st_ino) for path in kept + spare}) == len(
        kept + spare
    )
    for path in spare:
        path.unlink()
    assert held(base) == before
    assert redundant() == []


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.__name__)
def test_a_true_copy_is_still_found(base: Path, situation: Callable[[Path], None]) -> None:
    copied(base / "photos/three.png", base / "photos/true copy.png")
    os.utime(base / "photos/true copy.png", (2e9, 2e9))
    situation(base)
    assert "true copy.png" in [path.name for path in redundant()]


def test_what_is_left_out_is_said(base: Path) -> None:
    a_folder_that_moved(base)
    result = CliRunner().invoke(cli, ["duplicates", "--library", LIBRARY])
    assert "note: 3 files are missing or changed and left out" in result.stderr
    with Library.open(LIBRARY) as library:
        assert library.duplicates().left_out == 3


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux has them")
def test_a_second_mount_of_a_folder_is_no_copy(base: Path) -> None:
    """In namespaces of its own, where any user may mount."""
    (base / "again").mkdir()
    retrieve = f"{sys.executable} -m retrieval.cli.main"
    script = f"""mount --bind photos again || exit 77
        {retrieve} index photos --library l && {retrieve} index again --library l &&
        exec {retrieve} duplicates --threshold 1 --paths --library l >paths"""
    mine = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    paths = {**os.environ, "PYTHONPATH": str(Path(nearness.__file__).parents[2])}
    run = subprocess.run(mine, cwd=base, env=paths, capture_output=True)
    if run.returncode in (1, 77) and not (base / "paths").exists():
        pytest.skip(f"nothing can be mounted here: {run.stderr.decode()}")
    assert run.returncode == 0, run.stderr
    assert (base / "paths").read_bytes() == b""


# -- a file system that is blind to case ---------------------------------------------------------


@pytest.fixture
def case_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are found in any case and in either form, with numbers of their own, as exFAT by FUSE
    does it; folders list them as they are written."""
    real = {name: getattr(os, name) for name in ("stat", "lstat", "open")}

    def blind(name: str) -> Callable[..., object]:
        def call(path: object, *rest: object, **more: object) -> object:
            try:
                return real[name](path, *rest, **more)
            except FileNotFoundError:
                if not isinstance(path, (str, bytes, Path)) or (true := _true(path)) is None:
                    raise
                return real[name](true, *rest, **more)

        return call

    for name in real:
        monkeypatch.setattr(os, name, blind(name))


def _true(path: "str | bytes | Path") -> str | None:
    """As folders list it."""
    found = "/"
    for part in Path(os.path.abspath(os.fsdecode(path))).parts[1:]:
        wanted = unicodedata.normalize("NFC", part).casefold()
        names = os.listdir(found)
        same = [n for n in names if unicodedata.normalize("NFC", n).casefold() == wanted]
        if not same:
            return None
        found = os.path.join(found, part if part in names else same[0])
    return found


RENAMES = {
    "of a folder": ("PIter.2023", "Piter.2023"),
    "of a folder's form": ("Mu\u0308ller", "M\u00fcller"),
    "of all its files": ("pictures", "pictures"),
}


@pytest.mark.parametrize("old, new", RENAMES.values(), ids=RENAMES)
def test_a_rename_in_case_alone_is_a_move(
    tmp_path: Path, case_blind: None, old: str, new: str
) -> None:
    root = Path(os.path.realpath(tmp_path)) / "root"
    for seed in range(3):
        paint(root / old / f"{seed}.PNG", seed)
    with closing(Catalog.open(tmp_path / "library", create=True)) as catalog:
        run_index(catalog, [root])
        (root / old).rename(root / "aside")
        (root / "aside").rename(root / new)
        for seed in range(3 if old == new else 0):
            (root / new / f"{seed}.PNG").rename(root / new / f"{seed}.png")
        assert (root / old / "0.PNG").exists()
        assert as_counts(run_index(catalog, [])) == {"moved": 3}
        assert sorted(contents(catalog)) == sorted(str(path) for path in (root / new).iterdir())
        assert as_counts(run_index(catalog, [])) == {"unchanged": 3}


def test_a_root_renamed_in_case_alone_is_one(tmp_path: Path, case_blind: None) -> None:
    base = Path(os.path.realpath(tmp_path))
    old, new = base / "PIter.2023", base / "Piter.2023"
    for seed in range(3):
        paint(old / f"{seed}.png", seed)
    with closing(Catalog.open(base / "library", create=True)) as catalog:
        run_index(catalog, [old])
        assert as_counts(run_index(catalog, [base / "piter.2023"])) == {"unchanged": 3}
        old.rename(base / "aside")
        (base / "aside").rename(new)
        assert as_counts(run_index(catalog, [new])) == {"unchanged": 3}
        assert sorted(contents(catalog)) == [str(new / f"{seed}.png") for seed in range(3)]
        assert [root.path for root in catalog.roots()] == [new]
        assert as_counts(run_index(catalog, [])) == {"unchanged": 3}


def test_a_disk_that_is_gone_is_not_one_of_another_spelling(tmp_path: Path) -> None:
    base = Path(os.path.realpath(tmp_path))
    paint(base / "Disk/0.png", 0)
    paint(base / "disk/1.png", 1)
    if os.path.samefile(base / "Disk", base / "disk"):
        pytest.skip("case is all one here")
    with closing(Catalog.open(base / "library", create=True)) as catalog:
        run_index(catalog, [base / "Disk"])
        (base / "Disk").rename(base / "unmounted")
        run_index(catalog, [base / "disk"])
        assert sorted(contents(catalog)) == [str(base / "Disk/0.png"), str(base / "disk/1.png")]


def test_a_named_file_renamed_in_case_alone(tmp_path: Path, case_blind: None) -> None:
    folder = Path(os.path.realpath(tmp_path)) / "photos"
    paint(folder / "ONE.png", 1)
    with closing(Catalog.open(tmp_path / "library", create=True)) as catalog:
        run_index(catalog, [folder / "ONE.png"])
        (folder / "ONE.png").rename(folder / "one.png")
        run_index(catalog, [folder / "one.png"])
        run_index(catalog, [])
        assert list(contents(catalog)) == [str(folder / "one.png")]


def test_another_spelling_of_a_file_is_no_copy(base: Path, case_blind: None) -> None:
    index(base)
    (base / "photos").rename(base / "aside")
    (base / "aside").rename(base / "Photos")
    copied(base / "Photos/one.png", base / "true copy.png")
    index(base / "Photos", base / "true copy.png")
    assert redundant() == [base / "true copy.png"]


def test_a_hidden_file_that_was_named_stays(tmp_path: Path) -> None:
    folder = Path(os.path.realpath(tmp_path)) / "photos"
    paint(folder / ".hidden/one.png", 1)
    with closing(Catalog.open(tmp_path / "library", create=True)) as catalog:
        run_index(catalog, [folder])
        run_index(catalog, [folder / ".hidden/one.png"])
        assert as_counts(run_index(catalog, [])) == {"unchanged": 1}


# -- living copies first -------------------------------------------------------------------------


def test_a_copy_that_is_there_comes_first(base: Path) -> None:
    a_folder_that_moved(base)  # "new" comes before "photos"
    (base / "new").rename(base / "z")
    index(base / "z")
    photo = base / "z/one.png"
    for command in (["search", "a car"], ["similar", photo], ["search", photo, "--in", base]):
        found = json.loads(typed(*command, "--json"))
        assert found and all(Path(each["path"]).is_file() for each in found)
        assert all(each["path"] not in each["copies"] for each in found)
    typed("search", photo, "--sheet", "sheet.html")
    assert 'class="gone"' not in Path("sheet.html").read_text()
    Path("labels.txt").write_text("red\nblue\n")
    tagged = json.loads(typed("tag", base, "--labels", "labels.txt", "--json"))
    assert [Path(each["path"]).parent for each in tagged] == 3 * [base / "z"]


def test_a_file_comes_before_a_link_to_it(base: Path) -> None:
    (base / "a").symlink_to("photos/one.png")
    os.rename(base / "a", base / "a.png")
    index(base)
    [first] = json.loads(typed("search", base / "photos/one.png", "--json", "-n", 1))
    assert first["path"] == str(base / "photos/one.png")
    assert first["copies"] == [str(base / "a.png")]


# -- which of several is kept --------------------------------------------------------------------

COPIES = (
    "x (1).jpg|x(1).jpg|IMG_1 (12).JPG|Copy of x.jpg|Copy (2) of x.jpg|x - Copy (2).jpg"
    "|x - Copy.jpg|x copy.jpg|x copy 3.jpg|x_copy.jpg|x (copy).jpg|x (another copy).jpg"
    "|x (3rd copy).jpg"
    "|x - Kopie.jpg|x - Kopie (2).jpg|x Kopie 2.jpg|Kopie von x.jpg|Kopie van x.jpg|x copia.jpg"
    "|x - copia.jpg|copia de x.jpg|Copia di x.jpg|x - Cópia.jpg|Cópia de x.jpg|x copie.jpg"
    "|Copie de x.jpg|Kopia av x.jpg|x — kopia (2).png|Kopi af x.jpg|コピー.jpg|x - コピー.jpg"
    "|xのコピー.jpg|x 副本.jpg|x的副本.jpg|x 복사본.jpg|x — копия.jpg|Копия x.jpg|x másolata.jpg"
).split("|")
OTHERS = (
    "x.jpg|copyright.jpg|photocopy.jpg|Kopierer.jpg|copy shop.jpg|beach (2019).jpg|Copacabana.jpg"
    "|x 2.jpg|IMG_1234.jpg|hardcopy2.jpg|Kopi Luwak.jpg|1.jpg|copie.jpg|.jpg|(1)"
).split("|")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_of_copies(form: str) -> None:
    def spelled(names: list[str]) -> list[str]:
        return [unicodedata.normalize(form, name) for name in names]

    assert [name for name in spelled(COPIES) if not is_copy_name(name)] == []
    assert [name for name in spelled(OTHERS[:-1]) if is_copy_name(name)] == []


@pytest.mark.parametrize("name", ["a (1).png", "Copy of one.png", "0 - Kopie.png", "one copia.png"])
def test_a_name_of_a_copy_loses_though_it_is_older(base: Path, name: str) -> None:
    copied(base / "photos/one.png", base / "photos" / name)
    os.utime(base / "photos" / name, (1e9, 1e9))
    index(base)
    assert redundant() == [base / "photos" / name]


def test_then_the_older_then_the_shorter(base: Path) -> None:
    copied(base / "photos/one.png", base / "a.png")
    os.utime(base / "a.png", (2e9, 2e9))  # newer, though shorter
    copied(base / "photos/two.png", base / "photos/longer/a.png")
    for same in ("photos/two.png", "photos/longer/a.png"):
        os.utime(base / same, (1e9, 1e9))
    index(base)
    assert sorted(redundant()) == [base / "a.png", base / "photos/longer/a.png"]


def test_an_original_is_kept_before_what_was_saved_from_it(base: Path) -> None:
    photo = photographed(5)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2015:06:01 12:00:00"
    photo.save(base / "photos/original.jpg", quality=95, exif=exif)
    photo.save(base / "a.jpg", quality=94)
    index(base)
    found = json.loads(typed("duplicates", "--threshold", 0.99, "--json"))
    group = next(each for each in found if each["keep"]["path"].endswith(".jpg"))
    assert group["keep"]["path"] == str(base / "photos/original.jpg")


# -- near copies ---------------------------------------------------------------------------------


def photographed(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Shapes as a photo has them: not two seeds give nearly the same."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def hashes_of(*pictures: Image.Image) -> nearness.Hashes:
    return packed([difference_hash(picture) for picture in pictures])


def test_the_hash_survives_edits_and_tells_strangers_apart() -> None:
    photos = [photographed(seed) for seed in range(100)]
    grey = hashes_of(*(photo.convert("L").convert("RGB") for photo in photos))
    small = hashes_of(*(photo.resize((64, 64)) for photo in photos))
    mirror = hashes_of(*(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for photo in photos))
    own = hashes_of(*photos)
    for edited in (grey, small, mirror):
        assert (distances(own, edited) <= MAX_BITS_SAME).mean() > 0.9
    assert (mirrored(mirrored(own)) == own).all()
    strangers = distances(own[:, np.newaxis].repeat(100, 1).ravel(), np.tile(own, 100))
    assert (strangers.reshape(100, 100)[~np.eye(100, dtype=bool)] > MAX_BITS_ALIKE - 6).all()


def test_what_has_no_pattern_is_like_nothing() -> None:
    ramp = np.linspace(0, 255, 96, dtype=np.uint8)
    across, down = np.tile(ramp, (96, 1)), np.tile(ramp[:, np.newaxis], (1, 96))
    grainy = np.random.default_rng(0).normal(128, 4, (96, 96, 3)).clip(0, 255).astype(np.uint8)
    middle = np.minimum(across, across[:, ::-1])
    plain = [Image.new("RGB", (50, 40), colour) for colour in ("white", "black", "red")]
    drawn = [Image.fromarray(each) for each in (across, down, middle, grainy)]
    assert {difference_hash(each.convert("RGB")) for each in plain + drawn} == {EMPTY_HASH}
    nothing = packed([EMPTY_HASH, EMPTY_HASH])
    assert (distances(nothing, nothing) == 64).all()
    assert not len(Twins(nothing).of(0))


def test_twins_are_found_as_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearness, "MAX_PAIRS", 50)
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 1 << 63, 60, dtype=np.uint64)
    hashes = np.concatenate([hashes, hashes, mirrored(hashes), np.zeros(20, np.uint64)])
    for row in range(60, 180):
        for bit in generator.choice(64, row % 5, replace=False):
            hashes[row] ^= np.uint64(1) << np.uint64(bit)
    twins = Twins(hashes)
    for row in range(200):
        near = np.flatnonzero(distances(hashes[row : row + 1].repeat(200), hashes) <= MAX_BITS_SAME)
        assert sorted(twins.of(row)) == (near.tolist() if len(near) > 1 else [])
    assert sum(len(twins.of(row)) > 1 for row in range(200)) > 100


def test_a_grey_copy_is_found_where_vectors_are_far(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(12):
        photographed(seed).save(base / f"photos/{seed}.png")
    photographed(3).convert("L").resize((120, 90)).save(base / "grey.jpg")
    for number, colour in enumerate(("white", "black", "red")):
        Image.new("RGB", (160, 120), colour).save(base / f"plain {number}.png")
    index(base)
    monkeypatch.setattr(nearness, "_measured", dict)
    monkeypatch.setattr(Nearness, "of", lambda *_: Nearness(2.0, 2.0, -1.0))  # hashes alone
    [group] = json.loads(typed("duplicates", "--json"))
    [other] = group["others"]
    assert group["keep"]["path"] == str(base / "photos/3.png")
    assert (other["path"], other["by"]) == (str(base / "grey.jpg"), "hash")
    assert typed("duplicates").decode().splitlines()[1].startswith("alike\t120x90\t")
    said = json.loads(typed("duplicates", "--json", "--threshold", 0.999999))
    assert all(one["by"] != "hash" for each in said for one in each["others"])


def test_thresholds_are_a_models_own() -> None:
    assert Nearness.of("tiny-2") != Nearness.of("somebody's")
    assert Nearness.of("somebody's") == Nearness()
    assert Nearness().alone == 0.97
    for near in (Nearness.of("tiny-2"), Nearness(), *(Nearness.of("x", m) for m in (-1, 0, 0.99))):
        assert near.floor < near.both <= near.alone <= 1


def test_a_model_that_was_not_measured_gets_the_distances_of_one_that_was() -> None:
    """Cosines of 0.3, 0.6 and 0.9 between unrelated pictures, as families differ."""
    measured, apart = Nearness.of("tiny-2"), np.random.default_rng(0).normal(size=(2_000, 64))
    apart -= apart.mean(axis=0)
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    for mean in (0.3, 0.6, 0.9):
        vectors = np.hstack([np.full((2_000, 1), mean**0.5), (1 - mean) ** 0.5 * apart])
        found = mean_cosine(vectors.astype(np.float16))
        assert found == pytest.approx(mean, abs=1e-3)
        near = Nearness.of("somebody's", found)
        for ours, theirs in ((near.alone, measured.alone), (near.both, measured.both)):
            assert (1 - ours) / (1 - mean) == pytest.approx((1 - theirs) / 0.955, rel=0.02)
        assert near.floor == Nearness().floor
    assert Nearness.of("tiny-2", 0.9) == measured
    assert mean_cosine(apart[:50]) is None, "too few to tell"


def test_a_library_has_a_threshold_of_its_own(tmp_path: Path) -> None:
    """The small encoder's cosines are high: at 0.97, unrelated pictures would be near copies."""
    for seed in range(110):
        paint(tmp_path / f"photos/{seed}.png", seed)
    with closing(Catalog.open(tmp_path / "library", create=True)) as catalog:
        run_index(catalog, [tmp_path / "photos"])
        model = catalog.current_model()
        assert model is not None
        found = duplicates.find(catalog, model, None, None)
        assert found.threshold > 0.985 and not found
        assert duplicates.find(catalog, model, 0.97, None)


def test_a_threshold_of_1_is_the_same_bytes_alone(base: Path) -> None:
    picture = Image.open(base / "photos/one.png")
    picture.save(base / "same pixels.bmp")
    index(base)
    assert redundant() == []


def test_older_libraries_get_their_hashes_without_encoding(tmp_path: Path) -> None:
    base = Path(os.path.realpath(tmp_path))
    for seed in range(3):
        photographed(seed).save(paint(base / f"photos/{seed}.png", seed))
    with closing(Catalog.open(base / "library", create=True)) as catalog:
        run_index(catalog, [base / "photos"])
        fresh = catalog.images.difference_hashes([1, 2, 3])
    assert len(fresh) == 3 and EMPTY_HASH not in fresh.values()
    as_of_version_1(base / "library/catalog.sqlite")
    with closing(Catalog.open(base / "library")) as catalog:
        assert catalog.images.difference_hashes([1, 2, 3]) == {}
        assert as_counts(run_index(catalog, [], workers=1)) == {"unchanged": 3}
        again = catalog.images.difference_hashes([1, 2, 3])
        assert catalog.images.undescribed() == []
    assert EMPTY_HASH not in again.values()
    photos = [(base / f"photos/{seed}.png").read_bytes() for seed in range(3)]
    assert set(again.values()) == {decode(photo, SMALL_SIDE).difference_hash for photo in photos}


def test_a_copy_that_was_changed_and_given_its_time_back_is_none(indexed: Path) -> None:
    """As by programs that edit tags. The library was copied here, so that no ctime is as it was."""
    path = indexed / "small" / "red again.png"
    with Library.open(indexed) as library:
        [group] = library.duplicates(1)
        assert {group.kept.path, group.others[0].path} == {indexed / "large" / "red.png", path}
        status, data = path.stat(), bytearray(path.read_bytes())
        data[-20] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert library.duplicates(1) == [] and library.duplicates(1).left_out == 1
