"""Detection of misspelled filters, which would otherwise silently become words.

A word is reported only if it is unlikely to be meant as one: a common other name for a filter, or a
name with a typing error, before a value that is valid for this filter. `16:9` and `note:x` stay
words.
"""

from retrieval.errors import InvalidQuery
from retrieval.filters import FIELDS, first_moment, written

EXAMPLES = {
    "in": "in:holiday",
    "after": "after:2023",
    "before": "before:2023",
    "camera": "camera:pixel",
    "near": "near:48.14,11.58,5",
    "min-size": "min-size:1920x1080",
    "format": "format:jpeg",
    "orientation": "orientation:portrait",
}
OTHER_NAMES = {
    **dict.fromkeys(("year", "month", "date", "day", "taken", "since", "from", "newer"), "after"),
    **dict.fromkeys(("until", "till", "to", "older"), "before"),
    **dict.fromkeys(("cam", "device", "model"), "camera"),
    **dict.fromkeys(("folder", "dir", "directory", "path", "album"), "in"),
    **dict.fromkeys(("gps", "place", "location", "around"), "near"),
    **dict.fromkeys(("size", "minsize", "min_size", "resolution"), "min-size"),
    **dict.fromkeys(("type", "filetype", "ext", "extension", "fmt"), "format"),
    **dict.fromkeys(("shape", "aspect", "orient"), "orientation"),
}
FREE = ("camera", "in")  # take any text
WHOLE_DAYS = ("year", "month", "date", "day", "taken")
MIN_SIMILARITY = 0.7  # of two names, by difflib
MIN_SIMILARITY_FREE = 0.9  # for the filters in FREE, whose values reveal nothing


def of_detached(name: str, following: str | None) -> str:
    """Return the message for a filter with a space, or nothing, after its colon."""
    if following is None or not _takes(name, following):
        return f"“{name}:” has no value; for example, write “{EXAMPLES[name]}”"
    value = f'"{following}"' if " " in following else following
    return f"there must be no space after “{name}:”; write “{name}:{value}”"


def meant(name: str, value: str) -> str | None:
    """Return the filter that `name:value` probably stands for; None if it is just words."""
    name = name.lower()
    if (filter := OTHER_NAMES.get(name) or _like(name, value)) is None:
        return None
    if not _takes(filter, value):
        return None
    if name in WHOLE_DAYS and len(value) == 4 and value < "9999":
        return f"after:{value} before:{int(value) + 1}"
    return f"{filter}:{value}"


def _like(name: str, value: str) -> str | None:
    import difflib

    least = MIN_SIMILARITY if len(name) > 2 else 1.0
    for near in difflib.get_close_matches(name, FIELDS, 3, least):
        alike = difflib.SequenceMatcher(None, name, near).ratio()
        if near not in FREE or alike >= MIN_SIMILARITY_FREE:
            return near
    return None


def _takes(filter: str, value: str) -> bool:
    if filter in FREE:
        return bool(value.strip())
    try:
        if filter in ("after", "before"):
            first_moment(value)
        else:
            written(filter, value)
    except InvalidQuery:
        return False
    return True
