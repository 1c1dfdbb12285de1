"""Results as pictures: what a terminal or a contact sheet shows of each."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from retrieval.errors import SourceUnavailable, UnreadablePicture
from retrieval.output.text import printable
from retrieval.records import Moment
from retrieval.search.relevance import strength

if TYPE_CHECKING:
    from PIL import Image

    from retrieval.catalog.reading import Catalog
    from retrieval.collection.duplicates import Group
    from retrieval.decoding.media.medium import Medium
    from retrieval.records import Match
    from retrieval.sources.entry import Entry

    Elsewhere = Mapping[int, Entry]  # by image: a copy in a shard or at an address


class Shown(NamedTuple):
    """A picture, and the caption beneath it in addition to its name."""

    path: Path
    caption: str
    moment: Moment | None = None  # of a video, or of several frames or pages; None: the first
    entry: "Entry | None" = None  # of a copy in a shard or at an address

    @property
    def name(self) -> str:
        at = f" @ {self.moment}" if self.moment else ""
        return printable(self.path.name) + at


class Section(NamedTuple):
    """A titled group of pictures, the most important first."""

    title: str
    shown: Sequence[Shown]


def answer(title: str, matches: "Sequence[Match]", elsewhere: "Elsewhere | None" = None) -> Section:
    """Return the matches of a query. elsewhere: see `Elsewhere`."""
    return Section(printable(title), [_shown(match, elsewhere or {}) for match in matches])


def copies(group: "Group", elsewhere: "Elsewhere") -> Section:
    """Return a group of duplicates, titled with the path of the file to keep, which comes first."""
    from retrieval.output.report import likeness

    captions = ["keep", *(likeness(group, other) for other in group.others)]
    shown = [
        Shown(match.path, caption, None, elsewhere.get(match.image.id))
        for match, caption in zip((group.kept, *group.others), captions, strict=True)
    ]
    return Section(printable(str(group.kept.path)), shown)


def elsewhere(catalog: "Catalog", matches: "Iterable[Match]") -> "Elsewhere":
    """Return where the pictures among these are that lie in shards or at addresses."""
    held = catalog.containers.entries([match.image.id for match in matches])
    apart = ((id, each) for id, several in held.items() for each in reversed(several))
    return {id: entry for id, entry in apart if entry.part or entry.is_remote}


def thumbnail(one: Shown, width: int, height: int) -> "Image.Image | None":
    """Return the picture, at most this large; None if it has gone or can no longer be read."""
    from retrieval.decoding.limits import MAX_PIXELS

    try:
        return _opened(one).thumbnail(width, height, MAX_PIXELS, one.moment)
    except (FileNotFoundError, UnreadablePicture, SourceUnavailable):
        return None


def _opened(one: Shown) -> "Medium":
    from retrieval.decoding.media import medium  # Pillow
    from retrieval.sources.opening import read

    try:
        return medium.opened(one.path)
    except (FileNotFoundError, UnreadablePicture):
        if one.entry is None:
            raise
        return medium.of_bytes(read(one.entry))


def _shown(match: "Match", elsewhere: "Elsewhere") -> Shown:
    moment = next(iter(match.moments), None)
    return Shown(match.path, _caption(match), moment, elsewhere.get(match.image.id))


def _caption(match: "Match") -> str:
    word = "" if match.relevance is None else f"  {strength(match.relevance)}"
    return f"{match.score:.3f}{word}"
