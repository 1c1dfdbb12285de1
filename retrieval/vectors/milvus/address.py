"""The address of a Milvus: a server's, or the file of a Milvus Lite."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from retrieval.errors import InvalidValue
from retrieval.paths import with_home

DEFAULT_PORT = 19530
DEFAULT_NAME = "pictures"
TOKEN_VARIABLES = ("RETRIEVE_MILVUS_TOKEN", "MILVUS_TOKEN")
FORMS = "write milvus://HOST:PORT/NAME, a file that ends in .db, or local"
_given: dict[str, str] = {}  # address as stored: token that was given in it to this process


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """Where collections are. It has no secrets in `stored` and in its representation."""

    uri: str  # as pymilvus takes it
    name: str  # of the collections, before the digest of a model
    stored: str  # as the catalog keeps it
    database: str = ""
    token: str = field(default="", repr=False, compare=False)  # "user:password", or a key

    @property
    def is_lite(self) -> bool:
        return self.uri.endswith(".db")

    @property
    def shown(self) -> str:
        """How messages name it."""
        return self.uri if self.is_lite else self.stored


def parse(given: str, folder: Path | None) -> MilvusAddress:
    """Read an address that a user gave. Raises InvalidValue.

    A secret in it is kept for this process alone. folder: the library's, if it has one; a file
    inside it is stored relative to it, so that both can move together.
    """
    if given.startswith("milvus://"):
        return _of_server(given)
    if not given.endswith(".db") or "://" in given:
        raise InvalidValue(f"{_without_secrets(given)!r} is not a vector store; {FORMS}")
    path = Path(os.path.realpath(with_home(given)))
    is_inside = folder is not None and path.is_relative_to(folder)
    return _of_file(path, str(path.relative_to(folder)) if folder and is_inside else str(path))


def of_stored(stored: str, folder: Path | None) -> MilvusAddress:
    """Return the address that a catalog keeps."""
    if stored.startswith("milvus://"):
        return _of_server(stored)
    return _of_file((folder or Path()) / stored, stored)


def _of_file(path: Path, stored: str) -> MilvusAddress:
    return MilvusAddress(str(path), DEFAULT_NAME, stored)


def _of_server(given: str) -> MilvusAddress:
    shown = _without_secrets(given)
    try:
        parts = urlsplit(given)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise InvalidValue(f"{shown!r} is not a valid address; {FORMS}") from error
    name = parts.path.strip("/") or DEFAULT_NAME
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - {"token", "secure", "database"}):
        said = "it takes token, secure and database"
        raise InvalidValue(f"{shown!r} has an unknown option {unknown[0]!r}; {said}")
    if not host or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,200}", name):
        remedy = "a name has letters, digits and _" if host else FORMS
        raise InvalidValue(f"{shown!r} is not a valid address; {remedy}")
    is_secure = options.get("secure", "false").lower() in ("true", "1", "yes", "")
    database = options.get("database", "")
    kept = (["secure=true"] if is_secure else []) + ([f"database={database}"] if database else [])
    host = f"[{host}]" if ":" in host else host
    stored = f"milvus://{host}:{port}/{name}" + (f"?{'&'.join(kept)}" if kept else "")
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    if secret := options.get("token") or login:
        _given[stored] = secret
    uri = f"http{'s' if is_secure else ''}://{host}:{port}"
    return MilvusAddress(uri, name, stored, database, _token(stored))


def _token(stored: str) -> str:
    found = (os.environ.get(name) for name in TOKEN_VARIABLES)
    return _given.get(stored) or next(filter(None, found), "")


def _without_secrets(given: str) -> str:
    return re.sub(r"token=[^&]*", "token=…", re.sub(r"//[^/@]*@", "//…@", given))
