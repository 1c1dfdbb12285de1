"""Numbers in sentences."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun in singular or plural: `1 file`, `1,234 files`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
