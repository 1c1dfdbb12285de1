"""The table of docs/formats.md, made of what happens to a small file in each format.

    python -m tests.retrieval.decoding.formats.table

writes it anew; a test compares.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from PIL import Image

from retrieval.decoding.decode import decode, thumbnail
from retrieval.decoding.formats import FORMATS, Format, is_for_browsers
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.media import medium
from retrieval.records import Decoded
from tests.retrieval.decoding.films import CODECS, film, looks_like
from tests.retrieval.decoding.formats.raw_files import TAKEN
from tests.retrieval.decoding.formats.samples import LINEAR, TURNED, base, sample, written

PAGE = Path(__file__).parents[4] / "docs" / "formats.md"
BEGIN, END = "<!-- the table -->\n", "<!-- its end -->\n"
HEADER = "| format | extensions | indexed | thumbnail | large view | date | orientation | colours |"
SIDE = 32
NO_PICTURE_OF_OURS = {"CUR", "PCD", "MSP", "XBM", "ICNS"}  # of other sizes, or of two colours
FILMED = "2021-05-06T07:08:09+00:00"
FEW = 20  # of 255, that a lossy format may be off on average


class Row(NamedTuple):
    format: str
    extensions: str
    indexed: str
    thumbnail: str
    large: str
    date: str
    orientation: str
    colours: str


def rows() -> Iterator[Row]:
    for format in FORMATS:
        yield _film_row(format) if format.is_film else _row(format)


def _row(format: Format) -> Row:
    plain = decode(sample(format.name), SIDE)
    assert plain.format == format.name, (plain.format, format.name)
    if format.name not in NO_PICTURE_OF_OURS:
        assert _is_near(plain, base()), format.name
    turned = decode(sample(format.name, TURNED), SIDE)
    is_upright = plain.width != plain.height and (turned.width, turned.height) == (
        plain.height,
        plain.width,
    )
    if is_upright:
        assert _is_near(turned, base().transpose(Image.Transpose.ROTATE_270)), format.name
    small = thumbnail(sample(format.name), 16, 16)
    assert small.mode == "RGB" and max(small.size) == 16
    return Row(
        format.name,
        " ".join(format.extensions),
        f"yes, with the extra `{format.extra}`" if format.extra else "yes",
        "yes",
        "the file itself" if is_for_browsers(format.name) else "drawn by the server",
        "EXIF" if plain.taken_at == datetime.strptime(TAKEN, "%Y:%m:%d %H:%M:%S") else "the file’s",
        "EXIF" if is_upright else "as stored",
        _colours(format.name),
    )


def _film_row(format: Format) -> Row:
    """Return what happens to a film of two scenes."""
    with TemporaryDirectory() as folder:
        extension = next(end for end in CODECS if end in format.extensions)
        told = {"creation_time": FILMED}
        path = film(Path(folder) / f"a{extension}", [1, 2], metadata=told)
        plain = medium.opened(path).decode(SIDE, MAX_PIXELS, 60)
        assert plain.format == format.name and len(plain.frames) == 2
        assert all(looks_like(f.pixels, n) < FEW for n, f in enumerate(plain.frames, 1))
        turned = medium.opened(film(Path(folder) / f"b{extension}", [1], rotation=90))
        upright = turned.decode(SIDE, MAX_PIXELS)
        small = medium.opened(path).thumbnail(16, 16, MAX_PIXELS, plain.frames[1].moment)
        assert max(small.size) == 16
    return Row(
        format.name,
        " ".join(format.extensions),
        f"by its moments, with the extra `{format.extra}`",
        "of each moment",
        "the browser’s player, or the frame",
        "the container’s" if plain.taken_at == datetime.fromisoformat(FILMED) else "the file’s",
        "the container’s" if upright.width < upright.height else "as stored",
        "BT.601, BT.709; HDR toned down",
    )


def _colours(name: str) -> str:
    """Say whether a profile is applied: one that is linear makes a picture much lighter."""
    if name == "RAW":
        return "the camera’s, developed to sRGB"
    lighter = decode(sample(name, profile=LINEAR), SIDE).pixels.mean()
    return "profile" if lighter > decode(sample(name), SIDE).pixels.mean() + 20 else "sRGB"


def _is_near(decoded: Decoded, picture: Image.Image) -> bool:
    right = decode(written(picture, "PNG"), SIDE).pixels.astype(int)
    return bool(np.abs(decoded.pixels - right).mean() < FEW)


def table() -> str:
    lines = [HEADER, "|---" * 8 + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows()]
    return "\n".join(lines) + "\n"


def with_table(page: str, made: str) -> str:
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + made + END + rest.partition(END)[2]


def main() -> None:
    PAGE.write_text(with_table(PAGE.read_text("utf-8"), table()), "utf-8")


if __name__ == "__main__":
    main()
