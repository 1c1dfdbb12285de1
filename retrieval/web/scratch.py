"""Short-lived files of a server. If it is killed, the next one removes them."""

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "retrieve-serve-"
OURS = re.compile(rf"{PREFIX}(\d+)-\w+")  # with the number of the process that made it


class Scratch:
    """A temporary folder, created on first use. Safe to use from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._made = 0  # files
        sweep(Path(tempfile.gettempdir()))

    @contextmanager
    def file(self) -> Iterator[Path]:
        """Yield a path to write to; the file is removed at the end. Raises OSError."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
            self._made += 1
            path = self._folder / f"{self._made}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            if self._folder:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def sweep(parent: Path) -> None:
    """Remove the folders of servers that were killed."""
    with suppress(OSError):
        for entry in [*os.scandir(parent)]:
            made_by = OURS.fullmatch(entry.name)
            if made_by and entry.is_dir(follow_symlinks=False) and not _lives(int(made_by[1])):
                shutil.rmtree(entry.path, ignore_errors=True)


def _lives(pid: int) -> bool:
    """Return whether the process exists. Only POSIX needs to know: elsewhere, files in use cannot
    be removed.
    """
    if os.name != "posix":
        return pid == os.getpid()
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it is somebody else's
    return True
