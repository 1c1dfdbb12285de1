"""Nearest neighbours: ids and vectors in, nearest ids and scores out. Knows no pictures, no SQL."""

from indexes.errors import DamagedIndex
from indexes.exact import exact_search
from indexes.layout import verify
from indexes.spec import IndexSpec, choose_spec
from indexes.vector_index import VectorIndex

__all__ = [
    "DamagedIndex",
    "IndexSpec",
    "VectorIndex",
    "choose_spec",
    "exact_search",
    "verify",
]
