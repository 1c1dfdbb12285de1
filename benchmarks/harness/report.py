"""Reports of measurements: a plain table for people, JSON for programs, with machine and date."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

Cell = str | int | float | None
Row = Mapping[str, Cell]  # of a table; what was not measured for one may be missing

PACKAGES = ("faiss-cpu", "numpy", "torch", "pillow", "sqlalchemy")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, which is readable as plain text, too."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[shown(row.get(column)) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [columns, ["-" * width for width in widths], *cells]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def shown(cell: Cell) -> str:
    """Format a value: three significant digits, with separators; a dash if it was not measured."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


def save(path: Path, name: str, rows: Sequence[Row]) -> None:
    """Write JSON: the rows, and where, when and by which command they were measured."""
    held = {"benchmark": name, **circumstances(), "rows": [dict(row) for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(held, indent=2) + "\n")


def circumstances() -> dict[str, object]:
    """Return the machine, its load before the measurement, the versions, the date, the command."""
    return {
        "date": datetime.now().isoformat(" ", "minutes"),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in PACKAGES},
    }


def processor() -> str:
    """Return the processor's name, if the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
