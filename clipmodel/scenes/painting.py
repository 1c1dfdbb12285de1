"""Painting of scenes: the backdrop first, then the things, each in a place of its own."""

import random
from collections.abc import Iterator
from functools import cache

from PIL import Image, ImageDraw

from clipmodel.scenes.backdrops import backdrop, varied, weather
from clipmodel.scenes.pen import RGB, Pen, shade
from clipmodel.scenes.scene import Scene, Thing, in_the_air
from clipmodel.scenes.things import DRAWINGS

PAINTS: dict[str, RGB] = {
    "red": (216, 36, 40),
    "orange": (247, 130, 24),
    "yellow": (250, 216, 40),
    "green": (44, 154, 62),
    "blue": (38, 88, 212),
    "purple": (130, 52, 172),
    "pink": (247, 132, 184),
    "brown": (124, 76, 42),
    "black": (36, 36, 40),
    "white": (248, 248, 246),
}
SUPERSAMPLED = 2  # times as large while it is drawn, so that edges are smooth

Box = tuple[float, float, float, float]  # left, top, right, bottom


def paint(scene: Scene, width: int, height: int, seed: int) -> Image.Image:
    """Return an RGB picture of this size, which depends on the arguments alone."""
    rng = random.Random(f"paint/{seed}")
    size = (width * SUPERSAMPLED, height * SUPERSAMPLED)
    horizon = rng.uniform(0.44, 0.58)
    image = backdrop(scene.setting, size, horizon, rng)
    for thing, (left, top, right, bottom) in zip(scene.things, _regions(scene), strict=True):
        region = left * size[0], top * size[1], right * size[0], bottom * size[1]
        _things(image, thing, scene.setting, region, horizon * size[1], rng)
    weather(image, scene.setting, rng)
    return image.reduce(SUPERSAMPLED)


def _regions(scene: Scene) -> list[Box]:
    """Return a place for each of the things, in fractions of the picture.

    Flying things are above standing ones; otherwise they are side by side, and more things have
    more room.
    """
    flying = [in_the_air(thing.kind) for thing in scene.things]
    if len(flying) == 1:
        return [(0.03, 0.03, 0.97, 0.78) if flying[0] else (0.03, 0.2, 0.97, 0.97)]
    if flying[0] != flying[1]:
        return [(0.03, 0.02, 0.97, 0.47) if air else (0.03, 0.49, 0.97, 0.98) for air in flying]
    top, bottom = (0.04, 0.75) if flying[0] else (0.24, 0.97)
    first, second = (thing.number for thing in scene.things)
    middle = max(0.36, min(0.64, first / (first + second)))
    return [(0.02, top, middle - 0.01, bottom), (middle + 0.01, top, 0.98, bottom)]


def _things(
    image: Image.Image,
    thing: Thing,
    setting: str,
    region: Box,
    horizon: float,
    rng: random.Random,
) -> None:
    """Paint things, the farther ones first. `region` and `horizon` are in pixels."""
    colour = varied(PAINTS[thing.colour], rng, 10)
    outline = _outline(thing.colour, colour, setting)
    flies = in_the_air(thing.kind)
    for cell in sorted(_cells(thing, region, rng), key=lambda cell: cell[3]):
        mirrored = rng.random() < 0.5
        box = _extent(thing.kind, mirrored)
        side = _fit(box, cell) * rng.uniform(0.62 if thing.number == 1 else 0.82, 0.97)
        left, top = _placed(box, side, cell, None if flies else horizon, rng)
        if not flies and setting != "water":
            _shadow(image, box, left, top, side)
        tilt = rng.uniform(-0.2, 0.2) if flies else rng.uniform(-0.03, 0.03)
        pen = Pen(ImageDraw.Draw(image), left, top, side, outline, mirrored=mirrored, tilt=tilt)
        DRAWINGS[thing.kind](pen, varied(colour, rng, 6))


def _cells(thing: Thing, region: Box, rng: random.Random) -> Iterator[Box]:
    """Yield a cell for each of the things, in the rows and columns that make them largest."""
    left, top, right, bottom = region
    box = _extent(thing.kind, mirrored=False)

    def cell(columns: int) -> tuple[float, float]:
        return (right - left) / columns, (bottom - top) / -(-thing.number // columns)

    columns = max(range(1, thing.number + 1), key=lambda n: _fit(box, (0, 0, *cell(n))))
    wide, high = cell(columns)
    places = [(i % columns, i // columns) for i in range(columns * -(-thing.number // columns))]
    for column, row in rng.sample(places, thing.number):
        x, y = left + column * wide, top + row * high
        yield x, y, x + wide, y + high


def _fit(box: Box, cell: Box) -> float:
    """Return the side of the largest square whose drawn part `box` fits into the cell."""
    return min((cell[2] - cell[0]) / (box[2] - box[0]), (cell[3] - cell[1]) / (box[3] - box[1]))


def _placed(
    box: Box, side: float, cell: Box, horizon: float | None, rng: random.Random
) -> tuple[float, float]:
    """Return left and top of a square whose drawn part lies in the cell.

    Its feet are below the horizon, if there is one and the cell allows it.
    """
    spare_x = cell[2] - cell[0] - (box[2] - box[0]) * side
    spare_y = cell[3] - cell[1] - (box[3] - box[1]) * side
    x, y = cell[0] + rng.random() * spare_x, cell[1] + rng.random() * spare_y
    if horizon is not None:
        lowest = cell[1] + spare_y
        least = min(lowest, horizon + (0.1 - (box[3] - box[1])) * side)
        y = max(y, rng.uniform(least, lowest))
    return x - box[0] * side, y - box[1] * side


def _shadow(image: Image.Image, box: Box, left: float, top: float, side: float) -> None:
    """Darken the ground where the thing stands."""
    feet, thick = top + (box[3] - 0.01) * side, 0.035 * side
    inset = 0.06 * (box[2] - box[0])
    corners = (
        left + (box[0] + inset) * side,
        feet - thick,
        left + (box[2] - inset) * side,
        feet + thick,
    )
    x0, y0, x1, y1 = (round(corner) for corner in corners)
    if x1 <= x0 or y1 <= y0:  # too small to be seen
        return
    patch = image.crop((x0, y0, x1, y1)).point([round(value * 0.8) for value in range(256)] * 3)
    mask = Image.new("L", patch.size)
    ImageDraw.Draw(mask).ellipse((0, 0, patch.width - 1, patch.height - 1), fill=255)
    image.paste(patch, (x0, y0), mask)


def _outline(name: str, colour: RGB, setting: str) -> RGB:
    """Return the colour of an outline: dark, or light where a dark line would not be visible."""
    if name == "black":
        return 104, 104, 112
    return shade(colour, 1.35) if setting == "night" and name != "white" else shade(colour, 0.45)


@cache
def _extent(kind: str, mirrored: bool) -> Box:
    """Return the part of its square that a drawing fills, found by drawing it."""
    side = 200
    image = Image.new("RGB", (side, side))
    pen = Pen(ImageDraw.Draw(image), 0, 0, side, (255, 255, 255), mirrored=mirrored)
    DRAWINGS[kind](pen, (255, 255, 255))
    left, top, right, bottom = image.getbbox() or (0, 0, side, side)
    return left / side, top / side, right / side, bottom / side
