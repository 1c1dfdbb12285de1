"""The files of ../shared/data/cases, with the right values that its README gives."""

from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from retrieval.catalog.reading import Catalog
from retrieval.decoding.decode import decode, thumbnail
from tests.retrieval.small import DATA, run_index

CASES = DATA / "cases"
SIDE = 96
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/data")

DATED = {
    name: (datetime(2013, 7, 12, 16, 54, 27), "digitized")
    for name in ("date-digitized-only.jpg", "date-original-zeros.jpg")
}
CAMERAS = {"camera-utf8.jpg": "富士フイルム X100"}
PICTURES = {  # the file that shows the same, and by how much of 255 pixels may be off on average
    "jpeg-without-eoi.jpg": ("reference.jpg", 0.0),
    "tiff-float-one-sample-1.02.tif": ("reference-grey.png", 0.1),
    "png-grey16-transparent.png": ("png-grey16-transparent.reference.png", 0.0),
    "icc-prophoto.png": ("reference.png", 2.0),
}
REFERENCES = {right for right, _ in PICTURES.values()}


def test_every_file_has_its_right_value_here() -> None:
    held = {path.name for path in CASES.iterdir()} - {"README.md"}
    assert held == {*DATED, *CAMERAS, *PICTURES, *REFERENCES}


@pytest.mark.parametrize("name", PICTURES)
def test_pixels_are_as_they_are_meant(name: str) -> None:
    (right, most), data = PICTURES[name], (CASES / name).read_bytes()
    expected = (CASES / right).read_bytes()
    off = decode(data, SIDE).pixels.astype(int) - decode(expected, SIDE).pixels
    assert np.abs(off).mean() <= most
    small, other = (np.asarray(thumbnail(each, 64, 64), int) for each in (data, expected))
    assert np.abs(small - other).mean() <= most


def test_the_catalog_knows_the_facts(tmp_path: Path) -> None:
    with closing(Catalog.open(tmp_path / "library", create=True)) as catalog:
        assert not run_index(catalog, [CASES]).failed
        rows = catalog.rows(
            "SELECT path, taken_at, taken_from, camera, is_truncated FROM files"
            " JOIN images ON id = files.image_id JOIN shots USING (image_id)"
        )
    found = {name.decode(): facts for name, *facts in rows}
    assert found.keys() == {*DATED, *CAMERAS, *PICTURES, *REFERENCES}
    for name, (taken_at, taken_from) in DATED.items():
        assert found[name][:2] == [taken_at.isoformat(), taken_from]
    for name, camera in CAMERAS.items():
        assert found[name][2] == camera
    assert [name for name, facts in found.items() if facts[3]] == ["jpeg-without-eoi.jpg"]
