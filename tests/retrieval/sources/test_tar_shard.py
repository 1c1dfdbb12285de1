"""Tar shards: their members, what lies beside them, and what may be wrong with them."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.sources.tar_shard import Member, TarShard, cleaned, key_of

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def pack(path: Path, members: Mapping[str, bytes], form: str = "pax") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=FORMATS[form]) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_700_000_000
            tar.addfile(info, io.BytesIO(data))
    return path


def listed(path: Path) -> tuple[list[Member], TarShard, UnreadablePicture | None]:
    """The members, and why there are no more."""
    members: list[Member] = []
    with path.open("rb") as file:
        shard = TarShard(file, path.stat().st_size)
        try:
            members.extend(shard.members())
        except UnreadablePicture as error:
            return members, shard, error
    return members, shard, None


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_found_with_their_bytes(tmp_path: Path, form: str) -> None:
    long = "folder/" + "x" * 90 + "/" + "y" * 90 + ".jpg"
    held = {"a.jpg": b"1" * 700, "./b/é.PNG": b"22", long: b"333", "notes.md": b"4", "_.txt": b"5"}
    path = pack(tmp_path / "0.tar", held, form)
    members, shard, error = listed(path)
    assert error is None and shard.unsafe == 0 and sum(shard.left_out.values()) == 1
    assert [each.name.decode() for each in members] == ["a.jpg", "b/é.PNG", long]
    data = path.read_bytes()
    parts = [data[each.part.offset :][: each.part.size] for each in members]
    assert parts == [b"1" * 700, b"22", b"333"]
    assert {each.mtime_ns for each in members} == {1_700_000_000 * 10**9}


def test_what_lies_beside_a_member_describes_it(tmp_path: Path) -> None:
    record = {
        "caption": "a red barn",
        "url": "https://example.org/1.jpg",
        "keywords": ["barn", "", 3],
        "exif": json.dumps({"EXIF DateTimeOriginal": "2019:05:04 10:11:12"}),
        "status": "success",
    }
    held = {
        "1.json": json.dumps(record).encode(),
        "1.jpg": b"1",
        "1.seg.png": b"1s",
        "1.txt": b"ein Stall\n",
        "2.jpg": b"2",
        "2.json": b"{no json",
        "3.jpg": b"3",
        "3.txt": b"\xff\xfe",
    }
    members, _, error = listed(pack(tmp_path / "0.tar", held))
    assert error is None
    first, second, other, third = members
    assert first.facts == second.facts and first.facts and first.facts.taken_at
    said = {(each.kind, each.text) for each in first.facts.wordings}
    assert said == {
        ("caption", "a red barn"),
        ("caption", "ein Stall"),
        ("url", "https://example.org/1.jpg"),
        ("keyword", "barn"),
    }
    assert first.facts.taken_at.isoformat() == "2019-05-04T10:11:12"
    assert other.facts is None and third.facts is not None


def test_a_shard_that_was_cut_off_gives_what_is_there(tmp_path: Path) -> None:
    path = pack(tmp_path / "0.tar", {f"{n}.jpg": bytes([n]) * 3_000 for n in range(5)})
    data = path.read_bytes()
    for size, count in ((3 * 3584 + 700, 3), (3 * 3584 + 100, 3), (5 * 3584, 5), (300, 0)):
        path.write_bytes(data[:size])
        members, _, error = listed(path)
        assert len(members) == count and error is not None, size
        assert error.code is FailureCode.DAMAGED


def test_a_damaged_header_ends_it_with_its_reason(tmp_path: Path) -> None:
    path = pack(tmp_path / "0.tar", {f"{n}.jpg": bytes([n]) * 100 for n in range(4)})
    data = bytearray(path.read_bytes())
    data[2 * 1024 + 150] ^= 0xFF  # the checksum of the third
    path.write_bytes(data)
    members, _, error = listed(path)
    assert [each.name for each in members] == [b"0.jpg", b"1.jpg"]
    assert error is not None and "no valid header at byte 2,048" in str(error)


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", FailureCode.EMPTY, "empty"),
        (b"\x89PNG" * 1_000, FailureCode.NOT_A_PICTURE, "not a tar file"),
        (bytes(10_240), None, ""),
    ],
)
def test_what_is_no_shard(
    tmp_path: Path, content: bytes, code: FailureCode | None, said: str
) -> None:
    path = tmp_path / "0.tar"
    path.write_bytes(content)
    members, _, error = listed(path)
    assert members == [] and (error.code if error else None) == code
    assert said in str(error)


def test_links_folders_and_devices_are_no_pictures(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"{kind!r}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    assert listed(path)[0] == []


def test_names_that_lead_out_and_names_that_occur_twice_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("../out.jpg", "/a/../../b.jpg", "/etc/c.jpg", "d.jpg", "./d.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    members, shard, error = listed(path)
    assert error is None
    assert [each.name for each in members] == [b"etc/c.jpg", b"d.jpg"] and shard.unsafe == 3


def test_sizes_that_lie_are_found_out(tmp_path: Path) -> None:
    """A member, and a header of pax, that claim more bytes than there are or than is sound."""
    path = pack(tmp_path / "0.tar", {"a.jpg": b"1", "b.jpg": b"2"})
    plain = path.read_bytes()
    for kind, size in ((b"0", 1 << 50), (b"x", 1 << 40), (b"L", 1 << 33), (b"0", -512)):
        data = bytearray(plain)
        header = data[1024:1536]
        info = tarfile.TarInfo("b.jpg")
        info.size, info.type = max(size, 0), kind
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        if size < 0:
            header[124:136] = b"\xff" * 10 + (size & 0xFFFF).to_bytes(2, "big")
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
        data[1024:1536] = header[:512]
        path.write_bytes(data)
        members, _, error = listed(path)
        assert [each.name for each in members] == [b"a.jpg"], (kind, size)
        assert error is not None and error.code is FailureCode.DAMAGED


def test_names() -> None:
    assert cleaned("./a//b.jpg") == b"a/b.jpg" and cleaned("a/../b") is None
    assert cleaned("/") is None and cleaned("a\udcff.jpg") == b"a\xff.jpg"
    assert key_of(b"a.b/000.left.jpg") == b"a.b/000" and key_of(b"1.jpg") == b"1"
