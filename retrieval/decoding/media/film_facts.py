"""The facts in a video's container: date, place, camera and title."""

import re
from collections.abc import Mapping
from datetime import datetime

from retrieval.decoding.exif import camera_of
from retrieval.decoding.metadata.dates import written
from retrieval.records import Facts, Shot, TakenFrom, TextKind, Wording

APPLE, ANDROID = "com.apple.quicktime.", "com.android."
# Where a date is, the most telling first: Apple's is local time with its zone, the other UTC.
DATES: tuple[tuple[str, TakenFrom], ...] = (
    (f"{APPLE}creationdate", "original"),
    ("creation_time", "digitized"),
    ("date", "digitized"),
)
PLACES = (f"{APPLE}location.iso6709", "location", "location-eng")
ISO_6709 = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)(?:$|[^\d.])")
MAKERS = (f"{APPLE}make", f"{ANDROID}manufacturer", "make")
MODELS = (f"{APPLE}model", f"{ANDROID}model", "model")
TEXTS: tuple[tuple[str, TextKind], ...] = (("title", "title"), ("description", "caption"))
NO_CLOCK = 1971  # cameras whose clock was never set date their films 1904 or 1970
MAX_TEXT = 10_000  # characters

Metadata = Mapping[str, str]


def facts_of(metadata: Metadata) -> tuple[Facts, Shot]:
    """Return what a container and its video say, by names that FFmpeg gives."""
    said = {name.lower(): value.strip() for name, value in metadata.items()}
    taken_at, taken_from = _date(said)
    latitude, longitude = _place(said)
    maker, model = (_first(said, names) for names in (MAKERS, MODELS))
    wordings = tuple(
        Wording(kind, said[name][:MAX_TEXT], "video") for name, kind in TEXTS if said.get(name)
    )
    facts = Facts(taken_at, taken_from, latitude, longitude, None, wordings)
    camera = camera_of(maker and maker[:100], model and model[:100])
    return facts, Shot(camera=camera, latitude=latitude, longitude=longitude)


def _date(said: Metadata) -> tuple[datetime | None, TakenFrom]:
    for name, source in DATES:
        found = written(said.get(name, ""))
        if found and found.year > NO_CLOCK:
            return found, source
    return None, "file"


def _place(said: Metadata) -> tuple[float | None, float | None]:
    """Return degrees north and east; (0, 0), which is at sea, stands for an unknown place."""
    found = ISO_6709.match(_first(said, PLACES) or "")
    if not found:
        return None, None
    latitude, longitude = float(found[1]), float(found[2])
    if abs(latitude) > 90 or abs(longitude) > 180 or (latitude, longitude) == (0, 0):
        return None, None
    return latitude, longitude


def _first(said: Metadata, names: tuple[str, ...]) -> str | None:
    return next((said[name] for name in names if said.get(name)), None)
