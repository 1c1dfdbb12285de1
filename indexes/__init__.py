"""Nearest neighbours: ids and vectors in, nearest ids and scores out. No pictures, no SQL.

spec.py chooses the kind of index for a number of vectors. builder.py writes the file: a flat one,
whose parts flat_file.py maps, and after it, for the approximate kind, the lists of ivf/, tuned with
the queries of recall.py. layout.py has the bytes, and errors.py the error for a damaged file.
vector_index.py maps a file and searches it, limited by selectors.py, in the threads of threads.py,
after read_ahead.py has brought it into memory; exact.py searches vectors that no file holds yet.
read_out.py returns what a file holds.

A name is imported when it is first used: an exact search does without FAISS, which takes 80 ms to
import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indexes.errors import DamagedIndex
    from indexes.exact import exact_search
    from indexes.read_out import contents
    from indexes.spec import IndexSpec, choose_spec
    from indexes.vector_index import VectorIndex, verify

__all__ = [
    "DamagedIndex",
    "IndexSpec",
    "VectorIndex",
    "choose_spec",
    "contents",
    "exact_search",
    "verify",
]

_MODULES = {
    "DamagedIndex": "errors",
    "IndexSpec": "spec",
    "VectorIndex": "vector_index",
    "choose_spec": "spec",
    "contents": "read_out",
    "exact_search": "exact",
    "verify": "vector_index",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"indexes.{_MODULES[name]}"), name)
