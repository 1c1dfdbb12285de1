"""Nothing is left out in silence: every file of a messy folder is in the summary's numbers."""

import os
from pathlib import Path

import pytest

from retrieval.catalog import roots
from retrieval.catalog.reading import Catalog
from retrieval.collection.status import status_of
from retrieval.decoding.kinds.names import Kind
from retrieval.indexing.companions import ledger
from retrieval.output.report import of_run, of_status
from retrieval.records import Summary
from tests.retrieval.small import as_counts, paint, run_index

FILM = b"\0\0\0\x18ftypqt  \0\0\0\0qt  " + bytes(40)
FOLDERS = (Kind.HIDDEN_FOLDER, Kind.EXCLUDED_FOLDER)


def put(path: Path, data: bytes = b"\1\2\3\0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def renamed(path: Path, to: str) -> Path:
    return path.rename(path.with_name(to))


@pytest.fixture
def mess(base: Path) -> Path:
    """What people have in a folder of pictures."""
    mess = base / "mess"
    for seed, name in enumerate(("IMG_1.jpg", "IMG_2.png", "deep/IMG_3.webp")):
        paint(mess / name, seed)
    renamed(paint(mess / "x.jpg", 10), "wrong.heic")
    renamed(paint(mess / "y.png", 11), "no extension")
    renamed(paint(mess / "z.jpg", 12), "lone.thm")
    put(mess / "film.thm", FILM)
    put(mess / "painting.sun", b"\x59\xa6\x6a\x95" + bytes(28))  # a Sun raster that is cut off
    put(mess / "broken.jpg", b"no picture at all")
    for name in ("IMG_1.MOV", "IMG_1.NEF", "IMG_1.AAE", "._IMG_1.jpg", "IMG_1.THM", "IMG_2.xmp"):
        put(mess / name, FILM if name == "IMG_1.MOV" else b"?")
    put(mess / "IMG_2.png.supplemental-metadata.json", b"{}")
    put(mess / "deep/IMG_3.webp.json", b"{}")
    for name in (
        "lone.MOV",
        "deep/other.ogv",
        "drawing.svg",
        "drawing.ai",
        "odd.xyz",
        "deep/odd.xyz",
    ):
        put(mess / name)
    for name in ("notes.txt", "letter.pdf", "package.json", "song.mp3", "deep/archive.zip"):
        put(mess / name)
    for name in ("lone.xmp", "raw.cr2", ".DS_Store", "._nothing", "skipped.bmp"):
        put(mess / name)
    for name in (".git/config", "node_modules/a.jpg", "left/b.jpg", "left/c.txt"):
        put(mess / name)
    os.mkfifo(mess / "pipe")
    return mess


def counts(summary: Summary) -> int:
    """The files that the summary counts."""
    files = "new changed moved copied failed unchanged companions".split()
    left = sum(each.count for each in summary.left_out if each.kind not in FOLDERS)
    return sum(getattr(summary, name) for name in files) + left


def regular_files(folder: Path) -> int:
    """Those of all folders that are entered."""
    skipped = {".git", "node_modules", "left"}
    return sum(
        path.is_file() and not skipped & set(path.relative_to(folder).parts)
        for path in folder.rglob("*")
    )


def test_every_file_of_a_messy_folder_is_accounted_for(catalog: Catalog, mess: Path) -> None:
    summary = run_index(catalog, [mess], exclude=["left", "*.bmp"])
    assert counts(summary) == regular_files(mess)
    assert as_counts(summary) == {"new": 6, "failed": 6, "encoded": 6}
    assert summary.companions == 8
    left = {(each.kind, each.extension): each.count for each in summary.left_out}
    assert left == {
        ("video", ".ogv"): 1,
        ("drawing", ".svg"): 1,
        ("drawing", ".ai"): 1,
        ("unknown", ".xyz"): 2,
        ("document", ""): 5,
        ("hidden", ""): 2,
        ("hidden_folder", ""): 2,
        ("excluded", ""): 1,
        ("excluded_folder", ""): 1,
    }
    assert counts(run_index(catalog, [])) == regular_files(mess)


def test_what_is_left_out_is_said_with_its_reason(catalog: Catalog, mess: Path) -> None:
    said = of_run(run_index(catalog, [mess], exclude=["left", "*.bmp"]))
    assert "files: 6 new, 6 failed, 8 companions\n" in said
    for words in (
        "2 .xyz (not recognised as pictures)",
        "1 .svg (drawings are not read)",
        "1 .ogv (videos of this kind are not read)",
        "5 other files (documents and the like)",
        "2 hidden files",
        "1 file by --exclude",
    ):
        assert words in said


def test_status_knows_it_without_a_walk(catalog: Catalog, mess: Path) -> None:
    summary = run_index(catalog, [mess])
    mess.rename(mess.with_name("gone"))
    status = status_of(catalog)
    assert status.left_out == summary.left_out and status.companions == 8
    assert "2 .xyz (not recognised as pictures)" in of_status(status)
    run_index(catalog, [])  # the folder is not mounted: all is kept
    assert status_of(catalog).left_out == summary.left_out


def test_a_part_that_is_scanned_again_replaces_its_part(catalog: Catalog, mess: Path) -> None:
    before = {(e.kind, e.extension): e.count for e in run_index(catalog, [mess]).left_out}
    put(mess / "deep/new.xyz")
    (mess / "deep/other.ogv").unlink()
    summary = run_index(catalog, [mess / "deep"])
    assert {(e.kind, e.extension): e.count for e in summary.left_out} == {
        ("unknown", ".xyz"): 2,
        ("document", ""): 1,
    }
    after = {(e.kind, e.extension): e.count for e in status_of(catalog).left_out}
    expected = {**before, ("unknown", ".xyz"): 3}
    del expected["video", ".ogv"]
    assert after == expected


def test_a_folder_that_moves_takes_its_counts_along(catalog: Catalog, mess: Path) -> None:
    run_index(catalog, [mess])
    before = status_of(catalog)
    whole = mess.parent / "whole"
    whole.mkdir()
    mess.rename(whole / "inside")
    roots.relocate(catalog, mess, whole / "inside")
    run_index(catalog, [whole])  # a root that takes in the other
    assert status_of(catalog).left_out == before.left_out
    assert status_of(catalog).companions == before.companions
    roots.forget(catalog, whole)
    assert status_of(catalog).left_out == () and status_of(catalog).companions == 0


def test_a_file_that_is_named_says_the_true_reason(catalog: Catalog, base: Path) -> None:
    mess = base / "named"
    reasons = {
        put(mess / "notes.txt", b"Dear diary"): "text",
        put(mess / "film.mov", FILM): "the video is damaged",
        put(mess / "drawing.svg", b"<svg xmlns='x'/>"): "a drawing (SVG)",
        put(mess / "letter.pdf", b"%PDF-1.7"): "another file (PDF)",
        put(mess / "secret.jpg", b"Salted__" + bytes(range(256))): "encrypted",
        put(
            mess / "deep.psd", b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\1\0\0\0\1\0\x10\0\3"
        ): "16 bits",
        put(mess / "odd.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(9)): "AVIF decoder",
    }
    for path, reason in reasons.items():
        for _ in range(2):  # also when nothing has changed
            [said] = run_index(catalog, [path]).problems
            assert said.startswith(f"{path}: ") and reason in said


def test_a_file_that_was_named_is_not_counted_twice(catalog: Catalog, mess: Path) -> None:
    run_index(catalog, [mess])
    run_index(catalog, [mess / "notes.txt"])
    summary = run_index(catalog, [mess])
    assert as_counts(summary)["unchanged"] == 15  # with two of those that were excluded above
    assert counts(summary) == regular_files(mess) + 2  # those of `left`


def test_a_known_file_without_an_extension_is_not_opened_again(
    catalog: Catalog, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed(paint(base / "photos/a.jpg", 1), "picture")
    assert run_index(catalog, [base / "photos"]).new == 1

    def opened(path: bytes) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(ledger, "kind_by_content", opened)
    assert as_counts(run_index(catalog, [])) == {"unchanged": 1}
