"""Make a library of five small pictures with the code of any version, and note its answers.

    git archive REVISION | tar x -C /tmp/then
    PYTHONPATH=/tmp/then python tests/retrieval/catalog/libraries/make.py version-2.zip

`test_old_libraries.py` opens what was made so, and finds the same.
"""

import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

from PIL import Image, ImageDraw

from retrieval import Library

QUERIES = ("a red circle", "something green", "a blue square on white", "night")
SHAPES = {
    "red circle.png": ("white", "red", "ellipse"),
    "green/circle.png": ("white", "green", "ellipse"),
    "green/square.png": ("black", "green", "rectangle"),
    "blue square.png": ("white", "blue", "rectangle"),
    "dark.jpg": ("black", "#101030", "ellipse"),
}


def make(folder: Path) -> None:
    """Paint the pictures, index them into `.retrieve` beside them, and ask."""
    for name, (ground, colour, shape) in SHAPES.items():
        picture = Image.new("RGB", (64, 48), ground)
        getattr(ImageDraw.Draw(picture), shape)((16, 8, 48, 40), fill=colour)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(folder / name)
    (folder / "empty.jpg").touch()
    with Library.open(folder / ".retrieve", "tiny") as library:
        library.index(folder, workers=0)
        answers = {
            query: [[str(m.path.relative_to(folder)), m.score] for m in library.search(query, 10)]
            for query in QUERIES
        }
    (folder / "answers.json").write_text(json.dumps(answers, indent=1))


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(os.path.realpath(scratch)) / "photos"
        folder.mkdir()
        make(folder)
        with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                if path.name != "write.lock":
                    archive.write(path, path.relative_to(folder))


if __name__ == "__main__":
    main()
