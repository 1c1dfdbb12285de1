"""The forms of an answer: stable, and safe whatever files are called."""

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from retrieval.output import json_forms, text
from retrieval.records import Image, Match

TAKEN = datetime(2023, 6, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
ODD = Path(os.fsdecode(b"/p/a\nb\t\x1b[31m\xff\xc3\xa9.jpg"))


def match(
    *paths: Path,
    score: float = 0.31234567,
    taken: datetime | None = None,
    relevance: float | None = None,
) -> Match:
    image = Image(1, 640, 480, "JPEG", taken, paths, taken_from="original")
    return Match(paths[0], score, image, relevance)


PLAIN = match(Path("/p/a.jpg"))
COPIED = match(Path("/p/b.jpg"), Path("/p/c.jpg"), ODD, score=-0.02, taken=TAKEN, relevance=0.75)
STRANGE = match(ODD)


def test_a_terminal_gets_aligned_columns() -> None:
    assert text.as_table([PLAIN, COPIED]) == (
        " 0.312  -     640x480  -           /p/a.jpg\n"
        "-0.020  fair  640x480  2023-06-01  /p/b.jpg  (+2 copies)\n"
    )
    assert text.as_table([]) == ""


def test_a_pipe_gets_the_same_columns_between_tabs() -> None:
    assert text.as_columns([PLAIN, COPIED]) == (
        "0.312\t-\t640x480\t-\t/p/a.jpg\n-0.020\tfair\t640x480\t2023-06-01\t/p/b.jpg\n"
    )


KEYS = (
    "id path name score relevance strength width height format taken_at date taken_from copies "
    "companions truncated duration moment unit moments"
).split()


def test_text_holds_no_commands_for_a_terminal() -> None:
    line = text.as_columns([STRANGE])
    assert line == "0.312\t-\t640x480\t-\t/p/a\\nb\\t\\x1b[31m\\xffé.jpg\n"
    assert text.printable("naïve 猫 🐈") == "naïve 猫 🐈"


def test_paths_are_the_bytes_of_the_system() -> None:
    assert text.as_paths([PLAIN, STRANGE], end=b"\0") == (
        b"/p/a.jpg\0/p/a\nb\t\x1b[31m\xff\xc3\xa9.jpg\0"
    )


def test_json_is_utf8_and_loses_nothing() -> None:
    data = json_forms.as_json([COPIED, STRANGE])
    first, second = json.loads(data.decode("utf-8"))
    assert first == {
        "id": 1,
        "path": "/p/b.jpg",
        "name": "b.jpg",
        "score": -0.02,
        "relevance": 0.75,
        "strength": "fair",
        "width": 640,
        "height": 480,
        "format": "JPEG",
        "truncated": False,
        "taken_at": "2023-06-01T12:30:00+02:00",
        "date": "2023-06-01T12:30:00",
        "taken_from": "original",
        "copies": ["/p/c.jpg", str(ODD)],
        "companions": [],
        "duration": None,
        "moment": None,
        "unit": None,
        "moments": [],
    }
    assert list(first) == KEYS
    assert second["path"] == str(ODD) and second["taken_at"] is None and second["copies"] == []
    assert second["score"] == 0.312346
    assert json.loads(json_forms.as_json([])) == []
