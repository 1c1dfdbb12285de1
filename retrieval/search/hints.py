"""What in a query is nearly a filter: it must not become words without a word.

Only what makes no sense as words is told: a name that some people call a filter by, or one that is
a slip of the keyboard away, before a value that this filter takes. `16:9` and `note:x` stay words.
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
LIKE = 0.7  # of two names, by difflib
VERY_LIKE = 0.9  # where the value tells nothing


def of_detached(name: str, following: str | None) -> str:
    """What to say of a filter with a space behind its colon."""
    if following is None or not _takes(name, following):
        return f"“{name}:” has no value; write for example “{EXAMPLES[name]}”"
    value = f'"{following}"' if " " in following else following
    return f"there must be no space after “{name}:”; write “{name}:{value}”"


def meant(name: str, value: str) -> str | None:
    """What `name:value` was probably to be, in the query language; None for words."""
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

    least = LIKE if len(name) > 2 else 1.0
    for near in difflib.get_close_matches(name, FIELDS, 3, least):
        alike = difflib.SequenceMatcher(None, name, near).ratio()
        if near not in FREE or alike >= VERY_LIKE:
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
