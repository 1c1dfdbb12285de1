"""Which files there are: a walk over a root that stats each picture once and opens none."""

import fnmatch
import importlib.util
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from retrieval.errors import reason
from retrieval.records import Found

# The raster formats that Pillow opens (a test compares), less the extensions that mostly mean
# something else: .fit (sports watches), .im, .vst and .vda, and what decode.NOT_PICTURES names.
EXTENSIONS = frozenset(
    b".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .tif .tiff .bmp .dib .avif .avifs .jp2 .j2k "
    b".jpc .jpf .jpx .j2c .pbm .pgm .ppm .pnm .pfm .psd .tga .qoi .pcx .dcx .sgi .rgb .rgba .bw "
    b".ras .ico .icns .cur .dds .blp .ftc .ftu .fli .flc .gbr .msp .pcd .pxr .xbm .xpm".split()
)
HEIF_EXTENSIONS = frozenset(b".heic .heics .heif .heifs .hif".split())  # with pillow-heif

# Folders with pictures that are nobody's: caches, bins, code. Hidden ones are skipped as well.
SKIPPED = frozenset(
    [b"@eaDir", b"#recycle", b"#snapshot", b"$RECYCLE.BIN", b"System Volume Information"]
    + [b"node_modules", b"__pycache__", b"lost+found"]
)

DANGLING = "the link leads nowhere"


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A folder (or a link) that could not be looked into: what is known below it must be kept."""

    path: bytes  # relative to the root
    reason: str


Excluded = Callable[[bytes, bytes], bool]  # (name, path of its folder with a slash, or b"")


def scan(
    root: bytes, inside: bytes = b"", exclude: Sequence[str] = (), library: bytes | None = None
) -> Iterator[Found | Unlisted]:
    """Every picture under `root`/`inside`, its path relative to `root`; skips the library's folder.

    Links are followed, but no folder is entered twice, so that cycles end; real folders go first,
    so that a link never takes the place of what it points to. Never recurses: depth costs nothing.
    """
    excluded, extensions = excluding(exclude), picture_extensions()
    seen = {_identity(os.stat(library))} if library and os.path.isdir(library) else set()
    folders, links = [inside], list[bytes]()
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        path = os.path.join(root, folder) if folder else root
        prefix = folder + b"/" if folder else b""
        try:
            identity = _identity(os.stat(path))
            if identity in seen:
                continue
            seen.add(identity)
            with os.scandir(path) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(b".") or excluded(name, prefix):
                        continue
                    try:
                        if entry.is_file():
                            if name[name.rfind(b".") :].lower() in extensions:
                                status = entry.stat()
                                yield Found(prefix + name, status.st_size, status.st_mtime_ns)
                        elif name in SKIPPED:
                            continue
                        elif entry.is_dir():
                            (links if entry.is_symlink() else folders).append(prefix + name)
                        elif entry.is_symlink() and not os.path.exists(entry.path):
                            yield Unlisted(prefix + name, DANGLING)
                    except FileNotFoundError:
                        continue  # it vanished meanwhile
                    except OSError as error:
                        yield Unlisted(prefix + name, reason(error))
        except OSError as error:
            yield Unlisted(folder, reason(error))


def lists(path: bytes, excluded: Excluded) -> bool:
    """Whether a scan looks at what is at this place below a root, as far as names tell."""
    hidden = any(part.startswith(b".") or part in SKIPPED for part in path.split(b"/"))
    return not hidden and not is_excluded(path, excluded)


def is_excluded(path: bytes, excluded: Excluded) -> bool:
    """Whether a glob matches the file, or one of the folders above it."""
    parts = path.split(b"/")
    folders = (b"".join(part + b"/" for part in parts[:depth]) for depth in range(len(parts)))
    return any(excluded(part, folder) for part, folder in zip(parts, folders, strict=True))


def look_at(root: bytes, path: bytes) -> Found | None:
    """One file that was named: tried whatever its name is; None unless it is a regular file."""
    try:
        status = os.stat(os.path.join(root, path))
    except OSError:
        return None
    regular = stat.S_ISREG(status.st_mode)
    return Found(path, status.st_size, status.st_mtime_ns) if regular else None


@cache
def picture_extensions() -> frozenset[bytes]:
    """Lower-case, with the dot."""
    heif = importlib.util.find_spec("pillow_heif") is not None
    return EXTENSIONS | HEIF_EXTENSIONS if heif else EXTENSIONS


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def excluding(patterns: Sequence[str]) -> Excluded:
    """Whether a name, or its path relative to the root, matches one of the user's globs."""
    if not patterns:
        return lambda name, prefix: False
    globs = (fnmatch.translate(pattern.rstrip("/")) for pattern in patterns)
    match = re.compile("|".join(f"(?:{glob})" for glob in globs)).match
    return lambda name, prefix: bool(match(os.fsdecode(name)) or match(os.fsdecode(prefix + name)))
