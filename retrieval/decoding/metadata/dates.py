"""Dates as cameras and programs write them, and as they appear in file names."""

import os
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from email.utils import parsedate_to_datetime

from retrieval.records import Facts

# "2023:06:01 12:34:56", "2013: 7:12  6:54:27", "2023-06-01T12:34:56.123+02:00", "20230601T123456Z",
# "2023:06:01 04:34:56 PM", "2023-06-01", "2023-06", "2023"; blanks and zeros are no date.
TIME = (
    r"(?:T|[\s:]\s*)(\d\d?)[:.]\s?(\d\d?)(?:[:.]\s?(\d\d?)(?:[.,]\d*)?)?"
    r"\s*(?:([AP])\.?M\.?)?\s*(Z|UTC|GMT|[+-]\d\d?:?\d\d)?"
)
WRITTEN = re.compile(
    rf"\s*(\d{{4}})(?:[:/.-]\s?(\d\d?)(?:[:/.-]\s?(\d\d?)(?:{TIME})?)?)?\s*$", re.A | re.I
)
BASIC = re.compile(  # ISO 8601 without separators
    r"\s*(\d{4})(\d\d)(\d\d)(?:[T\s]?(\d\d)(\d\d)(\d\d)?()(Z|[+-]\d\d:?\d\d)?)?\s*$", re.A
)
UNKNOWN = " :\t\r\n"  # what stands for the parts at the end that nobody knew
NO_YEAR = 1000  # programs write the year 1 for none
ZONE = re.compile(r"\s*(?:(Z|UTC|GMT)|([+-])(\d\d?):?(\d\d))", re.A | re.I)

# Names: IMG_20161224_101530, PXL_20210101_120000123, Screenshot_20200101-120000, 2016-12-24
# 10.15.30, "WhatsApp Image 2021-01-01 at 1.05.00 PM" (and in other languages), IMG-20210101-WA0001,
# 2016-12-24T10-15-30Z.
DAY = r"(?<!\d)((?:19[89]|20\d)\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
CLOCK = (
    r"(?:[T _-]+|,?\s[^\W\d_]{1,4}\s|(?=\d{6}(?:\d{3})?(?!\d)))"
    r"([01]?\d|2[0-3])[-_.:h]?([0-5]\d)[-_.:m]?([0-5]\d)(?:\d{3})?(?!\d)(?:\s*([AaPp])[Mm])?"
    r"(Z(?![^\W\d_]))?"
)
NAMED = re.compile(f"{DAY}(?:{CLOCK}|(?!\\d))")
IN_UTC = ("pxl_",)  # whose cameras write names in UTC


def written(said: object, offset: object = None) -> datetime | None:
    """Read a date with or without a time; without an offset it is local time.

    offset: "+02:00", as EXIF keeps it by itself.
    """
    text = _text(said).partition("\0")[0].rstrip(UNKNOWN)
    found = WRITTEN.match(text) or BASIC.match(text)
    if not found:
        return None
    year, month, day, hour, minute, second = _numbers(found)
    try:
        moment = datetime(year, month, day, _of_24(hour, found[7]), minute, min(second, 59))
    except ValueError:  # zeros, or a day that no calendar has
        return None
    if year < NO_YEAR:
        return None
    zone = zone_of(found[8]) or zone_of(offset)
    return moment.replace(tzinfo=zone) if zone else moment


def spoken(said: object) -> datetime | None:
    """Read a date as `written` does, or as in the head of a letter: "Fri, 12 Jul 2013 16:54:27"."""
    if found := written(said):
        return found
    try:
        return parsedate_to_datetime(_text(said))
    except (TypeError, ValueError):
        return None


def zone_of(offset: object) -> timezone | None:
    """Read "+02:00", "-0330" or "Z"."""
    found = ZONE.match(_text(offset))
    if not found:
        return None
    if found[1]:
        return UTC
    if int(found[3]) > 23 or int(found[4]) > 59:
        return None
    east = timedelta(hours=int(found[3]), minutes=int(found[4]))
    return timezone(east if found[2] == "+" else -east)


def in_name(name: str) -> datetime | None:
    """Return the date in a file's name, at midnight if it has no time of day."""
    for found in NAMED.finditer(name):
        year, _, month, day, hour, minute, second, half, utc = found.groups()
        try:
            on = date(int(year), int(month), int(day))
        except ValueError:
            continue
        hours = _of_24(int(hour), half) if hour else 0
        at = time(hours, int(minute or 0), int(second or 0))
        moment = datetime.combine(on, at)
        is_utc = utc or (hour and name.lower().startswith(IN_UTC))
        return moment.replace(tzinfo=UTC) if is_utc else moment
    return None


def with_name(facts: Facts, names: Iterable[bytes]) -> Facts:
    """Return the facts with the date in the name of any of these files, if they have none."""
    if facts.taken_at is not None:
        return facts
    for path in names:
        if moment := in_name(os.fsdecode(os.path.basename(path))):
            return facts._replace(taken_at=moment, taken_from="name")
    return facts


def _of_24(hour: int, half: str | None) -> int:
    """Return an hour of 24 for one of 12 with its half of the day, "a" or "p".

    Some phones count midnight as hour 24 of the day that it begins.
    """
    if not half or not 1 <= hour <= 12:
        return 0 if hour == 24 else hour
    return hour % 12 + (12 if half.lower() == "p" else 0)


def _text(said: object) -> str:
    return said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)


def _numbers(found: re.Match[str]) -> tuple[int, int, int, int, int, int]:
    year, month, day, hour, minute, second = found.groups()[:6]
    return (
        *(int(year), int(month or 1), int(day or 1)),
        *(int(hour or 0), int(minute or 0), int(second or 0)),
    )
