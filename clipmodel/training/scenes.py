"""Painted scenes, before they are painted: what is in them, what may be said and asked of them.

Some combinations (of a kind with a colour, a number or a setting) never come up in training: what
a model makes of them shows whether it has understood the parts.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from itertools import product
from typing import Literal

from clipmodel.training.things import DRAWINGS, SKY

Split = Literal["train", "test"]
Part = tuple[str, str | int]  # a kind, and its colour, number or setting

KINDS = tuple(DRAWINGS)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}
PLURALS = {"fish": "fish", "butterfly": "butterflies"}
SETTINGS = {
    "day": ("by day", "on a sunny day", "on a green meadow"),
    "night": ("at night", "under a night sky", "in the dark"),
    "snow": ("in the snow", "in winter", "on a snowy day"),
    "beach": ("on a beach", "by the sea", "at the seaside"),
    "sunset": ("at sunset", "in the evening light", "under an orange sky"),
    "rain": ("in the rain", "on a rainy day", "under grey clouds"),
    "room": ("in a room", "indoors", "inside a house"),
    "desert": ("in the desert", "on sand dunes", "in a hot desert"),
}
UNSEEN_SETTINGS = {("black", "night"), ("white", "snow")}  # colours that would not stand out there
ASKED_IN_DEMO = {("car", "red"), ("house", "night"), ("balloon", 3)}  # never held out
HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class Thing:
    """So many of a kind, all of one colour."""

    kind: str
    colour: str
    number: int

    def said(self, colour: bool = True) -> str:
        """As English has it: "a red car", "three balloons"."""
        words = f"{self.colour} " if colour else ""
        if self.number == 1:
            words += self.kind
            return ("an " if words[0] in "aeiou" else "a ") + words
        return f"{NUMBERS[self.number]} {words}{PLURALS.get(self.kind, self.kind + 's')}"


@dataclass(frozen=True)
class Scene:
    """What is in a picture: the truth that captions and queries are held against."""

    setting: str
    things: tuple[Thing, ...]

    def parts(self) -> Iterator[Part]:
        """Each combination of a kind with its colour, its number, and the setting."""
        for thing in self.things:
            yield thing.kind, thing.colour
            yield thing.kind, thing.number
            yield thing.kind, self.setting


@dataclass(frozen=True)
class SceneQuery:
    """A question for a combination.

    "a red car" is true of every scene with red cars, "three balloons" only where there are three.
    """

    text: str
    part: Part

    def matches(self, scene: Scene) -> bool:
        return self.part in scene.parts()


@cache
def held_out(part: Part) -> bool:
    """Whether a combination never comes up in training; a fixed fifth of them does not."""
    if part in ASKED_IN_DEMO or part[1] == 1:
        return False
    digest = blake2b(f"{part[0]}/{part[1]}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32 < HELD_OUT_SHARE


@cache
def queries() -> tuple[SceneQuery, ...]:
    """A question for every combination that is held out, in a fixed order."""
    coloured = (SceneQuery(Thing(k, c, 1).said(), (k, c)) for k, c in product(KINDS, COLOURS))
    counted = (
        SceneQuery(Thing(k, "", n).said(colour=False), (k, n)) for k, n in product(KINDS, NUMBERS)
    )
    placed = (
        SceneQuery(f"{Thing(k, '', 1).said(colour=False)} {words[0]}", (k, setting))
        for k, (setting, words) in product(KINDS, SETTINGS.items())
    )
    return tuple(query for query in (*coloured, *counted, *placed) if held_out(query.part))


def imagine(seed: int, split: Split, having: Part | None = None) -> Scene:
    """A scene, a function of its seed and split; `having` this combination, if one is given.

    Training has none that is held out; every second test scene has one, in turn, so that each query
    has something to find.
    """
    rng = random.Random(f"{split}/{seed}")
    if having is None and split == "test" and seed % 2:
        having = queries()[seed // 2 % len(queries())].part
    while True:
        scene = _any_scene(rng, having)
        if split == "test" or not any(map(held_out, scene.parts())):
            return scene


def _any_scene(rng: random.Random, having: Part | None) -> Scene:
    while True:
        setting = rng.choice(tuple(SETTINGS))
        kinds = rng.sample(KINDS, 1 if rng.random() < 0.6 else 2)
        things = [Thing(k, rng.choice(COLOURS), rng.choice((1, 1, 2, 3, 4))) for k in kinds]
        if having is not None:
            kind, what = having
            first = replace(things[0], kind=kind)
            if isinstance(what, int):
                first = replace(first, number=what)
            elif what in COLOURS:
                first = replace(first, colour=what)
            else:
                setting = what
            things[0] = first
        alike = len(things) == 2 and things[0].kind == things[1].kind
        if not alike and all((thing.colour, setting) not in UNSEEN_SETTINGS for thing in things):
            return Scene(setting, tuple(things))


def captions(scene: Scene, seed: int) -> list[str]:
    """Six things that may be said of a scene, from little to much; all are true."""
    rng = random.Random(f"captions/{seed}")
    things = list(scene.things)
    rng.shuffle(things)
    first = things[0]
    where = rng.choice(SETTINGS[scene.setting])
    full = " and ".join(thing.said() for thing in things)
    said = [
        first.said(),
        f"{first.said(colour=False)} {where}",
        f"{first.said()} {where}",
        full,
        f"{full} {rng.choice(SETTINGS[scene.setting])}",
        f"{rng.choice(('a painting of', 'a picture of', 'a drawing of'))} {full}",
    ]
    return said if len(things) > 1 else [*said[:3], first.said(colour=False), *said[4:]]


def vocabulary() -> list[str]:
    """The words in which scenes are spoken of."""
    return [*KINDS, *COLOURS, *NUMBERS.values(), *SETTINGS]


def in_the_air(kind: str) -> bool:
    return kind in SKY
