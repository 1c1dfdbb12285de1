"""Tar shards: their members, what lies beside them, and what may be wrong with them."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from retrieval.errors import FailureCode, InvalidValue, UnreadablePicture
from retrieval.records import MAX_INTEGER, MIN_INTEGER
from retrieval.sources.patterns import expanded
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
        "3.txt": b"\xff\xfa",
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


@pytest.mark.parametrize("extension", ["txt", "json"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_texts_of_other_encodings_are_read(tmp_path: Path, extension: str, encoding: str) -> None:
    text = "Café" if extension == "txt" else '{"caption": "Café"}'
    held = {"1.jpg": b"1", f"1.{extension}": text.encode(encoding)}
    [member] = listed(pack(tmp_path / "0.tar", held))[0]
    assert member.facts and [each.text for each in member.facts.wordings] == ["Café"]


def test_half_a_character_of_json_is_replaced(tmp_path: Path) -> None:
    held = {"1.jpg": b"1", "1.json": b'{"caption": "a \\ud83d dog"}'}
    [member] = listed(pack(tmp_path / "0.tar", held))[0]
    assert member.facts and [each.text for each in member.facts.wordings] == ["a ? dog"]


def test_texts_apart_from_their_pictures_are_counted(tmp_path: Path) -> None:
    held = {"a.jpg": b"1", "b.jpg": b"2", "a.txt": b"A", "b.json": b"{}", "lone.txt": b"nothing"}
    members, shard, error = listed(pack(tmp_path / "0.tar", held))
    assert error is None and shard.apart == 2 and {each.facts for each in members} == {None}


@pytest.mark.parametrize(
    ("mtime", "said"),
    [("nan", 0), ("inf", MAX_INTEGER), ("-1e99", MIN_INTEGER), ("-5", -5 * 10**9)],
)
def test_times_fit_into_a_catalog(tmp_path: Path, mtime: str, said: int) -> None:
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = {"mtime": mtime}
        tar.addfile(info)
    assert [each.mtime_ns for each in listed(path)[0]] == [said]


def test_only_members_with_bytes_must_have_as_many_as_they_state(tmp_path: Path) -> None:
    """A sparse file states the size that it would have, and some programs that of a link."""
    sparse = tarfile.TarInfo("0.jpg")
    sparse.type, sparse.size = tarfile.GNUTYPE_SPARSE, 512
    header = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (1 << 20, 512)  # where its bytes are in the whole
    header[483:495] = b"%011o\0" % (1 << 30)  # the size of the whole
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    link = tarfile.TarInfo("1.jpg")
    link.type, link.linkname, link.size = tarfile.LNKTYPE, "0.jpg", 1 << 30
    plain = pack(tmp_path / "0.tar", {"2.jpg": b"2"}).read_bytes()
    path = tmp_path / "1.tar"
    path.write_bytes(bytes(header) + bytes(512) + link.tobuf() + plain)
    members, _, error = listed(path)
    assert error is None and [each.name for each in members] == [b"0.jpg", b"2.jpg"]
    assert members[0].failure is not None and "sparse" in members[0].failure.reason


def test_shards_joined_into_one_are_found_out(tmp_path: Path) -> None:
    one, other = (pack(tmp_path / f"{n}.tar", {f"{n}.jpg": b"1"}).read_bytes() for n in range(2))
    (tmp_path / "both.tar").write_bytes(one + other)
    members, _, error = listed(tmp_path / "both.tar")
    assert [each.name for each in members] == [b"0.jpg"] and "more follows" in str(error)


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


def test_patterns_stand_for_a_bounded_number_of_names() -> None:
    assert expanded("{08..10}-{a,b}.tar")[1:3] == ["08-b.tar", "09-a.tar"]
    with pytest.raises(InvalidValue, match="more than 1,000,000 names"):
        expanded("{0..999999}/{0..999999}.tar")


def test_names() -> None:
    assert cleaned("./a//b.jpg") == b"a/b.jpg" and cleaned("a/../b") is None
    assert cleaned("/") is None and cleaned("a\udcff.jpg") == b"a\xff.jpg"
    assert key_of(b"a.b/000.left.jpg") == b"a.b/000" and key_of(b"1.jpg") == b"1"
