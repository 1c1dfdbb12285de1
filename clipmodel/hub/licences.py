"""The licences of published weights, and what they forbid."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Licence:
    """A licence. commercial: whether it allows commercial use; None: read it."""

    name: str
    commercial: bool | None
    terms: str = ""  # what it forbids, as the end of a sentence

    @property
    def warning(self) -> str:
        """A sentence's end on what the licence forbids, empty if it forbids nothing of note."""
        if self.terms:
            return f"is licensed under {self.name}: {self.terms}"
        return "" if self.commercial else f"has a special licence, {self.name}: read it first"


MIT = Licence("MIT", True)
APACHE = Licence("Apache 2.0", True)
CC_BY_NC = Licence("CC BY-NC 4.0", False, "no commercial use")
# https://github.com/apple/ml-mobileclip/blob/main/LICENSE_MODELS: "exclusively for Research
# Purposes", which exclude products and services.
APPLE = Licence("Apple AMLR", False, "for research only, no commercial use")
OF_APPLE = Licence("Apple's own", None)  # which one its card names has changed
RESEARCH = Licence("research only", False, "for research only, no commercial use")

# By the names in the cards of the hub, `license` or `license_name`.
_BY_CARD = {
    "mit": MIT,
    "apache-2.0": APACHE,
    "apple-amlr": APPLE,
    **{
        name: Licence(shown, True)
        for name, shown in (
            ("bsd-3-clause", "BSD 3-Clause"),
            ("cc-by-4.0", "CC BY 4.0"),
            ("cc0-1.0", "CC0 1.0"),
        )
    },
}


def of_card(name: str | None) -> Licence | None:
    """Return the licence that a model card names; None if it names none."""
    if not name:
        return None
    known = _BY_CARD.get(name.lower())
    if known:
        return known
    if name.lower().startswith("cc-by-nc"):
        version = name[len("cc-by-") :].upper().rpartition("-")
        return Licence(f"CC BY-{version[0]} {version[2]}", False, CC_BY_NC.terms)
    return Licence(name, None)
