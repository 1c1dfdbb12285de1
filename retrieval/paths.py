"""Paths as a catalog writes them: bytes below a root, "/" between; names need not be text."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def place(root: Path, path: bytes) -> Path:
    """The absolute path of a file."""
    return root / os.fsdecode(path)


def spellings(path: Path) -> list[Path]:
    """What a user's path may be known as: as written, or with the links in it followed.

    Roots are stored with their links followed, but below a root a link is a name like another.
    """
    written = Path(os.path.abspath(path))
    if "\0" in os.fspath(written):  # no file has such a name, and no call takes it
        return [written]
    through = Path(os.path.realpath(written.parent)) / written.name
    return list(dict.fromkeys([written, through, Path(os.path.realpath(path))]))


def relative(root: Path, path: Path) -> bytes | None:
    """`path` as the catalog writes it below `root` (b"" for the root itself); None outside."""
    if not path.is_relative_to(root):
        return None
    inside = path.relative_to(root)
    return os.fsencode(inside.as_posix()) if inside.parts else b""


def is_file(word: str) -> bool:
    """Whether what may be words, or anything, is the path of a regular file."""
    try:
        return os.path.isfile(word)
    except ValueError:  # a NUL byte
        return False


def under(inside: bytes) -> tuple[str, tuple[bytes, ...]]:
    """An SQL condition, and its parameters, for the files at or under a relative path.

    A range of bytes, not LIKE: names need not be text, and % and _ mean nothing.
    """
    if not inside:
        return "TRUE", ()
    return "(path = ? OR (path >= ? AND path < ?))", (inside, inside + b"/", inside + b"0")


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Where to write what takes the place of `file` in the end: whole, or not at all."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)
