"""Nearest neighbours: ids and vectors in, nearest ids and scores out. Knows no pictures, no SQL.

Names are imported when they are first asked for: an exact search needs no FAISS, which takes 80 ms
to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indexes.errors import DamagedIndex
    from indexes.exact import exact_search
    from indexes.layout import verify
    from indexes.read_out import contents
    from indexes.spec import IndexSpec, choose_spec
    from indexes.vector_index import VectorIndex

__all__ = [
    "DamagedIndex",
    "IndexSpec",
    "VectorIndex",
    "choose_spec",
    "contents",
    "exact_search",
    "verify",
]

_HOME = {
    "DamagedIndex": "errors",
    "IndexSpec": "spec",
    "VectorIndex": "vector_index",
    "choose_spec": "spec",
    "contents": "read_out",
    "exact_search": "exact",
    "verify": "layout",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"indexes.{_HOME[name]}"), name)
