"""A folder of this machine as a source."""

import os
import stat
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from retrieval.records import Found, found_at
from retrieval.sources.source import FileKind


class LocalFolder:
    """The files below a folder. Indexing lists them by itself: see indexing/scan.py."""

    def __init__(self, path: bytes) -> None:
        self._path = path

    def kind(self, path: bytes) -> FileKind | None:
        place = os.path.join(self._path, path)
        if os.path.isdir(place):
            return "folder"
        return "file" if os.path.isfile(place) else None

    def look_at(self, path: bytes) -> Found | None:
        try:
            status = os.stat(os.path.join(self._path, path))
        except OSError:
            return None
        return found_at(path, status) if stat.S_ISREG(status.st_mode) else None

    def listed(self, inside: bytes) -> Iterator[tuple[bytes, Found | None]]:
        with os.scandir(os.path.join(self._path, inside)) as entries:
            for entry in entries:
                path = os.path.join(inside, entry.name)
                if entry.is_dir():
                    yield path, None
                elif entry.is_file():
                    yield path, found_at(path, entry.stat())

    def open(self, path: bytes) -> BufferedIOBase:
        return Path(os.fsdecode(os.path.join(self._path, path))).open("rb")
