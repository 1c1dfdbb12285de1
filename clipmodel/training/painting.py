"""Paints a scene: sky and ground first, then the things, each in a place of its own."""

import random
from collections.abc import Iterator

from PIL import Image, ImageDraw

from clipmodel.training.scenes import Scene, Thing, in_the_air
from clipmodel.training.things import DRAWINGS, RGB, Pen, shade

PAINTS: dict[str, RGB] = {
    "red": (214, 40, 40),
    "orange": (245, 130, 28),
    "yellow": (250, 214, 40),
    "green": (52, 160, 66),
    "blue": (40, 92, 208),
    "purple": (128, 54, 168),
    "pink": (246, 130, 180),
    "brown": (126, 78, 44),
    "black": (38, 38, 42),
    "white": (248, 248, 246),
}
# Of each setting: the sky at its top and at the horizon, and the ground.
GROUNDS: dict[str, tuple[RGB, RGB, RGB]] = {
    "day": ((112, 184, 240), (206, 232, 250), (134, 190, 96)),
    "night": ((14, 18, 52), (44, 50, 104), (30, 42, 52)),
    "snow": ((176, 196, 214), (226, 234, 242), (238, 243, 248)),
    "beach": ((120, 196, 244), (214, 238, 250), (238, 216, 160)),
    "sunset": ((98, 70, 132), (252, 150, 84), (92, 76, 70)),
    "rain": ((110, 118, 128), (160, 168, 176), (104, 122, 106)),
    "room": ((232, 216, 190), (226, 206, 178), (172, 126, 84)),
    "desert": ((246, 202, 128), (252, 230, 180), (222, 166, 92)),
}
SUPERSAMPLED = 2  # times as large while drawing, so that edges are smooth


def paint(scene: Scene, width: int, height: int, seed: int) -> Image.Image:
    """An RGB picture, a function of its arguments."""
    rng = random.Random(f"paint/{seed}")
    size = (width * SUPERSAMPLED, height * SUPERSAMPLED)
    horizon = rng.uniform(0.5, 0.68)
    image = _sky(scene.setting, size, rng)
    draw = ImageDraw.Draw(image)
    _ground(draw, scene.setting, size, horizon, rng)
    _scenery(draw, scene.setting, size, horizon, rng)
    for thing, region in zip(scene.things, _regions(scene), strict=True):
        _things(draw, thing, scene.setting, region, size, rng)
    if scene.setting in ("rain", "snow"):
        _weather(draw, scene.setting, size, rng)
    return image.resize((width, height), Image.Resampling.BOX)


def _sky(setting: str, size: tuple[int, int], rng: random.Random) -> Image.Image:
    top, low, _ = (_varied(colour, rng, 10) for colour in GROUNDS[setting])
    gradient = Image.new("RGB", (1, 2))
    gradient.putdata([top, low])
    return gradient.resize(size, Image.Resampling.BILINEAR)


def _ground(
    draw: ImageDraw.ImageDraw,
    setting: str,
    size: tuple[int, int],
    horizon: float,
    rng: random.Random,
) -> None:
    width, height = size
    ground = _varied(GROUNDS[setting][2], rng, 12)
    top = horizon * height
    if setting == "beach":
        draw.rectangle((0, top, width, height), fill=_varied((58, 148, 196), rng, 12))
        top += rng.uniform(0.06, 0.14) * height
    if setting in ("day", "snow", "desert", "night"):  # hills or dunes
        for tone in (0.9, 0.97):
            x, r = rng.uniform(0, width), rng.uniform(0.5, 0.9) * width
            draw.ellipse((x - r, top - 0.14 * height, x + r, top + r), fill=shade(ground, tone))
    draw.rectangle((0, top, width, height), fill=ground)


def _scenery(
    draw: ImageDraw.ImageDraw,
    setting: str,
    size: tuple[int, int],
    horizon: float,
    rng: random.Random,
) -> None:
    width, height = size
    if setting == "night":
        for _ in range(rng.randint(15, 35)):
            _dot(
                draw,
                rng.uniform(0, width),
                rng.uniform(0, horizon * height),
                height * 0.004,
                (230, 230, 210),
            )
        _dot(draw, rng.uniform(0.1, 0.9) * width, 0.12 * height, 0.06 * height, (240, 236, 200))
    elif setting in ("day", "beach", "desert"):
        _dot(draw, rng.choice((0.08, 0.92)) * width, 0.1 * height, 0.07 * height, (255, 226, 110))
    elif setting == "sunset":
        _dot(
            draw,
            rng.uniform(0.2, 0.8) * width,
            (horizon - 0.02) * height,
            0.1 * height,
            (255, 208, 120),
        )
        draw.rectangle(
            (0, horizon * height, width, height), fill=_varied(GROUNDS[setting][2], rng, 8)
        )
    elif setting == "rain":
        for _ in range(3):
            x, y = rng.uniform(0, width), rng.uniform(0.02, 0.12) * height
            for step in (-0.09, 0.0, 0.09):
                _dot(draw, x + step * width, y, 0.07 * height, (132, 138, 148))
    elif setting == "room":
        x, y = rng.uniform(0.05, 0.7) * width, 0.08 * height
        draw.rectangle(
            (x, y, x + 0.22 * width, y + 0.24 * height),
            (190, 222, 240),
            (246, 244, 238),
            height // 50,
        )
        for step in range(1, 5):
            low = (horizon + step * (1 - horizon) / 5) * height
            draw.line((0, low, width, low), fill=(150, 106, 68), width=max(1, height // 160))


def _weather(
    draw: ImageDraw.ImageDraw, setting: str, size: tuple[int, int], rng: random.Random
) -> None:
    width, height = size
    for _ in range(45):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        if setting == "snow":
            _dot(draw, x, y, height * rng.uniform(0.004, 0.009), (255, 255, 255))
        else:
            draw.line(
                (x, y, x - 0.012 * width, y + 0.05 * height), (196, 208, 224), max(1, height // 150)
            )


Region = tuple[float, float, float, float]  # left, top, right, bottom, as parts of the picture


def _regions(scene: Scene) -> list[Region]:
    """The place of each of the things: what flies above what stands, otherwise side by side."""
    flying = [in_the_air(thing.kind) for thing in scene.things]
    if len(flying) == 1:
        return [(0.03, 0.03, 0.97, 0.8) if flying[0] else (0.03, 0.22, 0.97, 0.97)]
    if flying[0] != flying[1]:
        return [(0.03, 0.02, 0.97, 0.48) if air else (0.03, 0.5, 0.97, 0.98) for air in flying]
    top, bottom = (0.05, 0.75) if flying[0] else (0.28, 0.97)
    return [(0.02, top, 0.49, bottom), (0.51, top, 0.98, bottom)]


def _things(
    draw: ImageDraw.ImageDraw,
    thing: Thing,
    setting: str,
    region: Region,
    size: tuple[int, int],
    rng: random.Random,
) -> None:
    paint_of_all = _varied(PAINTS[thing.colour], rng, 14)
    outline = shade(paint_of_all, 0.45) if thing.colour != "black" else (96, 96, 104)
    for left, top, side in _slots(thing.number, region, size, rng):
        pen = Pen(draw, left, top, side, mirrored=rng.random() < 0.5, outline=outline)
        DRAWINGS[thing.kind](pen, _varied(paint_of_all, rng, 6))


def _slots(
    number: int, region: Region, size: tuple[int, int], rng: random.Random
) -> Iterator[tuple[float, float, float]]:
    """Squares (left, top, side) in pixels, as many as asked for, none on another."""
    left, top, right, bottom = (part * side for part, side in zip(region, size * 2, strict=True))
    wide = (right - left) >= (bottom - top)
    columns = {
        1: 1,
        2: 2 if wide else 1,
        3: 3 if wide else 2,
        4: 4 if right - left > 2 * (bottom - top) else 2,
    }[number]
    rows = -(-number // columns)
    cell_width, cell_height = (right - left) / columns, (bottom - top) / rows
    cells = [(column, row) for row in range(rows) for column in range(columns)]
    for column, row in rng.sample(cells, number):
        side = min(cell_width, cell_height) * rng.uniform(0.68, 0.97)
        x = left + column * cell_width + rng.uniform(0, cell_width - side)
        y = top + row * cell_height + rng.uniform(0, cell_height - side)
        yield x, y, side


def _dot(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: RGB) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _varied(colour: RGB, rng: random.Random, by: int) -> RGB:
    red, green, blue = (max(0, min(255, c + rng.randint(-by, by))) for c in colour)
    return red, green, blue
