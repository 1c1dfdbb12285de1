"""Addresses: paths of places that this machine's file system does not have."""

import re
import sys
from typing import Self
from urllib.parse import quote

if sys.platform == "win32":
    from pathlib import WindowsPath as SystemPath
else:
    from pathlib import PosixPath as SystemPath

URI_SIGNS = "/:?#[]@!$&'()*+,;=%~"  # that stay as they are in an address
WEB = ("http", "https")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # two letters or more: C:// is a drive


def is_address(text: str) -> bool:
    """Return whether a text is an address, such as s3://bucket/holiday."""
    return SCHEME.match(text) is not None


def scheme_of(address: str) -> str:
    """Return "s3" for s3://bucket/holiday; empty if it is no address."""
    found = SCHEME.match(address)
    return found[1].lower() if found else ""


def has_user(address: str) -> bool:
    """Return whether an address names a user, as in http://anna:secret@host."""
    host = re.split(r"[/?#]", address.partition("://")[2], maxsplit=1)[0]
    return "@" in host


class RemotePath(SystemPath):
    """An address as a path: names, parents and joins work, and it is printed as an address.

    Nothing on this machine is found by it.
    """

    def __str__(self) -> str:
        scheme, _, rest = super().__str__().replace("\\", "/").partition(":/")
        return f"{scheme}://{rest}" if rest else scheme

    def __fspath__(self) -> str:
        return str(self)

    def is_absolute(self) -> bool:
        return True

    def as_uri(self) -> str:
        return quote(str(self), safe=URI_SIGNS)

    def absolute(self) -> Self:
        return self
