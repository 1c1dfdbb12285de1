"""Results as pictures: what a terminal or a contact sheet shows of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from retrieval.errors import UnreadablePicture
from retrieval.output.text import printable
from retrieval.records import Moment
from retrieval.search.relevance import strength

if TYPE_CHECKING:
    from PIL import Image

    from retrieval.collection.duplicates import Group
    from retrieval.records import Match


class Shown(NamedTuple):
    """A picture, and the caption beneath it in addition to its name."""

    path: Path
    caption: str
    moment: Moment | None = None  # of a video, or of several frames or pages; None: the first

    @property
    def name(self) -> str:
        at = f" @ {self.moment}" if self.moment else ""
        return printable(self.path.name) + at


class Section(NamedTuple):
    """A titled group of pictures, the most important first."""

    title: str
    shown: Sequence[Shown]


def answer(title: str, matches: "Sequence[Match]") -> Section:
    return Section(printable(title), [_shown(match) for match in matches])


def copies(group: "Group") -> Section:
    """Return a group of duplicates, titled with the path of the file to keep, which comes first."""
    from retrieval.output.report import likeness

    others = [Shown(other.path, likeness(group, other)) for other in group.others]
    kept = group.kept.path
    return Section(printable(str(kept)), [Shown(kept, "keep"), *others])


def thumbnail(one: Shown, width: int, height: int) -> "Image.Image | None":
    """Return the picture, at most this large; None if it has gone or can no longer be read."""
    from retrieval.decoding.limits import MAX_PIXELS
    from retrieval.decoding.media import medium  # Pillow

    try:
        return medium.opened(one.path).thumbnail(width, height, MAX_PIXELS, one.moment)
    except (FileNotFoundError, UnreadablePicture):
        return None


def _shown(match: "Match") -> Shown:
    return Shown(match.path, _caption(match), next(iter(match.moments), None))


def _caption(match: "Match") -> str:
    word = "" if match.relevance is None else f"  {strength(match.relevance)}"
    return f"{match.score:.3f}{word}"
