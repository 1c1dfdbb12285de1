"""The JSON file that Google Takeout puts beside a picture."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from retrieval.records import Facts, Wording

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACES = ("geoData", "geoDataExif")


def facts_of_takeout(data: bytes) -> Facts | None:
    """Return what the file says; None if it is another program's. Raises ValueError for no JSON."""
    held = json.loads(data)
    if not isinstance(held, dict) or not {"photoTakenTime", "geoData"} & held.keys():
        return None
    moment = _moment(held.get("photoTakenTime"))
    latitude, longitude = _place(held)
    people = held.get("people")
    names = (
        [each.get("name") for each in people if isinstance(each, dict)]
        if isinstance(people, list)
        else []
    )
    said = [
        Wording("caption", text, "takeout") for text in [_text(held.get("description"))] if text
    ]
    said += [Wording("person", text, "takeout") for text in map(_text, names) if text]
    return Facts(moment, "takeout" if moment else "file", latitude, longitude, None, tuple(said))


def _moment(taken: Any) -> datetime | None:
    """Return the time, which Google keeps in UTC; it writes 0 for an unknown one."""
    try:
        seconds = int(taken["timestamp"])
        return EPOCH + timedelta(seconds=seconds) if seconds else None
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _place(held: Mapping[str, Any]) -> tuple[float | None, float | None]:
    for name in PLACES:
        try:
            north, east = float(held[name]["latitude"]), float(held[name]["longitude"])
        except (KeyError, TypeError, ValueError):
            continue
        if -90 <= north <= 90 and -180 <= east <= 180 and (north, east) != (0, 0):
            return north, east
    return None, None


def _text(said: Any) -> str:
    return said.strip()[:10_000] if isinstance(said, str) else ""
