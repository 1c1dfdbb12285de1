"""Licences of all that is installed with the package: `make licences` writes them into NOTICE.

They are read from the installed packages' own metadata. What a platform does not install is named
with what NOTICE said before.
"""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK, NOTICE = ROOT / "requirements.lock", ROOT / "NOTICE"
BEGIN = "Licences of the packages installed with it (`make licences`):\n\n"
ROW = re.compile(r"    (\S+) +(.+)")
MAX_LENGTH = 60  # characters: some write their whole licence where its name belongs


def locked(lock: Path) -> dict[str, str]:
    """Name -> version of all that a lock pins, on whatever platform."""
    return dict(re.findall(r"^([\w.-]+)==([^\s\\;]+)", lock.read_text("utf-8"), re.MULTILINE))


def licence_of(package: Distribution) -> str:
    """Return its SPDX expression, else what it calls its licence, else its classifiers."""
    said = package.metadata
    if expression := said.get("License-Expression"):
        return " ".join(expression.split())
    value = " ".join((said.get("License") or "").split())
    if value and len(value) <= MAX_LENGTH:
        return value
    classified = [c for c in said.get_all("Classifier") or () if c.startswith("License ::")]
    return ", ".join(c.rpartition(" :: ")[2] for c in classified) or "not said"


def listed() -> dict[str, str]:
    """What NOTICE says now."""
    rows = NOTICE.read_text("utf-8").partition(BEGIN)[2]
    return dict(ROW.findall(rows))


def found() -> dict[str, str]:
    """Return the licence of each package of the lock that is installed here."""
    licences = {}
    for name in locked(LOCK):
        try:
            licences[name] = licence_of(distribution(name))
        except PackageNotFoundError:
            continue
    return licences


def differing() -> list[str]:
    """Return the installed packages whose licence NOTICE does not say."""
    said = listed()
    return [name for name, licence in found().items() if said.get(name) != licence]


def main() -> None:
    licences = dict.fromkeys(locked(LOCK), "not read on this platform") | listed() | found()
    rows = [f"    {name:<26} {licences[name]}\n" for name in sorted(locked(LOCK))]
    NOTICE.write_text(
        NOTICE.read_text("utf-8").partition(BEGIN)[0] + BEGIN + "".join(rows), "utf-8"
    )


if __name__ == "__main__":
    main()
