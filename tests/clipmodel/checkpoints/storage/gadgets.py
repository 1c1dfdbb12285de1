"""Archives of torch's that were changed, and a pickle that shows when it was run."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Gadget:
    """A pickle of it touches `canary` when somebody runs it."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def rewritten(
    source: Path, target: Path, change: Callable[[str, bytes], bytes], method: int = 0
) -> Path:
    """A copy of an archive of torch's, each entry changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for info in old.infolist():
            new.writestr(info.filename, change(info.filename, old.read(info)))
    return target
