"""What a section counts, and the table of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Faults of one kind: how many were tried, and after which something was not as it must be."""

    fault: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)  # one line each: what was wrong, and where
    note: str = ""

    def expect(self, is_so: bool, what: str) -> None:
        if not is_so:
            self.lost.append(what)


def table(rows: Sequence[tuple[str, Tally, float]]) -> str:
    """rows: name of the section, what it counted, seconds. As Markdown."""
    cells = [("section", "fault", "tried", "seconds", "lost", "")]
    cells += [
        (name, tally.fault, f"{tally.tried:,}", f"{seconds:.0f}", str(len(tally.lost)), tally.note)
        for name, tally, seconds in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    cells.insert(1, tuple("-" * width for width in widths))
    lines = (
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(f"| {line} |" for line in lines)
