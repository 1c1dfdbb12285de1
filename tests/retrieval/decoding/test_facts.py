"""Dates from the most trusted source that has one, texts and ratings; and never an error."""

import io
import struct
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from retrieval.decoding.decode import describe
from retrieval.decoding.metadata.dates import in_name, with_name, written
from retrieval.decoding.metadata.takeout import facts_of_takeout
from retrieval.decoding.metadata.xmp import Xmp
from retrieval.records import Facts, Wording

EXIF, GPS = 0x8769, 0x8825

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
 photoshop:DateCreated="2019-05-06T07:08:09+02:00" xmp:Rating="4">
 <dc:title><rdf:Alt><rdf:li xml:lang="x-default">A title</rdf:li></rdf:Alt></dc:title>
 <dc:description><rdf:Alt><rdf:li xml:lang="x-default">富士山</rdf:li></rdf:Alt></dc:description>
 <dc:subject><rdf:Bag><rdf:li>tree</rdf:li><rdf:li>sky</rdf:li></rdf:Bag></dc:subject>
 <Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Ann</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage>
 <mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>
 <rdf:li rdf:parseType="Resource"><mwg-rs:Name>Bob</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type>
 </rdf:li><rdf:li><rdf:Description mwg-rs:Name="Spot" mwg-rs:Type="Pet"/></rdf:li>
 </rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions></rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def record(number: int, value: bytes) -> bytes:
    return bytes((0x1C, 2, number)) + len(value).to_bytes(2, "big") + value


IPTC = b"".join(
    (
        *(record(55, b"20180203"), record(60, b"040506+0100"), record(25, b"lake")),
        *(record(25, "Zürich".encode()), record(120, "Zürich".encode("latin-1"))),
    )
)


def jpeg(base: Any = (), details: Any = (), gps: Any = (), **more: Any) -> bytes:
    exif = Image.Exif()
    exif.update(dict(base))
    exif.get_ifd(EXIF).update(dict(details))
    exif.get_ifd(GPS).update(dict(gps))
    file = io.BytesIO()
    Image.new("RGB", (16, 12), "green").save(file, "JPEG", exif=exif, **more)
    return file.getvalue()


def with_iptc(data: bytes, iptc: bytes = IPTC) -> bytes:
    """A JPEG with IPTC records in Photoshop's image resources."""
    block = b"8BIM\4\4\0\0" + len(iptc).to_bytes(4, "big") + iptc + b"\0" * (len(iptc) % 2)
    body = b"Photoshop 3.0\0" + block
    return data[:2] + b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def facts_of(data: bytes) -> Facts:
    return describe(data)[0]


# -- dates ---------------------------------------------------------------------------------------

ORIGINAL = {0x9003: "2023:06:01 12:34:56", 0x9011: "+02:00"}
DIGITIZED = {0x9004: "2013:07:12  6:54:27"}
CLOCK = {29: "2021:02:03", 7: (4.0, 5.0, 6.0)}
MODIFIED = {0x0132: "2017:01:02 03:04:05"}


def test_the_most_trusted_date_is_taken() -> None:
    sources: list[tuple[str, str]] = []
    details, gps, more = {**ORIGINAL, **DIGITIZED}, dict(CLOCK), {"xmp": XMP.encode()}
    for gone in (0x9003, 0x9004, "gps", "xmp", "iptc", None):
        data = jpeg(MODIFIED, details, gps, **more)
        found = facts_of(with_iptc(data) if gone is not None else data)
        assert found.taken_at
        sources.append((found.taken_from, found.taken_at.isoformat()))
        if isinstance(gone, int):
            del details[gone]
        elif gone == "gps":
            gps = {}
        elif gone == "xmp":
            more = {}
    assert sources == [
        ("original", "2023-06-01T12:34:56+02:00"),
        ("digitized", "2013-07-12T06:54:27"),
        ("gps", "2021-02-03T04:05:06+00:00"),
        ("xmp", "2019-05-06T07:08:09+02:00"),
        ("iptc", "2018-02-03T04:05:06+01:00"),
        ("modified", "2017-01-02T03:04:05"),
    ]
    assert facts_of(jpeg()) == Facts()


@pytest.mark.parametrize("blank", ["0000:00:00 00:00:00", "    :  :     :  :  ", "", "\0", "?"])
def test_blanks_and_zeros_are_no_date(blank: str) -> None:
    found = facts_of(jpeg(details={0x9003: blank, **DIGITIZED}))
    assert found.taken_from == "digitized"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2013:07:12  6:54:27", "2013-07-12T06:54:27"),
        ("2023-06-01T12:34:56.123Z", "2023-06-01T12:34:56+00:00"),
        ("2023-06-01T12:34-0330", "2023-06-01T12:34:00-03:30"),
        ("2023-06", "2023-06-01T00:00:00"),
        ("2023", "2023-01-01T00:00:00"),
        (b"2023:06:01 12:34:56\0", "2023-06-01T12:34:56"),
        ("2013: 7:12 16: 4:27", "2013-07-12T16:04:27"),
        ("2013:07:12 04:54:27 PM", "2013-07-12T16:54:27"),
        ("2013:07:12 24:04:27", "2013-07-12T00:04:27"),  # of phones that have no hour 0
        ("2013:07:12 16.54.27", "2013-07-12T16:54:27"),
        ("2013:07:12 16:54:27 UTC", "2013-07-12T16:54:27+00:00"),
        ("20130712T165427+0200", "2013-07-12T16:54:27+02:00"),
        ("2013:07:12   :  :  ", "2013-07-12T00:00:00"),
        ("2013:  :     :  :  ", "2013-01-01T00:00:00"),
        ("0001:01:01 00:00:00", None),
        ("2013:00:00 00:00:00", None),
        ("2023:02:30 12:34:56", None),
        ("2023:06:01 25:34:56", None),
        (None, None),
    ],
)
def test_dates_as_they_are_written(said: object, expected: str | None) -> None:
    moment = written(said)
    assert (moment.isoformat() if moment else None) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_20161224_101530.jpg", "2016-12-24T10:15:30"),
        ("IMG_20161224_101530_HDR.jpg", "2016-12-24T10:15:30"),
        ("PXL_20210101_120000123.jpg", "2021-01-01T12:00:00+00:00"),
        ("IMG-20210101-WA0001.jpg", "2021-01-01T00:00:00"),
        ("WhatsApp Image 2021-01-01 at 1.05.00 PM.jpeg", "2021-01-01T13:05:00"),
        ("WhatsApp Image 2021-01-01 at 12.05.00 AM.jpeg", "2021-01-01T00:05:00"),
        ("Screenshot_20200101-120000.png", "2020-01-01T12:00:00"),
        ("2016-12-24 10.15.30.jpg", "2016-12-24T10:15:30"),
        ("Bildschirmfoto 2020-01-01 um 12.00.00.png", "2020-01-01T12:00:00"),
        ("Screenshot 2020-01-01 120000.png", "2020-01-01T12:00:00"),
        ("Screenshot_2020-01-01-12-00-00-123_com.app.png", "2020-01-01T12:00:00"),
        ("signal-2020-01-01-12-00-00-123.jpg", "2020-01-01T12:00:00"),
        ("MVIMG_20180501_120000.jpg", "2018-05-01T12:00:00"),
        ("PXL_20210101_120000123.MP.jpg", "2021-01-01T12:00:00+00:00"),
        ("2016-12-24T10-15-30Z.jpg", "2016-12-24T10:15:30+00:00"),
        ("WP_20161224_10_15_30_Pro.jpg", "2016-12-24T10:15:30"),
        ("20200101120000.jpg", "2020-01-01T12:00:00"),
        ("20161224.jpg", "2016-12-24T00:00:00"),
        ("DSC_1234.jpg", None),
        ("20001399.jpg", None),
        ("20230231.jpg", None),
        ("1234567820161224.jpg", None),
        ("2016.jpg", None),
    ],
)
def test_dates_in_names(name: str, expected: str | None) -> None:
    moment = in_name(name)
    assert (moment.isoformat() if moment else None) == expected


def test_a_name_counts_only_without_another_date() -> None:
    named = with_name(Facts(), [b"a/DSC_1.jpg", b"b/IMG_20161224_101530.jpg"])
    assert (named.taken_at, named.taken_from) == (datetime(2016, 12, 24, 10, 15, 30), "name")
    held = Facts(datetime(2020, 1, 1), "original")
    assert with_name(held, [b"IMG_20161224_101530.jpg"]) is held


def xmp(*said: tuple[str, str]) -> bytes:
    """XMP with these properties: exif, tiff, xmp, photoshop, dc."""
    spaces = " ".join(
        f'xmlns:{name}="http://{where}/"'
        for name, where in {
            "exif": "ns.adobe.com/exif/1.0",
            "tiff": "ns.adobe.com/tiff/1.0",
            "xmp": "ns.adobe.com/xap/1.0",
            "photoshop": "ns.adobe.com/photoshop/1.0",
            "dc": "purl.org/dc/elements/1.1",
        }.items()
    )
    attributes = " ".join(f'{name}="{value}"' for name, value in said)
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{rdf}">'
        f"<rdf:Description {spaces} {attributes}/></rdf:RDF></x:xmpmeta>"
    ).encode()


@pytest.mark.parametrize(
    ("name", "source"),
    [
        *(("exif:DateTimeOriginal", "xmp"), ("exif:DateTimeDigitized", "xmp")),
        *(("photoshop:DateCreated", "xmp"), ("xmp:CreateDate", "xmp"), ("dc:date", "xmp")),
        *(("xmp:ModifyDate", "modified"), ("tiff:DateTime", "modified")),
    ],
)
def test_a_date_in_xmp_alone(name: str, source: str) -> None:
    blank = ("exif:DateTimeOriginal", "0000-00-00T00:00:00")
    found = facts_of(jpeg(xmp=xmp(*{**dict([blank]), name: "2013-07-12T16:54:27"}.items())))
    assert (found.taken_at, found.taken_from) == (datetime(2013, 7, 12, 16, 54, 27), source)


@pytest.mark.parametrize(
    "records",
    [
        ((55, b"20130712"), (60, b"165427")),
        ((55, b"2013:07:12"), (60, b"16:54:27")),
        ((55, b"00000000"), (62, b"20130712"), (63, b"165427")),  # when it was digitized
    ],
)
def test_a_date_in_iptc_alone(records: tuple[tuple[int, bytes], ...]) -> None:
    iptc = b"".join(record(*each) for each in records)
    file = io.BytesIO()
    Image.new("RGB", (16, 12)).save(file, "TIFF", tiffinfo={33723: iptc})
    for data in (with_iptc(jpeg(), iptc), file.getvalue()):
        found = facts_of(data)
        assert (found.taken_at, found.taken_from) == (datetime(2013, 7, 12, 16, 54, 27), "iptc")


def test_the_texts_of_a_png() -> None:
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("Creation Time", "Fri, 12 Jul 2013 16:54:27 +0200")
    info.add_text("Title", "A title")
    info.add_itxt("Description", "富士山")
    Image.new("RGB", (16, 12)).save(file, "PNG", pnginfo=info)
    found = facts_of(file.getvalue())
    assert found.taken_from == "digitized" and found.taken_at
    assert found.taken_at.isoformat() == "2013-07-12T16:54:27+02:00"
    assert found.wordings == (
        Wording("title", "A title", "png"),
        Wording("caption", "富士山", "png"),
    )


def test_a_date_in_the_first_folder_of_tags() -> None:
    assert facts_of(jpeg({0x9003: "2013:07:12 16:54:27"})).taken_from == "original"


# -- texts and ratings ---------------------------------------------------------------------------


def test_xmp_has_texts_people_and_a_rating() -> None:
    found = facts_of(jpeg(xmp=XMP.encode()))
    assert found.rating == 4
    assert set(found.wordings) == {
        Wording("title", "A title", "xmp"),
        Wording("caption", "富士山", "xmp"),
        Wording("keyword", "tree", "xmp"),
        Wording("keyword", "sky", "xmp"),
        Wording("person", "Ann", "xmp"),
        Wording("person", "Bob", "xmp"),
    }


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_xmp_is_read_in_every_format_that_keeps_it(format: str) -> None:
    file, more = io.BytesIO(), {"xmp": XMP.encode()}
    if format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        more = {"pnginfo": info}  # type: ignore[dict-item]
    if format == "TIFF":
        more = {"tiffinfo": {700: XMP.encode()}}  # type: ignore[dict-item]
    Image.new("RGB", (16, 12)).save(file, format, **more)
    found = facts_of(file.getvalue())
    assert found.rating == 4 and found.taken_from == "xmp"


def test_iptc_is_utf_8_or_latin_1() -> None:
    assert facts_of(with_iptc(jpeg())).wordings == (
        Wording("keyword", "lake", "iptc"),
        Wording("keyword", "Zürich", "iptc"),
        Wording("caption", "Zürich", "iptc"),
    )


def test_exif_has_texts_too() -> None:
    base = {0x010E: "富士山".encode(), 0x9C9E: "a;b".encode("utf-16-le"), 0x4746: 3}
    found = facts_of(jpeg(base, {0x9286: b"ASCII\0\0\0A comment"}))
    assert found.rating == 3
    assert set(found.wordings) == {
        Wording("caption", "富士山", "exif"),
        Wording("caption", "A comment", "exif"),
        Wording("keyword", "a", "exif"),
        Wording("keyword", "b", "exif"),
    }
    assert facts_of(jpeg({0x010E: "OLYMPUS DIGITAL CAMERA         "})).wordings == ()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("said", ["富士山の写真", "Hello wörld", "Two\nlines"])
def test_a_comment_in_any_encoding(order: str, said: str) -> None:
    codes = {b"UNICODE\0": ("utf-16-le", "utf-16-be", "utf-16"), b"ASCII\0\0\0": ("utf-8",)}
    if said.startswith("富"):
        codes[b"JIS\0\0\0\0\0"] = ("iso2022_jp",)
    for code, names in codes.items():
        for name in names:
            exif = Image.Exif()
            exif.endian = order
            exif.get_ifd(EXIF)[0x9286] = code + said.encode(name)
            file = io.BytesIO()
            Image.new("RGB", (16, 12)).save(file, "JPEG", exif=exif.tobytes())
            assert facts_of(file.getvalue()).wordings == (Wording("caption", said, "exif"),)


def test_texts_of_exif_3_are_utf_8() -> None:
    text = "富士フイルム".encode()
    tags = struct.pack("<2sHIH", b"II", 42, 8, 2)
    for number, tag in enumerate((0x010E, 0x010F)):
        tags += struct.pack("<HHII", tag, 129, len(text), 38 + number * len(text))
    file = io.BytesIO()
    made = b"Exif\0\0" + tags + bytes(4) + text + text
    Image.new("RGB", (16, 12)).save(file, "JPEG", exif=made)
    facts, shot = describe(file.getvalue())
    assert shot.camera == "富士フイルム"
    assert facts.wordings == (Wording("caption", "富士フイルム", "exif"),)


@pytest.mark.parametrize(
    ("north", "east", "place"),
    [
        ("48,8.22N", "11,34.53E", (48.137, 11.5755)),
        ("48,8,13.2S", "11,34,31.8W", (-48.137, -11.5755)),
        ("48.137N", "11.5755E", (48.137, 11.5755)),
        ("48.137", "11.5755", (None, None)),  # nobody knows on which side
        ("0,0N", "0,0E", (None, None)),
    ],
)
def test_place_and_camera_in_xmp_alone(north: str, east: str, place: tuple[Any, Any]) -> None:
    said = ("exif:GPSLatitude", north), ("exif:GPSLongitude", east), ("tiff:Model", "X100")
    shot = describe(jpeg(xmp=xmp(*said)))[1]
    assert (shot.latitude, shot.longitude) == pytest.approx(place)
    assert shot.camera == "X100"


@pytest.mark.parametrize("side", [1, 3])
def test_a_place_without_its_side_is_none(side: int) -> None:
    munich = {1: "N", 2: (48.0, 8.0, 13.2), 3: "E", 4: (11.0, 34.0, 31.8)}
    assert describe(jpeg(gps=munich))[1].latitude == pytest.approx(48.137)
    said = {1: "South", 3: "west"}[side]
    shot = describe(jpeg(gps={**munich, side: said}))[1]
    assert shot.latitude and shot.longitude and min(shot.latitude, shot.longitude) < 0
    for nothing in (None, "", "\0", "?", {1: "E", 3: "N"}[side]):
        if nothing is None:
            del munich[side]
        else:
            munich[side] = nothing
        shot = describe(jpeg(gps=munich))[1]
        assert (shot.latitude, shot.longitude) == (None, None)


# -- what comes from anywhere --------------------------------------------------------------------


def test_entities_are_not_expanded() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]>' + XMP.partition("?>")[2].partition("<?xpacket")[0]
    with pytest.raises(Exception, match="EntitiesForbidden"):
        Xmp(bomb)
    assert facts_of(jpeg(xmp=bomb.encode())) == Facts()


@given(st.binary(max_size=300), st.integers(0, len(XMP)))
def test_garbage_in_xmp_and_iptc_is_no_failure(garbage: bytes, at: int) -> None:
    raw = bytearray(XMP.encode())
    raw[at : at + len(garbage)] = garbage
    data = with_iptc(jpeg(xmp=bytes(raw)), IPTC[: at % len(IPTC)] + garbage)
    assert facts_of(data).rating in (None, *range(6))


@given(st.binary(max_size=200))
def test_garbage_beside_a_picture_raises_a_value_error_at_most(garbage: bytes) -> None:
    with pytest.raises(ValueError) if _is_no_json(garbage) else io.StringIO():
        assert facts_of_takeout(garbage) is None


def _is_no_json(data: bytes) -> bool:
    import json

    try:
        json.loads(data)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    "held",
    [
        b'{"photoTakenTime": {"timestamp": "0"}, "geoData": {"latitude": 0, "longitude": 0}}',
        b'{"photoTakenTime": 5, "geoData": [], "people": {"name": 1}, "description": 7}',
        b'{"photoTakenTime": {"timestamp": "9999999999999999"}, "people": [1, {"name": null}]}',
    ],
)
def test_what_google_writes_for_nothing_is_nothing(held: bytes) -> None:
    assert facts_of_takeout(held) == Facts()
