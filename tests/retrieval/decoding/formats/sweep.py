"""Every file of other projects' sources, accounted for by the numbers of the summary.

    python -m tests.retrieval.decoding.formats.sweep [FOLDER]

downloads the packages below from the package index into FOLDER, unless they are there, indexes what
is in them with the bundled model, and prints the counts and the reason of each failure.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from retrieval import Library
from retrieval.decoding.kinds.names import phrase
from retrieval.records import Summary

# With many pictures in the archives of their sources.
PACKAGES = "pillow pillow-heif imagecodecs imageio rawpy tifffile exifread piexif".split()
FOLDERS = ("hidden_folder", "excluded_folder")  # kinds of which a folder is one, whatever is in it


def fetch(folder: Path) -> None:
    """Download and unpack the sources of each package that is not there."""
    for name in PACKAGES:
        if list(folder.glob(f"{name.replace('-', '_')}-*")):
            continue
        options = ["--quiet", "--no-deps", "--no-binary", name, "--dest", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, name], check=True)
        [archive] = folder.glob(f"{name.replace('-', '_')}-*")
        shutil.unpack_archive(archive, folder)
        archive.unlink()


def files_in(folder: Path) -> int:
    """Count the regular files that are in no hidden folder."""
    count = 0
    for _, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".")]
        count += len(names)
    return count


def accounted(summary: Summary) -> int:
    """Count the files that a summary mentions."""
    kept = summary.new + summary.copied + summary.unchanged + summary.failed
    left = sum(each.count for each in summary.left_out if each.kind not in FOLDERS)
    return kept + summary.companions + left


def report(folder: Path) -> Iterator[str]:
    """Index a folder and its library, and yield lines about it."""
    with tempfile.TemporaryDirectory() as place, Library.open(place, model="tiny") as library:
        summary = library.index([folder])
        yield f"files {files_in(folder):,}, accounted for {accounted(summary):,}"
        yield (
            f"indexed {summary.new:,}, copies {summary.copied:,}, failed {summary.failed:,}, "
            f"companions {summary.companions:,}"
        )
        yield from (f"left out: {phrase(each)}" for each in summary.left_out)
        failures = list(library.failures())
        codes = Counter(str(each.code) for each in failures)
        yield f"failures by code: {dict(codes.most_common())}"
        yield from sorted(f"{each.path.relative_to(folder)}: {each.reason}" for each in failures)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        fetch(folder)
        for line in report(folder):
            print(line)


if __name__ == "__main__":
    main()
