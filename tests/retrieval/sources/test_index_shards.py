"""Runs over tar shards: what is new, unchanged, changed, broken and gone in them."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.catalog import roots
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import chosen
from retrieval.collection.check import check
from retrieval.decoding.kinds.names import in_words
from retrieval.errors import FailureCode, InvalidValue, PathNotFound
from retrieval.filters import Filters
from retrieval.indexing.targets import named
from retrieval.records import Image
from tests.retrieval.postgres import both_databases
from tests.retrieval.small import SmallEncoder, as_counts, contents, paint, run_index, small_model
from tests.retrieval.sources.test_tar_shard import pack


def picture(folder: Path, seed: int) -> bytes:
    return paint(folder / "painted" / f"{seed}.png", seed).read_bytes()


@pytest.fixture
def shards(base: Path) -> Iterator[Path]:
    """Two shards of three pictures each, with captions."""
    for number in range(2):
        held = {}
        for seed in range(3 * number, 3 * number + 3):
            held[f"{seed:05d}.png"] = picture(base, seed)
            held[f"{seed:05d}.txt"] = f"picture {seed}".encode()
        pack(base / "shards" / f"{number:05d}.tar", held)
    yield base / "shards"


def both(shards: Path) -> list[Path]:
    return [shards / "00000.tar", shards / "00001.tar"]


def touch(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_members_are_pictures_with_captions(catalog: Catalog, shards: Path) -> None:
    assert as_counts(run_index(catalog, both(shards))) == {"new": 6, "encoded": 6}
    [root] = catalog.roots()
    assert root.path == shards and not root.entire
    image = catalog.images.by_id([1])[1]
    [path] = image.paths
    assert path.parent in both(shards) and path.suffix == ".png"
    assert [each.text for each in catalog.images.wordings(1)] == [f"picture {int(path.stem)}"]
    assert check(catalog.place, repair=False) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unchanged_shard_is_not_opened(catalog: Catalog, shards: Path, workers: int) -> None:
    run_index(catalog, both(shards), workers=workers)
    before = contents(catalog)
    for path in both(shards):
        path.chmod(0)
    run_index(catalog, [])  # the times of the inode have changed
    for path in both(shards):
        path.chmod(0o600)
    run_index(catalog, [], workers=workers)
    atimes = [path.stat().st_atime_ns for path in both(shards)]
    encoder = SmallEncoder()
    assert as_counts(run_index(catalog, [], encoder=encoder)) == {"unchanged": 6}
    assert [path.stat().st_atime_ns for path in both(shards)] == atimes
    assert contents(catalog) == before and encoder.pictures == 0


@both_databases
def test_a_changed_shard_is_read_again_and_only_news_are_encoded(
    catalog: Catalog, shards: Path, base: Path
) -> None:
    run_index(catalog, both(shards))
    held = {"00000.png": picture(base, 0), "new.png": picture(base, 9), "00002.png": b"no picture"}
    pack(shards / "00000.tar", held)
    summary = run_index(catalog, [shards / "00000.tar"])
    assert as_counts(summary) == {
        "new": 1,
        "unchanged": 1,
        "failed": 1,
        "removed": 1,
        "encoded": 1,
    }
    [failed] = catalog.files.failures()
    assert failed.path == shards / "00000.tar/00002.png"
    assert as_counts(run_index(catalog, [])) == {"unchanged": 6}


@both_databases
def test_a_shard_that_is_cut_off_keeps_what_can_be_read(catalog: Catalog, shards: Path) -> None:
    run_index(catalog, both(shards))
    before = contents(catalog)
    whole = (shards / "00000.tar").read_bytes()
    (shards / "00000.tar").write_bytes(whole[:3_000])
    summary = run_index(catalog, [])
    assert summary.failed == 1 and summary.removed == 0
    after = contents(catalog)
    reason = after.pop(str(shards / "00000.tar"))
    assert isinstance(reason, str) and "cut off" in reason and after == before
    assert as_counts(run_index(catalog, [])) == {"unchanged": 7}
    (shards / "00000.tar").write_bytes(whole)
    run_index(catalog, [])
    assert contents(catalog) == before


def test_members_in_hidden_folders_and_descriptions_apart_are_told(
    catalog: Catalog, base: Path
) -> None:
    held = {name: picture(base, at) for at, name in enumerate(("1.png", "2.png", ".trash/3.png"))}
    held |= {"@eaDir/1.png/thumb.png": picture(base, 4), "1.txt": b"one"}
    summary = run_index(catalog, [pack(base / "0.tar", held)])
    assert as_counts(summary) == {"new": 2, "encoded": 2}
    assert "1 description not beside the picture of the same key" in summary.problems[0]
    assert in_words(summary.left_out) == "2 hidden files"


def test_a_shard_that_is_there_is_not_said_to_be_missing(catalog: Catalog, shards: Path) -> None:
    run_index(catalog, both(shards)[:1])
    shutil.copy(shards / "00000.tar", shards / "copy.tar")
    summary = run_index(catalog, [shards / "copy.tar"])
    assert as_counts(summary) == {"copied": 3} and summary.problems == ()
    (shards / "00000.tar").unlink()
    shutil.copy(shards / "copy.tar", shards / "new.tar")
    [said] = run_index(catalog, [shards / "new.tar"]).problems
    assert f"{shards / '00000.tar'} (now missing)" in said


def test_a_broken_shard_does_not_stop_the_others(catalog: Catalog, shards: Path) -> None:
    (shards / "00000.tar").write_bytes(b"something else" * 1_000)
    summary = run_index(catalog, both(shards))
    assert as_counts(summary) == {"new": 3, "failed": 1, "encoded": 3}
    [failed] = catalog.files.failures()
    assert (failed.path, failed.code) == (shards / "00000.tar", FailureCode.NOT_A_PICTURE)


def test_a_shard_that_is_gone_takes_its_pictures_along(catalog: Catalog, shards: Path) -> None:
    run_index(catalog, both(shards))
    (shards / "00000.tar").unlink()
    assert as_counts(run_index(catalog, [])) == {"unchanged": 3, "removed": 3}
    assert len(catalog.containers.all()) == 1


def test_a_missing_disk_costs_nothing(catalog: Catalog, shards: Path) -> None:
    run_index(catalog, both(shards))
    shards.rename(shards.with_name("elsewhere"))
    summary = run_index(catalog, [])
    assert as_counts(summary) == {} and len(contents(catalog)) == 6
    assert len(summary.problems) == 1 and "6 known files are kept" in summary.problems[0]


def test_a_folder_and_its_shards_live_side_by_side(
    catalog: Catalog, shards: Path, base: Path
) -> None:
    paint(shards / "beside.png", 50)
    run_index(catalog, [shards])
    assert len(contents(catalog)) == 1
    run_index(catalog, [shards / "00001.tar"])
    assert len(contents(catalog)) == 4
    (shards / "beside.png").unlink()
    paint(shards / "other.png", 51)
    assert as_counts(run_index(catalog, [shards])) == {
        "new": 1,
        "unchanged": 3,
        "removed": 1,
        "encoded": 1,
    }
    assert len(catalog.roots()) == 1


def test_copies_within_and_beside_shards_are_one_image(
    catalog: Catalog, shards: Path, base: Path
) -> None:
    held = {"a.png": picture(base, 0), "b.png": picture(base, 0), "b.txt": b"another caption"}
    pack(shards / "2.tar", held)
    summary = run_index(catalog, [*both(shards), shards / "2.tar"])
    assert summary.encoded == 6 and summary.copied == 2
    images = catalog.images.by_id(range(1, 7))
    several = [image for image in images.values() if len(image.paths) > 1]
    assert [len(image.paths) for image in several] == [3]
    texts = {each.text for each in catalog.images.wordings(several[0].id)}
    assert texts == {"picture 0", "another caption"}


def texts(catalog: Catalog, id: int) -> set[str]:
    return {each.text for each in catalog.images.wordings(id)}


def images_of(catalog: Catalog) -> dict[str, Image]:
    """The images by the names of their files."""
    images = catalog.images.by_id(range(1, 20)).values()
    return {path.name: image for image in images for path in image.paths}


@both_databases
def test_a_caption_that_has_changed_replaces_the_old_one(
    catalog: Catalog, shards: Path, base: Path
) -> None:
    run_index(catalog, both(shards))
    held = {f"{seed:05d}.png": picture(base, seed) for seed in range(3)}
    held["00000.txt"] = b"another"  # and 00001 has none any more
    held["00002.txt"], held["copy.png"] = b"picture 2", held["00002.png"]
    pack(shards / "00000.tar", dict(sorted(held.items())))
    run_index(catalog, [], workers=1)
    of = images_of(catalog)
    assert texts(catalog, of["00000.png"].id) == {"another"}
    assert texts(catalog, of["00001.png"].id) == set()
    assert of["00002.png"].id == of["copy.png"].id
    assert texts(catalog, of["copy.png"].id) == {"picture 2"}
    assert texts(catalog, of["00003.png"].id) == {"picture 3"}  # of the other shard

    held |= {"copy.txt": b"a copy", "00002.txt": b"the second"}
    pack(shards / "00000.tar", dict(sorted(held.items())))
    run_index(catalog, [])
    assert texts(catalog, of["00002.png"].id) == {"a copy", "the second"}


def test_the_table_of_img2dataset_describes_what_its_shard_does_not(
    catalog: Catalog, base: Path
) -> None:
    """As `img2dataset --output_format webdataset` writes it."""
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    held = {f"{seed:09d}.png": picture(base, seed) for seed in range(3)}
    held["000000001.json"] = json.dumps({"caption": "of the json", "key": "000000001"}).encode()
    held["000000002.txt"] = b"of the txt"
    held["notes.md"] = b"1"
    shard = pack(base / "laion" / "00000.tar", dict(sorted(held.items())))
    statuses = [*["success"] * 3, "failed_to_download", "failed_to_resize"]
    rows = [
        {
            "url": f"https://e.example/{number}.jpg",
            "caption": f"row {number}",
            "key": f"{number:09d}",
            "status": status,
            "error_message": None if status == "success" else "HTTP Error 404: Not Found",
            "exif": '{"EXIF DateTimeOriginal": "2019:05:04 10:11:12"}',
        }
        for number, status in enumerate(statuses)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), base / "laion" / "00000.parquet")
    summary = run_index(catalog, [shard])
    assert as_counts(summary) == {"new": 3, "encoded": 3}
    left = "1 other file (documents and the like), 2 pictures that img2dataset could not download"
    assert in_words(summary.left_out) == left
    of = images_of(catalog)
    assert texts(catalog, of["000000000.png"].id) == {"row 0", "https://e.example/0.jpg"}
    assert texts(catalog, of["000000001.png"].id) == {"of the json"}
    assert texts(catalog, of["000000002.png"].id) == {"of the txt", "https://e.example/2.jpg"}
    assert of["000000000.png"].taken_at is not None

    run_index(catalog, [])  # the counts of an unchanged shard stay, also beside its folder's
    run_index(catalog, [base / "laion"])
    [held_out] = catalog.other_files.totals().values()
    assert "2 pictures that img2dataset" in in_words(held_out)

    (base / "laion" / "00000.parquet").write_bytes(b"PAR1 no more")
    touch(shard)
    summary = run_index(catalog, [])
    assert any("the table beside it is not read" in each for each in summary.problems)
    assert as_counts(summary)["unchanged"] == 3


def test_patterns_name_many_shards(
    catalog: Catalog, shards: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert named(None, shards / "{00000..00001}.tar") == both(shards)
    assert named(None, shards / "*.tar") == both(shards)
    assert named(None, [shards / "0000{0,1}.tar"]) == both(shards)
    assert named(None, shards / "{00000..00003}.tar") == both(shards)
    assert "2 of the 4 files" in caplog.text
    for wrong in ("{00005..00007}.tar", "nothing*.tar"):
        with pytest.raises(PathNotFound):
            named(None, shards / wrong)
    with pytest.raises(InvalidValue, match="ends before it begins"):
        named(None, shards / "{00005..00001}.tar")
    with pytest.raises(InvalidValue, match="compressed"):
        named(None, shutil.copy(shards / "00000.tar", shards / "0.tar.gz"))


@both_databases
def test_shards_are_filtered_forgotten_and_relocated(catalog: Catalog, shards: Path) -> None:
    run_index(catalog, both(shards))
    for name in (shards / "00001.tar", "00001.tar"):
        ids = chosen(catalog, Filters(folder=name))
        assert ids is not None and len(ids) == 3
    moved = shards.rename(shards.with_name("moved"))
    assert roots.relocate(catalog, shards, moved) == 6
    encoder = SmallEncoder()
    run_index(catalog, [], encoder=encoder)
    assert encoder.pictures == 0 and len(contents(catalog)) == 6
    assert roots.forget(catalog, moved / "00000.tar") == 3
    assert [each.path for each in catalog.containers.all()] == [b"00001.tar"]


def test_another_model_reads_the_members_again(catalog: Catalog, shards: Path) -> None:
    run_index(catalog, both(shards))
    summary = run_index(catalog, [], model=small_model("other"))
    assert summary.encoded == 6 and catalog.counts().embedded == 6


@pytest.mark.parametrize("is_entire", [False, True])
def test_exclusions_apply_to_members(catalog: Catalog, shards: Path, is_entire: bool) -> None:
    run_index(catalog, [shards, *both(shards)] if is_entire else both(shards))
    run_index(catalog, both(shards), exclude=["00004*"])
    assert len(contents(catalog)) == 5
    assert not any("00004" in path for path in contents(catalog))
    run_index(catalog, both(shards), exclude=["none"])
    assert len(contents(catalog)) == 6


def test_the_bytes_of_a_member_are_found(catalog: Catalog, shards: Path, base: Path) -> None:
    run_index(catalog, both(shards))
    for id, [entry] in catalog.containers.entries(range(1, 7)).items():
        assert entry.part is not None
        with open(entry.path, "rb") as file:
            file.seek(entry.part.offset)
            data = file.read(entry.part.size)
        name = catalog.images.by_id([id])[id].paths[0].stem
        assert data == picture(base, int(name))
