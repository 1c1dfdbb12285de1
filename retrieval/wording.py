"""Numbers in sentences."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun in singular or plural: `1 file`, `1,234 files`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def clock(seconds: float) -> str:
    """Return a time of a video: "1:23", "1:02:03"."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
