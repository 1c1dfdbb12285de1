"""Patterns of names: {00000..00099}, {a,b} and *, spelled out as a shell would."""

import glob
import os
import re
from collections.abc import Iterator
from itertools import islice

from retrieval.address import is_address
from retrieval.errors import InvalidValue

MAX_NAMES = 1_000_000
BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")


def is_pattern(name: str) -> bool:
    """Return whether a name stands for several, and no file has it as it is."""
    if is_address(name):
        return BRACES.search(name) is not None or "*" in name
    return (BRACES.search(name) is not None or _globbed(name)) and not os.path.lexists(name)


def expanded(name: str) -> list[str]:
    """Return the names that a pattern stands for; braces may name what does not exist.

    Raises InvalidValue for a range that runs backwards, and for too many names.
    """
    names = list(islice(_spelled(name), MAX_NAMES + 1))
    if len(names) > MAX_NAMES:
        raise InvalidValue(f"the pattern {name!r} stands for more than {MAX_NAMES:,} names")
    return [each for one in names for each in (_listed(one) if _globbed(one) else [one])]


def _globbed(name: str) -> bool:
    return glob.has_magic(name) and not is_address(name)


def _listed(name: str) -> list[str]:
    return sorted(glob.glob(name, recursive=True))


def _spelled(name: str) -> Iterator[str]:
    found = BRACES.search(name)
    if found is None:
        yield name
        return
    for each in _choices(found, name):
        yield from _spelled(name[: found.start()] + each + name[found.end() :])


def _choices(found: re.Match[str], name: str) -> list[str]:
    first, last, several = found.groups()
    if several is not None:
        return [each.strip() for each in several.split(",")]
    low, high = int(first), int(last)
    if high < low:
        raise InvalidValue(f"the range {found[0]} in {name!r} ends before it begins")
    if high - low >= MAX_NAMES:
        raise InvalidValue(f"the range {found[0]} in {name!r} has more than {MAX_NAMES:,} names")
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    return [str(number).zfill(width) for number in range(low, high + 1)]
