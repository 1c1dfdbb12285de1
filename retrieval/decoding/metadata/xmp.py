"""XMP: dates, place, rating and texts, from inside a picture or from a sidecar.

XMP is XML from anywhere, so it is parsed without entities, and only up to a length. A property is
an attribute of rdf:Description, or an element with text, or with a list of texts.
"""

import math
import re
from collections.abc import Iterator
from datetime import datetime
from xml.etree.ElementTree import Element

from retrieval.decoding.metadata.dates import written
from retrieval.records import Facts, TakenFrom, TextKind, Wording

MAX_BYTES = 2_000_000  # extended XMP may contain whole pictures
MAX_TEXT = 10_000  # characters of one text
MAX_TEXTS = 200

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC = "{http://purl.org/dc/elements/1.1/}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
EXIF = "{http://ns.adobe.com/exif/1.0/}"
TIFF = "{http://ns.adobe.com/tiff/1.0/}"
PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
REGIONS = "{http://www.metadataworkinggroup.com/schemas/regions/}"
PEOPLE = "{http://ns.microsoft.com/photo/1.2/t/Region#}"

DATES = (
    EXIF + "DateTimeOriginal",
    PHOTOSHOP + "DateCreated",
    EXIF + "DateTimeDigitized",
    XMP + "CreateDate",
    DC + "date",
)
CHANGED = (TIFF + "DateTime", XMP + "ModifyDate")
TEXTS: tuple[tuple[str, TextKind], ...] = (
    (DC + "title", "title"),
    (PHOTOSHOP + "Headline", "title"),
    (DC + "description", "caption"),
    (EXIF + "UserComment", "caption"),
    (DC + "subject", "keyword"),
    (IPTC + "PersonInImage", "person"),
    (PEOPLE + "PersonDisplayName", "person"),
)
NUMBER = r"(\d+(?:\.\d*)?)"
COORDINATE = re.compile(
    rf"\s*{NUMBER}(?:,\s*{NUMBER})?(?:,\s*{NUMBER})?\s*([NSEW])\s*$", re.I | re.A
)
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Xmp:
    """What a program wrote about a picture."""

    def __init__(self, data: bytes | str) -> None:
        """Raise ValueError, SyntaxError or what else a parser raises for anything but XMP."""
        from defusedxml.ElementTree import fromstring

        raw = data.encode() if isinstance(data, str) else data
        if len(raw) > MAX_BYTES:
            raise ValueError(f"XMP of {len(raw):,} bytes")
        self._tree: Element = fromstring(raw if raw[:2] in UTF_16 else raw.strip(b"\0 \t\r\n"))
        self._found = list(_properties(self._tree))

    def facts(self, source: str = "xmp", date: TakenFrom = "xmp") -> Facts:
        """Return what it says. source, date: where texts and date are said to come from."""
        moment, (latitude, longitude) = self._date(DATES), _place(dict(self._found))
        texts = _texts(self._found, source, self._tree)
        taken_from: TakenFrom = date if moment else "file"
        return Facts(moment, taken_from, latitude, longitude, _rating(self._found), texts)

    def changed_at(self) -> datetime | None:
        """Return when the picture was last changed."""
        return self._date(CHANGED)

    def camera(self) -> tuple[str | None, str | None]:
        """Return the camera's maker and model."""
        held = dict(self._found)
        return held.get(TIFF + "Make"), held.get(TIFF + "Model")

    def _date(self, names: tuple[str, ...]) -> datetime | None:
        moments = (written(value) for name in names for held, value in self._found if held == name)
        return next((moment for moment in moments if moment), None)


def _properties(tree: Element) -> Iterator[tuple[str, str]]:
    """Yield the name and each value of the properties, in any depth."""
    for element in tree.iter():
        yield from element.attrib.items()
        if element.tag.startswith(RDF):
            continue
        items = element.findall(f"{RDF}*/{RDF}li")
        for text in (item.text for item in items) if items else (element.text,):
            if text and text.strip():
                yield element.tag, text.strip()


def _rating(found: list[tuple[str, str]]) -> int | None:
    for name, value in found:
        if name == XMP + "Rating" and re.fullmatch(r"-1|[0-5](\.0+)?", value):
            return int(float(value))
    return None


def _texts(found: list[tuple[str, str]], source: str, tree: Element) -> tuple[Wording, ...]:
    kinds = dict(TEXTS)
    said = [Wording(kinds[name], text[:MAX_TEXT], source) for name, text in found if name in kinds]
    said += [Wording("person", name[:MAX_TEXT], source) for name in _faces(tree)]
    return tuple(dict.fromkeys(said))[:MAX_TEXTS]


def _faces(tree: Element) -> Iterator[str]:
    """Yield the names of the faces that programs marked."""
    for element in tree.iter():
        held = {**element.attrib, **{child.tag: child.text or "" for child in element}}
        if held.get(REGIONS + "Type") == "Face" and (
            name := held.get(REGIONS + "Name", "").strip()
        ):
            yield name


def _place(found: dict[str, str]) -> tuple[float | None, float | None]:
    north = _degrees(found.get(EXIF + "GPSLatitude", ""), "NS", 90)
    east = _degrees(found.get(EXIF + "GPSLongitude", ""), "EW", 180)
    if north is None or east is None or (north, east) == (0, 0):
        return None, None
    return north, east


def _degrees(said: str, sides: str, most: int) -> float | None:
    """Read "48,8.22N" (degrees and minutes), "48,8,13N" (and seconds) or "48.137N"."""
    parts = COORDINATE.match(said)
    if not parts or parts[4].upper() not in sides:
        return None
    degrees = float(parts[1]) + float(parts[2] or 0) / 60 + float(parts[3] or 0) / 3600
    if not math.isfinite(degrees) or degrees > most:
        return None
    return -degrees if parts[4].upper() in "SW" else degrees
