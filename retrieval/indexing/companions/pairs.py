"""Companions of pictures, told by the names in one folder.

IMG_1.NEF              raw file of IMG_1.JPG
IMG_1.MOV, IMG_1.MP    film of the Live Photo IMG_1.HEIC, of a motion photo
IMG_1.xmp              sidecar of IMG_1.JPG, as IMG_1.JPG.xmp
IMG_1.JPG.json         Google Takeout's facts, also as IMG_1.JPG.supplemental-metadata.json
IMG_1.AAE, IMG_O1.AAE  edits made on an iPhone
IMG_1.THM              small picture beside a larger one
._IMG_1.JPG            what a Mac leaves on disks of other systems (AppleDouble)
IMG_1.JPG_original     exiftool's backup
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from retrieval.decoding.kinds.names import RAWS, VIDEOS, extension_of
from retrieval.records import CompanionKind

TAKEOUT_LENGTH = 46  # characters to which Google shortens names, ahead of ".json"
SUPPLEMENT = b".supplemental-metadata"
NUMBER = re.compile(rb"^(.*?)(\.[^.()]+)\((\d+)\)$")  # a.jpg(1).json belongs to a(1).jpg
COUNTED = re.compile(rb"(.*?)((?:\(\d+\))?)", re.DOTALL)  # a(1): the second of that name
EDITS = re.compile(rb"^(img_)o(\d+)$")  # iPhones: IMG_O1234.AAE
DOUBLE = b"._"
BACKUP = b"_original"

# Extensions of files that may be companions, so that a folder without any costs nothing.
FILMS = VIDEOS & frozenset((b".mov", b".mp4", b".mp"))
POSSIBLE = FILMS | RAWS | frozenset((b".xmp", b".json", b".aae", b".thm"))


class Pair(NamedTuple):
    """The name of a companion, and that of its picture in the same folder."""

    name: bytes
    main: bytes
    kind: CompanionKind


def may_accompany(name: bytes) -> bool:
    """Return whether a file may be a companion, judging by its own name."""
    return (
        extension_of(name) in POSSIBLE or name.startswith(DOUBLE) or name.lower().endswith(BACKUP)
    )


def pairs(pictures: Sequence[bytes], others: Iterable[bytes]) -> Iterator[Pair]:
    """Yield the companions among the names in one folder.

    pictures: those to index, which may be companions too, as a raw file beside a JPEG; others: the
    rest of the regular files.
    """
    names = _Names(pictures)
    raws = (name for name in pictures if extension_of(name) in RAWS)
    for name in (*raws, *others):
        if found := names.companion(name):
            yield found


class _Names:
    """The names of the pictures in one folder, without regard to case."""

    def __init__(self, pictures: Sequence[bytes]) -> None:
        self._whole = {name.lower(): name for name in sorted(pictures, reverse=True)}
        self._stems: dict[bytes, bytes] = {}
        for name in sorted(pictures, key=_precedence):
            if extension_of(name) == b".thm":  # of a film; it has nothing to itself
                continue
            self._stems.setdefault(_stem(name), name)

    def companion(self, name: bytes) -> Pair | None:
        lower = name.lower()
        if lower.startswith(DOUBLE):
            return self._pair(name, self._whole.get(lower[len(DOUBLE) :]), "finder")
        if lower.endswith(BACKUP):
            return self._pair(name, self._whole.get(lower.removesuffix(BACKUP)), "backup")
        stem, extension = _stem(name), extension_of(name)
        if extension == b".json":
            return self._pair(name, self._of_takeout(stem), "takeout")
        if extension == b".xmp":
            return self._pair(name, self._whole.get(stem) or self._stems.get(stem), "sidecar")
        if extension == b".aae":
            plain = EDITS.sub(rb"\1\2", stem)
            return self._pair(name, self._stems.get(stem) or self._stems.get(plain), "edits")
        main = self._stems.get(stem)
        if main is None or _is_raw(main):  # the small picture of a raw file counts as its own
            main = main if extension == b".thm" else None
        return self._pair(name, main, _kind(extension))

    def _pair(self, name: bytes, main: bytes | None, kind: CompanionKind | None) -> Pair | None:
        return Pair(name, main, kind) if main and main != name and kind else None

    def _of_takeout(self, stem: bytes) -> bytes | None:
        """Return the picture of a JSON file of Google Takeout, by its name without ".json"."""
        at = stem.rfind(b".s")
        if at > 0 and SUPPLEMENT.startswith(stem[at:].partition(b"(")[0]):
            number = stem[at:].partition(b"(")[1:]
            stem = stem[:at] + b"".join(number)
        if numbered := NUMBER.match(stem):
            stem = b"%s(%s)%s" % (numbered[1], numbered[3], numbered[2])
        if found := self._whole.get(stem) or self._stems.get(stem):
            return found
        start, count = COUNTED.fullmatch(stem).groups()  # type: ignore[union-attr]  # it always does
        if len(start) < TAKEOUT_LENGTH:
            return None
        cut = (name for low, name in self._whole.items() if low.startswith(start))
        return next((name for name in cut if _stem(name).endswith(count)), None)


def _stem(name: bytes) -> bytes:
    """Return a name in lower case without its extension; that of a motion photo is IMG.MP.jpg."""
    lower = name.lower()
    extension = extension_of(name)
    stem = lower[: -len(extension)] if extension else lower
    is_film = extension not in (b".json", b".xmp") and stem.endswith(b".mp")
    return stem.removesuffix(b".mp") if is_film else stem


def _kind(extension: bytes) -> CompanionKind | None:
    if extension in RAWS:
        return "raw"
    if extension in FILMS:
        return "live"
    return "thumbnail" if extension == b".thm" else None


def _precedence(name: bytes) -> tuple[bool, bytes]:
    """Sort pictures so that the one to show comes first: a raw file only if there is no other."""
    return _is_raw(name), name


def _is_raw(name: bytes) -> bool:
    return extension_of(name) in RAWS
