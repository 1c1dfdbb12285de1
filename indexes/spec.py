"""Which index for how many vectors."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["flat", "ivf"]

EXACT_BYTES = (
    1 << 30
)  # of float16 codes: 1,048,576 vectors of 512 dimensions, some 0.1 s of scanning


@dataclass(frozen=True)
class IndexSpec:
    """What to build. `probes` 0: as many lists as the build finds that recall needs."""

    kind: Kind
    lists: int = 0
    probes: int = 0
    suffix: tuple[float, ...] = ()  # of every query, where the last dimensions bear no direction

    def __post_init__(self) -> None:
        if self.kind == "ivf" and self.lists < 1:
            raise ValueError(f"an ivf index needs at least one list, not {self.lists}")
        if not 0 <= self.probes <= self.lists:
            raise ValueError(f"cannot probe {self.probes} of {self.lists} lists")


def choose_spec(count: int, dim: int, suffix: tuple[float, ...] = ()) -> IndexSpec:
    """Exact as long as that is quick; beyond, an approximation that keeps recall@10 >= 0.99."""
    if count * dim * 2 <= EXACT_BYTES:
        return IndexSpec("flat", suffix=suffix)
    # Twice as many read a tenth less a query, but take three times as long to build.
    return IndexSpec("ivf", lists=round(2 * count**0.5), suffix=suffix)
