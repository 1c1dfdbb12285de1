"""What a file is, by its first bytes: pictures, and what is often found among them."""

import os
import re
from typing import NamedTuple

from retrieval.decoding.formats import FORMATS, can_read_films, picture_extensions
from retrieval.decoding.kinds.names import Kind

HEAD_BYTES = 1_024


class Signature(NamedTuple):
    """What the first bytes of a file show."""

    name: str  # Pillow's name of a picture format, else what people call it
    kind: Kind | None = None  # None: a picture


# Brands of an ISO base media file, the four letters after "ftyp" or in the list behind them.
BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), Signature("AVIF")),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis"), Signature("HEIF")),
    **dict.fromkeys((b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"), Signature("HEIF")),
    b"crx ": Signature("CR3", Kind.RAW),
    b"qt  ": Signature("QuickTime", Kind.VIDEO),
    **dict.fromkeys((b"3gp4", b"3gp5", b"3gp6", b"3g2a"), Signature("3GP", Kind.VIDEO)),
    b"M4A ": Signature("M4A", Kind.DOCUMENT),
}
MP4 = Signature("MP4", Kind.VIDEO)
# The videos that are read, and the catalog's names for their containers.
FILM_NAMES = {
    "QuickTime": "MOV",
    "MP4": "MP4",
    "3GP": "3GP",
    "Matroska": "MKV",
    "WebM": "WEBM",
    "AVI": "AVI",
    "MPEG-TS": "MTS",
    "MPEG": "MPEG",
    "Windows Media": "WMV",
    "Flash": "FLV",
}

PICTURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"8BPS\0\1", "PSD"),
    (b"8BPS\0\2", "PSD"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\xff\x0a", "JXL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"\x59\xa6\x6a\x95", "SUN"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"icns", "ICNS"),
    (b"FORM", "IFF"),
)
OTHERS = (
    (b"%PDF-", "PDF", Kind.DOCUMENT),
    (b"%!PS", "PostScript", Kind.DRAWING),
    (b"\xc5\xd0\xd3\xc6", "EPS", Kind.DRAWING),
    (b"\xd7\xcd\xc6\x9a", "WMF", Kind.DRAWING),
    (b"gimp xcf", "GIMP", Kind.DRAWING),
    (b"FUJIFILMCCD-RAW", "RAF", Kind.RAW),
    (b"II\x1a\0\0\0HEAPCCDR", "CRW", Kind.RAW),
    (b"IIU\0", "RW2", Kind.RAW),
    (b"IIRO", "ORF", Kind.RAW),
    (b"IIRS", "ORF", Kind.RAW),
    (b"FOVb", "X3F", Kind.RAW),
    (b"\0MRM", "MRW", Kind.RAW),
    (b"\x1a\x45\xdf\xa3", "Matroska", Kind.VIDEO),
    (b"FLV\1", "Flash", Kind.VIDEO),
    (b"\0\0\1\xba", "MPEG", Kind.VIDEO),
    (b"\0\0\1\xb3", "MPEG video", Kind.VIDEO),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media", Kind.VIDEO),
    (b"PK\3\4", "ZIP", Kind.DOCUMENT),
    (b"PK\5\6", "ZIP", Kind.DOCUMENT),
    (b"Rar!\x1a\7", "RAR", Kind.DOCUMENT),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", Kind.DOCUMENT),
    (b"\x1f\x8b\x08", "gzip", Kind.DOCUMENT),
    (b"BZh", "bzip2", Kind.DOCUMENT),
    (b"\xfd7zXZ\0", "xz", Kind.DOCUMENT),
    (b"\x28\xb5\x2f\xfd", "Zstandard", Kind.DOCUMENT),
    (b"SQLite format 3\0", "SQLite", Kind.DOCUMENT),
    (b"\x7fELF", "program", Kind.DOCUMENT),
    (b"MZ", "program", Kind.DOCUMENT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Office", Kind.DOCUMENT),
    (b"ID3", "MP3", Kind.DOCUMENT),
    (b"fLaC", "FLAC", Kind.DOCUMENT),
    (b"OggS", "Ogg", Kind.DOCUMENT),
    (b"\0\5\x16\7", "AppleDouble", Kind.DOCUMENT),
    (b"version https://git-lfs", "Git LFS pointer", Kind.DOCUMENT),
    (b"Salted__", "encrypted", Kind.DOCUMENT),
    (b"age-encryption.org", "encrypted", Kind.DOCUMENT),
    (b"-----BEGIN PGP MESSAGE", "encrypted", Kind.DOCUMENT),
)
WEBM_BYTES = 64  # that tell WebM from other Matroska
TS_PACKETS = ((0, 188), (4, 192))  # of a transport stream: the place of its byte "G", and its size
NETPBM = re.compile(rb"P[1-7Ff][\s#]\s*[#\d]")
BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes of the second header of a BMP


def signature_of(head: bytes) -> Signature | None:
    """Return what the first bytes of a file show; None if they show nothing that is known."""
    for start, name in PICTURES:
        if head.startswith(start):
            return Signature(name)
    for start, name, kind in OTHERS:
        if head.startswith(start):
            is_web = name == "Matroska" and b"webm" in head[:WEBM_BYTES]
            return Signature("WebM" if is_web else name, kind)
    if found := _of_parts(head):
        return found
    if head.startswith(b"RIFF"):
        return _of_riff(head[8:12])
    if head[40:44] == b" EMF":
        return Signature("EMF", Kind.DRAWING)
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in BITMAP_HEADERS:
        return Signature("BMP")
    if NETPBM.match(head):
        return Signature("PPM")
    return _of_text(head)


def _of_parts(head: bytes) -> Signature | None:
    """Return what a file of boxes is, or of packets of equal size."""
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head[4:8] in (b"moov", b"mdat", b"wide", b"skip") and len(head) > 16:
        return Signature("QuickTime", Kind.VIDEO)
    if any(head[at::size][:3] == b"GGG" for at, size in TS_PACKETS):
        return Signature("MPEG-TS", Kind.VIDEO)
    return None


def _of_brands(head: bytes) -> Signature:
    """Return what an ISO base media file is, by its brands: the major one, then the others."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    listed = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    return next((BRANDS[brand] for brand in listed if brand in BRANDS), MP4)


def _of_riff(form: bytes) -> Signature | None:
    forms = {
        b"WEBP": Signature("WEBP"),
        b"AVI ": Signature("AVI", Kind.VIDEO),
        b"WAVE": Signature("WAV", Kind.DOCUMENT),
        b"CDR": Signature("CorelDRAW", Kind.DRAWING),
    }
    return forms.get(form)


def _of_text(head: bytes) -> Signature | None:
    """Return what a file of text is; None if it is not text."""
    if not head or b"\0" in head:
        return None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"<svg" in head:
        return Signature("SVG", Kind.DRAWING)
    if start[:5].lower() in (b"<html", b"<!doc"):
        return Signature("HTML", Kind.DOCUMENT)
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # the last character may have been cut
            return None
    is_printed = not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    return Signature("text", Kind.DOCUMENT) if is_printed else None


def head_of(path: bytes) -> bytes:
    """Return the first bytes of a regular file. Raises OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    opened = os.open(path, flags)
    try:
        return os.read(opened, HEAD_BYTES)
    finally:
        os.close(opened)


def kind_by_content(path: bytes) -> Kind | None:
    """Look into a file whose name says nothing; None: it is a picture that can be read."""
    try:
        head = head_of(path)
    except OSError:
        return Kind.UNREADABLE
    found = signature_of(head)
    if found is None:
        return Kind.UNKNOWN
    if found.kind == Kind.RAW:
        return None if is_read("RAW") else Kind.NEEDS
    if found.kind == Kind.VIDEO and can_read_films():
        return None if found.name in FILM_NAMES else Kind.VIDEO
    if found.kind is not None:
        return found.kind
    return None if is_read(found.name) else _unread(found.name)


def is_read(name: str) -> bool:
    """Return whether pictures in the format of this name are looked for."""
    ends = (os.fsencode(each.extensions[0]) for each in FORMATS if each.name == name)
    return any(end in picture_extensions() for end in ends)


def _unread(name: str) -> Kind:
    return Kind.NEEDS if any(each.name == name for each in FORMATS) else Kind.UNKNOWN
