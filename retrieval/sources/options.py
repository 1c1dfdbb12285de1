"""Options of a storage: how to reach it. What may be a secret is never written down."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from retrieval.errors import InvalidValue

Options = tuple[tuple[str, str], ...]  # sorted by name; a dot leads into an option of options

# Only these are remembered; any other may be a secret.
PLAIN = frozenset(
    "anon endpoint_url profile requester_pays use_ssl version_aware account_name project host port "
    "client_kwargs.region_name client_kwargs.endpoint_url config_kwargs.signature_version "
    "config_kwargs.s3.addressing_style allow_private per_host".split()
)
NO_SECRET = ("token", "anon")  # as Google's driver spells what others call anon=true

_given: dict[str, Options] = {}  # by bucket: what was given to this process


def parsed(pairs: Iterable[str]) -> Options:
    """Return the options that are written as NAME=VALUE. Raises InvalidValue."""
    held = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name.strip():
            said = name.strip() or pair
            raise InvalidValue(f"the storage option {said!r} has no value; write NAME=VALUE")
        held[name.strip()] = value
    return tuple(sorted(held.items()))


def give(address: str, options: Options) -> None:
    """Have this process use options for all addresses in the same bucket, secrets included."""
    if options:
        _given[_bucket(address)] = options


def of_root(address: str, stored: Options) -> Options:
    """Return the options of a root: those that are stored, and those given to this process."""
    return tuple(sorted({**dict(stored), **dict(_given.get(_bucket(address), ()))}.items()))


def stored(options: Options) -> str | None:
    """Return JSON of the options that are no secrets; None if there are none."""
    plain = {name: value for name, value in options if name in PLAIN or (name, value) == NO_SECRET}
    return json.dumps(plain) if plain else None


def read(stored: str | None) -> Options:
    """Read what `stored` wrote; anything else counts as no options."""
    try:
        held = json.loads(stored or "{}")
        return tuple(sorted((str(name), str(value)) for name, value in held.items()))
    except (ValueError, AttributeError):
        return ()


def as_arguments(options: Options) -> Mapping[str, Any]:
    """Return keyword arguments: true, false and numbers as such, a.b=c as {"a": {"b": c}}."""
    arguments: dict[str, Any] = {}
    for name, value in options:
        *path, last = name.split(".")
        held = arguments
        for part in path:
            held = held.setdefault(part, {})
            if not isinstance(held, dict):
                raise InvalidValue(f"the storage options {part!r} and {name!r} contradict")
        held[last] = _value(value)
    return arguments


def _bucket(address: str) -> str:
    return "/".join(address.split("/")[:3])


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int) else text
