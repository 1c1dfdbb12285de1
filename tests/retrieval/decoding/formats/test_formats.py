"""Formats: what the table of docs/formats.md says of each is so; others fail with a true reason."""

from pathlib import Path

import pytest

from retrieval.decoding import formats
from retrieval.decoding.decode import decode
from retrieval.decoding.kinds.refusal import refused
from retrieval.errors import UnreadablePicture
from tests.retrieval.decoding.formats.samples import sample
from tests.retrieval.decoding.formats.table import PAGE, table, with_table


@pytest.mark.filterwarnings("ignore")
def test_the_table_in_the_documentation_is_what_happens() -> None:
    pytest.importorskip("imagecodecs")
    page = PAGE.read_text("utf-8")
    again = "run `python -m tests.retrieval.decoding.formats.table`"
    assert page == with_table(page, table()), again


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            b"8BPS\0\2" + bytes(7) + b"\3" + bytes(9) + b"\2\0\0",
            "3 channels of 2 bits, color mode 0",
        ),
        (b"II*\0\x08\0\0\0\1\0\3\1\3\0\1\0\0\0\x52\xc3\0\0" + bytes(4), "as JPEG XL"),
        (b"\0\0\0\x18ftypavif" + bytes(40), "the AVIF decoder refuses it"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "the HEIC decoder refuses it"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"II*\0" + bytes(40), "a TIFF of a kind"),
        (b"\xff\xd8\xff\xc3\0\x0b\x08" + bytes(40), "a lossless JPEG"),
        (b"\xff\xd8\xff\xe0\0\4\0\0\xff\xc1\0\x0b\x0c" + bytes(9), "a JPEG of 12 bits"),
        (bytes(500), "nothing but zeros"),
        (b"\1" + bytes(39) + b" EMF", "a drawing \\(EMF\\)"),
        (b"Salted__" + bytes(20), "it is encrypted"),
        (b"IIU\0" + bytes(40), "the raw \\(RW2\\) decoder refuses it"),
    ],
)
def test_the_reason_is_true(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePicture, match=reason):
        decode(data, 32)


def test_without_a_module_its_files_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("picture_extensions", "missing_extensions", "pillow_formats"):
        getattr(formats, name).cache_clear()
    monkeypatch.setattr(formats, "_is_there", lambda module: module != "imagecodecs")
    try:
        assert b".jxl" not in formats.picture_extensions()
        assert formats.missing_extensions() == {b".jxl": 'pip install ".[jxl]"'}
        assert b".heic" in formats.picture_extensions()
        assert str(refused(b"\xff\x0a")) == 'reading JPEG XL needs pip install ".[jxl]"'
    finally:
        for name in ("picture_extensions", "missing_extensions", "pillow_formats"):
            getattr(formats, name).cache_clear()


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    for name in ("HEIF", "RAW", "JPEG"):  # found by their bytes alone
        assert decode(sample(name), 32).format == name
