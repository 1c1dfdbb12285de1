"""The large view and the closer look of a file in every format of docs/formats.md."""

import io
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from retrieval import Library
from retrieval.decoding.formats import FORMATS, Format, is_film, is_for_browsers
from tests.retrieval.decoding.formats.samples import base, sample
from tests.retrieval.decoding.formats.table import FEW, NO_PICTURE_OF_OURS

BROWSERS_OWN = {"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp"}
BROWSERS_OWN |= {"image/x-icon"}
NAME = "sample"


def write(folder: Path, format: Format) -> None:
    path = folder / f"{NAME}-{format.name}{format.extensions[0]}"
    if format.is_film:
        films = pytest.importorskip("tests.retrieval.decoding.films")
        films.film(path, [1])
    else:
        path.write_bytes(sample(format.name))


def test_the_server_sends_what_a_browser_shows(client: TestClient, indexed: Path) -> None:
    for format in FORMATS:
        write(indexed, format)
    with Library.open(indexed) as library:
        assert not library.index(workers=0).failed
    found = client.get("/api/search", params={"limit": 200}).json()["matches"]
    numbers = {each["format"]: each["id"] for each in found if NAME in each["name"]}
    assert numbers.keys() == {each.name for each in FORMATS}
    for format, number in numbers.items():
        for part in ("thumbnail", "thumbnail?large=true", "full"):
            answer = client.get(f"/api/pictures/{number}/{part}")
            assert answer.status_code == 200, (format, part, answer.text)
            is_original = part == "full" and is_for_browsers(format)
            kind = answer.headers["content-type"]
            assert kind in BROWSERS_OWN if is_original else kind == "image/webp", (format, part)
            with Image.open(io.BytesIO(answer.content)) as image:
                if format not in NO_PICTURE_OF_OURS and not is_film(format):
                    shown = image.convert("RGB").resize(base().size)
                    off = np.asarray(shown, int) - np.asarray(base(), int)
                    assert np.abs(off).mean() < FEW, (format, part)
