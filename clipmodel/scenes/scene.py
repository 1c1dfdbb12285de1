"""Scenes before they are painted: their contents, captions and queries.

Some combinations (of a kind with a colour, a number or a setting) never appear in training, neither
in pictures nor in captions: they show whether a model has understood the parts.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Literal, TypeVar

from clipmodel.scenes.things import DRAWINGS, SKY

Option = TypeVar("Option", str, int)
Split = Literal["train", "test"]
Part = tuple[str, str | int]  # a kind, and its colour, its number or its setting

KINDS = tuple(DRAWINGS)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
PLURALS = {"fish": "fish", "butterfly": "butterflies"}
SETTINGS = {
    "day": ("by day", "on a sunny day", "on a meadow"),
    "night": ("at night", "under a night sky", "in the dark"),
    "snow": ("in the snow", "in winter", "on a snowy day"),
    "beach": ("on a beach", "by the sea", "at the seaside"),
    "sunset": ("at sunset", "in the evening", "as the sun goes down"),
    "rain": ("in the rain", "on a rainy day", "under dark clouds"),
    "room": ("in a room", "indoors", "on a wooden floor"),
    "desert": ("in the desert", "on sand dunes", "in a hot desert"),
    "water": ("under water", "deep under water", "at the bottom of a lake"),
}
# Colours that would not stand out in a setting; such scenes are never imagined.
BLENDING = {("black", "night"), ("white", "snow"), ("blue", "water"), ("orange", "desert")}
ASKED_IN_DEMO = {("car", "red"), ("house", "night"), ("balloon", 3)}  # never held out
# How many of these are held out for each kind. A single thing of a kind never is.
HELD_OUT: tuple[tuple[Sequence[str | int], int], ...] = (
    (COLOURS, 2),
    (tuple(NUMBERS)[1:], 1),
    (tuple(SETTINGS), 1),
)
CROWD = 3  # the most of a kind that can be told apart beside another kind


@dataclass(frozen=True)
class Thing:
    """One or more things of a kind, all of one colour."""

    kind: str
    colour: str
    number: int

    def said(self, *, colour: bool = True, counted: bool = True) -> str:
        """Return the English phrase: "a red car", "three balloons"; not counted, "balloons"."""
        words = f"{self.colour} {self.kind}" if colour else self.kind
        if self.number == 1:
            return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
        words = words.removesuffix(self.kind) + PLURALS.get(self.kind, self.kind + "s")
        return f"{NUMBERS[self.number]} {words}" if counted else words


@dataclass(frozen=True)
class Scene:
    """The contents of a picture: the truth about captions and queries.

    No kind appears twice, so that a number is the number in the picture.
    """

    setting: str
    things: tuple[Thing, ...]

    def parts(self) -> Iterator[Part]:
        """Yield each combination of a kind with its colour, its number and the setting."""
        for thing in self.things:
            yield thing.kind, thing.colour
            yield thing.kind, thing.number
            yield thing.kind, self.setting


@dataclass(frozen=True)
class SceneQuery:
    """A query for a combination.

    "a red car" and "a house at night" are true of every scene with such things, however many;
    "three balloons" only where there are exactly three.
    """

    text: str
    part: Part

    def matches(self, scene: Scene) -> bool:
        return self.part in scene.parts()


@cache
def held_out_parts() -> tuple[Part, ...]:
    """Return the combinations held out, dealt evenly so that no trait becomes much rarer."""
    parts: list[Part] = []
    for turn, kind in enumerate(KINDS):
        for traits, count in HELD_OUT:
            deck = (traits[(7 * turn + 4 * card) % len(traits)] for card in range(len(traits)))
            free = ((kind, trait) for trait in deck if (kind, trait) not in ASKED_IN_DEMO)
            parts += islice(free, count)
    return tuple(parts)


@cache
def _held_out() -> frozenset[Part]:
    return frozenset(held_out_parts())


def held_out(part: Part) -> bool:
    return part in _held_out()


@cache
def queries() -> tuple[SceneQuery, ...]:
    """Return a query for every combination that is held out, in a fixed order."""
    return tuple(SceneQuery(asked_for(part), part) for part in held_out_parts())


@cache
def statements() -> tuple[SceneQuery, ...]:
    """Return a query for every combination that training may show, in a fixed order."""
    traits: list[str | int] = [*COLOURS, *list(NUMBERS)[1:], *SETTINGS]
    parts: list[Part] = [(kind, trait) for kind in KINDS for trait in traits]
    return tuple(SceneQuery(asked_for(part), part) for part in parts if not held_out(part))


def asked_for(part: Part) -> str:
    """Return a combination in words: "a red car", "three balloons", "a house at night"."""
    kind, what = part
    if isinstance(what, int):
        return Thing(kind, "", what).said(colour=False)
    if what in COLOURS:
        return Thing(kind, what, 1).said()
    return f"{Thing(kind, '', 1).said(colour=False)} {SETTINGS[what][0]}"


def imagine(seed: int, split: Split, having: Part | None = None) -> Scene:
    """Return a scene that depends on seed and split alone; `having` a combination if given.

    Training scenes have no combination that is held out; every second test scene has one, in turn,
    so that each query has something to find.
    """
    if having is None and split == "test" and seed % 2:
        having = held_out_parts()[seed // 2 % len(held_out_parts())]
    return _Imagination(random.Random(f"{split}/{seed}"), split, having).scene()


@dataclass(frozen=True)
class _Imagination:
    """An even choice among the options; discarding whole scenes would favour some kinds."""

    rng: random.Random
    split: Split
    having: Part | None

    def scene(self) -> Scene:
        kinds = self._kinds()
        wanted = self.having[1] if self.having else None
        setting = self._one_of([s for s in SETTINGS if (wanted, s) not in BLENDING], kinds)
        colours = [c for c in COLOURS if (c, setting) not in BLENDING]
        numbers = (1, 1, 1, 2, 3) if len(kinds) > 1 else (1, 1, 2, 2, 3, 4, 4, 5, 5)
        things = [Thing(k, self._one_of(colours, [k]), self._one_of(numbers, [k])) for k in kinds]
        self.rng.shuffle(things)
        return Scene(setting, tuple(things))

    def _kinds(self) -> list[str]:
        kinds, wanted = self.rng.sample(KINDS, 2), None
        if self.having:
            kind, wanted = self.having
            kinds = [kind, next(other for other in kinds if other != kind)]
        alone = isinstance(wanted, int) and wanted > CROWD
        return kinds[:1] if alone or self.rng.random() < 0.6 else kinds

    def _one_of(self, options: Sequence[Option], kinds: Sequence[str]) -> Option:
        """Return the wanted option if it is one, else any that all these kinds may have."""
        for option in options:
            if self.having == (kinds[0], option):
                return option
        if self.split == "train":
            options = [o for o in options if not any(held_out((kind, o)) for kind in kinds)]
        return self.rng.choice(options)


def captions(scene: Scene, seed: int) -> list[str]:
    """Return eight true captions of a scene, from brief to complete."""
    rng = random.Random(f"captions/{seed}")
    places = SETTINGS[scene.setting]
    first, where = rng.choice(scene.things), rng.choice(places)
    full = _all_said(scene, rng)
    opening = rng.choice(("a painting of", "a picture of", "a drawing of", "an illustration of"))
    return [
        first.said(),
        first.said(colour=False),
        f"{first.said(colour=False, counted=rng.random() < 0.5)} {where}",
        f"{first.said(counted=rng.random() < 0.5)} {rng.choice(places)}",
        full,
        f"{full} {where}",
        f"{opening} {full}",
        f"{where}, {full}" if rng.random() < 0.5 else f"{opening} {first.said()} {where}",
    ]


def _all_said(scene: Scene, rng: random.Random) -> str:
    """Return everything in a scene; "above" holds if one thing flies and the other does not."""
    things = sorted(scene.things, key=lambda thing: not in_the_air(thing.kind))
    flying = [in_the_air(thing.kind) for thing in things]
    if flying == [True, False] and rng.random() < 0.5:
        return f"{things[0].said()} above {things[1].said()}"
    rng.shuffle(things)
    return " and ".join(thing.said() for thing in things)


def vocabulary() -> list[str]:
    """Return all words that captions use."""
    return [*KINDS, *COLOURS, *NUMBERS.values(), *SETTINGS]


def in_the_air(kind: str) -> bool:
    """Return whether things of this kind are painted above those that stand on the ground."""
    return kind in SKY
