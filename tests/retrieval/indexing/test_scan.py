"""The scan on real folders: what it lists, what it leaves out, and that it always ends."""

import os
import socket
from pathlib import Path

import pytest
from PIL import Image

from retrieval.decoding.formats import FORMATS, NOT_PICTURES, names_meant, pillow_formats
from retrieval.exclusions import of
from retrieval.indexing.scan import Unlisted, scan
from retrieval.sources.folder import LocalFolder

AMBIGUOUS = {".fit", ".fits", ".im", ".vst", ".vda", ".icb", ".palm"}


def touch(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def found(root: Path, inside: str = "", exclude: tuple[str, ...] = ()) -> list[str]:
    items = list(scan(os.fsencode(root), os.fsencode(inside), of(exclude).excluded()))
    assert not [item for item in items if isinstance(item, Unlisted)]
    paths = [os.fsdecode(item.path) for item in items]
    assert len(set(paths)) == len(paths)
    return sorted(paths)


def unlisted(root: Path) -> list[Unlisted]:
    return [item for item in scan(os.fsencode(root)) if isinstance(item, Unlisted)]


def test_extensions_are_pillows_raster_formats() -> None:
    pillow_formats()
    registered = Image.registered_extensions()
    pictures = {ext for ext, format in registered.items() if format not in NOT_PICTURES}
    ours = {ext: format.name for format in FORMATS for ext in format.extensions}
    assert pictures - ours.keys() - AMBIGUOUS == set()
    assert all(registered[ext] == name for ext, name in ours.items() if ext in registered)
    unread = {ext for format in FORMATS if format.needs for ext in format.extensions}
    assert ours.keys() - pictures - unread == {".psb"}  # which this project reads itself


def test_a_format_is_known_by_all_its_names() -> None:
    assert names_meant("jpg") == names_meant(" .JPEG") == ("JPEG", "MPO")
    assert names_meant("heic") == ("HEIF",) and names_meant("jp2") == ("JPEG2000",)
    assert names_meant("nope") == ("NOPE",)


def test_pictures_are_found_with_size_and_time(tmp_path: Path) -> None:
    file = touch(tmp_path / "a/b/PHOTO.JpG", b"12345")
    touch(tmp_path / "a/notes.txt")
    touch(tmp_path / "jpg")
    [item] = scan(os.fsencode(tmp_path))
    status = file.stat()
    expected = (b"a/b/PHOTO.JpG", 5, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    assert item == expected


def test_only_the_part_that_was_asked_for(tmp_path: Path) -> None:
    touch(tmp_path / "a/1.jpg")
    touch(tmp_path / "ab/2.jpg")
    assert found(tmp_path, "a") == ["a/1.jpg"]


def test_hidden_and_foreign_folders_are_skipped(tmp_path: Path) -> None:
    for folder in (".hidden", "@eaDir", "node_modules", ".git", "x/@eaDir", "$RECYCLE.BIN"):
        touch(tmp_path / folder / "1.jpg")
    touch(tmp_path / ".hidden.jpg")
    touch(tmp_path / "x/2.jpg")
    assert found(tmp_path) == ["x/2.jpg"]


def test_the_library_is_no_place_for_pictures(tmp_path: Path) -> None:
    touch(tmp_path / "library/thumbnail.jpg")
    touch(tmp_path / "1.jpg")
    items = list(scan(os.fsencode(tmp_path), library=os.fsencode(tmp_path / "library")))
    assert [item.path for item in items] == [b"1.jpg"]


@pytest.mark.parametrize(
    ("glob", "left"),
    [
        ("raw", ["a.jpg", "b/c.png"]),
        ("raw/", ["a.jpg", "b/c.png"]),
        ("*.jpg", ["b/c.png"]),
        ("b/*", ["a.jpg", "raw/d.jpg", "raw/deep/e.jpg"]),
        ("raw/deep", ["a.jpg", "b/c.png", "raw/d.jpg"]),
        ("[", ["a.jpg", "b/c.png", "raw/d.jpg", "raw/deep/e.jpg"]),
    ],
)
def test_globs_match_names_and_relative_paths(tmp_path: Path, glob: str, left: list[str]) -> None:
    for path in ("a.jpg", "b/c.png", "raw/d.jpg", "raw/deep/e.jpg"):
        touch(tmp_path / path)
    assert found(tmp_path, exclude=(glob,)) == left


def test_links_are_followed_but_no_folder_is_entered_twice(tmp_path: Path) -> None:
    touch(tmp_path / "outside/2.jpg")
    root = tmp_path / "root"
    touch(root / "z/1.jpg")
    os.symlink(root, root / "a-cycle")
    os.symlink("..", root / "z/up")
    os.symlink(root / "z", root / "a-link-to-z")
    os.symlink(tmp_path / "outside", root / "out")
    os.symlink(tmp_path / "outside", root / "out-again")
    os.symlink("self", root / "self")
    os.symlink(root / "z/1.jpg", root / "file.jpg")
    paths = found(root, exclude=("self",))
    assert len(paths) == 3 and {"z/1.jpg", "file.jpg"} <= set(paths)  # real folders go first


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    os.symlink(tmp_path / "unmounted", tmp_path / "disk")
    assert unlisted(tmp_path) == [Unlisted(b"disk", "the link is broken", is_broken_link=True)]


def test_pipes_and_sockets_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(tmp_path)  # the address of a socket must be short
        listening.bind("socket.jpg")
        os.chdir(here)
        os.symlink("/dev/zero", tmp_path / "device.jpg")
        assert found(tmp_path) == []
        for name in (b"pipe.jpg", b"socket.jpg", b"device.jpg", b"nothing.jpg", b""):
            assert LocalFolder(os.fsencode(tmp_path)).look_at(name) is None


NASTY = [b"new\nline.jpg", b"\xff\xfe.jpg", b"' \" % _ *.jpg", b" .jpg", b"n" * 251 + b".jpg"]


@pytest.mark.parametrize("name", NASTY)
def test_names_are_bytes(tmp_path: Path, name: bytes) -> None:
    try:
        touch(tmp_path / os.fsdecode(name))
    except OSError:
        pytest.skip("this file system has no such names")
    assert [item.path for item in scan(os.fsencode(tmp_path))] == [name]
    assert LocalFolder(os.fsencode(tmp_path)).look_at(name) is not None


def test_names_that_differ_in_case_are_two_files(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", b"1")
    touch(tmp_path / "A.JPG", b"22")
    if len(os.listdir(tmp_path)) == 1:
        pytest.skip("this file system knows no case")
    assert found(tmp_path) == ["A.JPG", "a.jpg"]


def test_very_many_files_in_one_folder(tmp_path: Path) -> None:
    count = 100_000
    for number in range(count):
        os.close(os.open(tmp_path / f"{number}.jpg", os.O_CREAT))
    assert len(found(tmp_path)) == count


def test_depth_costs_no_stack(tmp_path: Path) -> None:
    depth = 200
    touch(tmp_path.joinpath(*["d"] * depth) / "1.jpg")
    assert found(tmp_path) == ["d/" * depth + "1.jpg"]


def test_paths_longer_than_the_system_allows_are_told(tmp_path: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tmp_path)
        for _ in range(20):  # 20 × 255 bytes are beyond what one call may name
            os.mkdir("d" * 255)
            os.chdir("d" * 255)
    finally:
        os.fchdir(here)
        os.close(here)
    assert [item.reason for item in unlisted(tmp_path)] == ["File name too long"]


def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert unlisted(tmp_path / "gone") == [Unlisted(b"", "No such file or directory")]
