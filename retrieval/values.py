"""Checks of the values that a program passes in, with one sentence for each kind of mistake."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from numbers import Integral, Real
from typing import Any, TypeVar, cast

from retrieval.errors import InvalidQuery, InvalidValue, UnknownOption

T = TypeVar("T")
MAX_SHOWN = 60  # characters of a wrong value


def shown(value: object) -> str:
    """Show a wrong value in an error, shortened."""
    said = repr(value)
    return said if len(said) <= MAX_SHOWN else f"{said[:MAX_SHOWN]}…"


def with_named(kind: type[T], given: T | None, named: Mapping[str, Any], call: str) -> T:
    """Return the options that were given, or the default ones, with some fields replaced. Raises
    UnknownOption for a name that is none.
    """
    options = kind() if given is None else given
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    check_kind("options", options, kind, f"{article} {kind.__name__} object")
    known = [field.name for field in fields(cast(Any, kind))]
    for name in named:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise UnknownOption(f"{call} has no option {name!r}; {hint}")
    changed: T = replace(cast(Any, options), **named)
    return changed


def check_kind(name: str, value: object, kind: type | tuple[type, ...], what: str) -> None:
    """Raise InvalidValue unless a value is of this kind; `what` describes it: "a str"."""
    if not isinstance(value, kind):
        raise InvalidValue(f"{name} must be {what}, not {shown(value)}")


def check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raise InvalidQuery unless a value is a whole number in this range. With `most`, raise
    InvalidValue.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    number = int(value) if is_whole else -1  # type: ignore[call-overload]  # an Integral
    if most is not None and not (is_whole and least <= number <= most):
        raise InvalidValue(
            f"{name} must be a whole number from {least} to {most:,}, not {shown(value)}"
        )
    if not is_whole:
        raise InvalidQuery(f"{name} must be a whole number, not {shown(value)}")
    if number < least:
        raise InvalidQuery(f"{name} must be at least {least}, not {number}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raise InvalidQuery unless a value is a number in this range, ends included."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not (is_number and low <= float(value) <= high):  # type: ignore[arg-type]  # a Real
        told = f"{value:g}" if is_number else shown(value)
        raise InvalidQuery(f"{name} must be a number between {low:g} and {high:g}, not {told}")


def check_path(value: object) -> None:
    """Raise InvalidValue unless a value is a path: a str or an os.PathLike of one."""
    is_path = isinstance(value, str) or (
        isinstance(value, os.PathLike) and isinstance(os.fspath(value), str)
    )
    if not is_path:
        raise InvalidValue(f"a path must be a str or a Path, not {shown(value)}")


def texts(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    """Return one text or several as a tuple. Raises InvalidQuery for anything else."""
    several = (value,) if isinstance(value, str) else value
    if isinstance(several, (bytes, bytearray)) or not isinstance(several, Iterable):
        raise InvalidQuery(f"{name} must be a str or several, not {shown(value)}")
    held = tuple(several)
    for each in held:
        if not isinstance(each, str):
            raise InvalidQuery(f"{name} must be a str or several, not {shown(each)}")
    return held
