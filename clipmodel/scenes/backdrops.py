"""Backdrops of scenes: the sky, the ground, and details that show the setting at a glance."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

from PIL import Image, ImageDraw

from clipmodel.scenes.pen import RGB, around, shade

# Of each setting: the sky at its top and at the horizon, and the ground.
GROUNDS: dict[str, tuple[RGB, RGB, RGB]] = {
    "day": ((104, 178, 240), (206, 232, 250), (142, 198, 102)),
    "night": ((12, 16, 50), (46, 52, 108), (34, 48, 62)),
    "snow": ((168, 190, 212), (222, 232, 242), (240, 245, 250)),
    "beach": ((112, 192, 244), (214, 238, 250), (240, 220, 166)),
    "sunset": ((96, 70, 136), (252, 150, 84), (98, 82, 78)),
    "rain": ((104, 112, 124), (164, 172, 182), (108, 124, 110)),
    "room": ((234, 220, 196), (228, 210, 184), (176, 132, 92)),
    "desert": ((250, 214, 150), (254, 236, 196), (226, 176, 108)),
    "water": ((96, 196, 208), (24, 106, 140), (206, 190, 146)),
}


@dataclass(frozen=True)
class Backdrop:
    """A picture without its things.

    Positions are fractions of its width and height, sizes fractions of its height.
    """

    draw: ImageDraw.ImageDraw
    width: int  # pixels
    height: int
    horizon: float
    rng: random.Random

    def polygon(self, fill: RGB, *points: tuple[float, float]) -> None:
        self.draw.polygon([(x * self.width, y * self.height) for x, y in points], fill=fill)

    def dot(self, fill: RGB, x: float, y: float, radius: float, squeeze: float = 1.0) -> None:
        """Draw a disc, or an ellipse whose height is `squeeze` times its width."""
        x, y, radius = x * self.width, y * self.height, radius * self.height
        box = (x - radius, y - radius * squeeze, x + radius, y + radius * squeeze)
        self.draw.ellipse(box, fill=fill)

    def line(self, fill: RGB, thick: float, *points: tuple[float, float]) -> None:
        at = [(x * self.width, y * self.height) for x, y in points]
        self.draw.line(at, fill=fill, width=max(1, round(thick * self.height)), joint="curve")

    def hills(self, ground: RGB) -> None:
        """Draw two hills, the farther one darker."""
        for tone, rise in ((0.88, 0.13), (0.95, 0.07)):
            top, phase = self.horizon - rise * self.rng.uniform(0.5, 1), self.rng.uniform(0, 2 * pi)
            waves = [(i / 24, top + 0.035 * sin(phase + i / 4)) for i in range(25)]
            self.polygon(shade(ground, tone), *waves, (1, 1), (0, 1))


def varied(colour: RGB, rng: random.Random, by: int) -> RGB:
    """Make a colour lighter or darker by up to `by`, with nearly the same hue."""
    change = rng.randint(-by, by)
    red, green, blue = (max(0, min(255, c + change + rng.randint(-4, 4))) for c in colour)
    return red, green, blue


def backdrop(
    setting: str, size: tuple[int, int], horizon: float, rng: random.Random
) -> Image.Image:
    """Paint a setting and nothing else: an RGB picture of `size` pixels (width, height)."""
    top, low, ground = (varied(colour, rng, 10) for colour in GROUNDS[setting])
    image = _gradient(top, low, size, horizon)
    stage = Backdrop(ImageDraw.Draw(image), *size, horizon, rng)
    BEHIND[setting](stage, ground)
    return image


def weather(image: Image.Image, setting: str, rng: random.Random) -> None:
    """Paint rain, snow or bubbles in front of everything."""
    stage = Backdrop(ImageDraw.Draw(image), *image.size, 0, rng)
    for _ in range({"rain": 40, "snow": 40, "water": 12}.get(setting, 0)):
        x, y = rng.random(), rng.random()
        if setting == "snow":
            stage.dot((255, 255, 255), x, y, rng.uniform(0.004, 0.009))
        elif setting == "rain":
            stage.line((198, 210, 226), 0.006, (x, y), (x - 0.014, y + 0.05))
        else:
            stage.dot((206, 240, 246), x, y, rng.uniform(0.006, 0.014))


def _gradient(top: RGB, low: RGB, size: tuple[int, int], horizon: float) -> Image.Image:
    steps = 64
    column = Image.new("RGB", (1, steps))
    for y in range(steps):
        part = min(1.0, y / steps / horizon)
        mixed = (round(a + (b - a) * part) for a, b in zip(top, low, strict=True))
        column.putpixel((0, y), tuple(mixed))
    return column.resize(size, Image.Resampling.BILINEAR)


def _flat(stage: Backdrop, ground: RGB, top: float) -> None:
    stage.polygon(ground, (0, top), (1, top), (1, 1), (0, 1))


def _sun(stage: Backdrop) -> None:
    x, y = stage.rng.choice((0.09, 0.91)), 0.1
    for px, py in around(0, 0, 1, 10):
        ray = stage.height / stage.width
        stage.line((255, 230, 120), 0.01, (x, y), (x + px * 0.115 * ray, y + py * 0.115))
    stage.dot((255, 226, 110), x, y, 0.07)


def _clouds(stage: Backdrop, colour: RGB, count: int) -> None:
    for _ in range(count):
        x, y = stage.rng.uniform(0.15, 0.85), stage.rng.uniform(0.04, 0.16)
        for step, radius in ((-0.055, 0.03), (0.0, 0.045), (0.055, 0.03)):
            stage.dot(colour, x + step, y, radius)


def _day(stage: Backdrop, ground: RGB) -> None:
    stage.hills(ground)
    _flat(stage, ground, stage.horizon)
    _sun(stage)
    _clouds(stage, (246, 250, 254), stage.rng.randint(0, 2))
    for _ in range(14):
        x, y = stage.rng.random(), stage.rng.uniform(stage.horizon + 0.03, 0.98)
        stage.line(shade(ground, 0.85), 0.006, (x - 0.008, y - 0.02), (x, y), (x + 0.008, y - 0.02))


def _night(stage: Backdrop, ground: RGB) -> None:
    for _ in range(stage.rng.randint(20, 40)):
        stage.dot((232, 232, 214), stage.rng.random(), stage.rng.random() * stage.horizon, 0.004)
    _moon(stage, stage.rng.uniform(0.1, 0.9), 0.11)
    stage.hills(ground)
    _flat(stage, ground, stage.horizon)


def _moon(stage: Backdrop, x: float, y: float) -> None:
    """Draw a crescent: half a circle, and back along half of a flatter ellipse."""
    half = around(0, 0, 0.07, 24)[:13]
    edge = [*half, *((px * 0.35, py) for px, py in reversed(half))]
    narrow = stage.height / stage.width
    stage.polygon((244, 240, 204), *((x + px * narrow, y + py) for px, py in edge))


def _snow(stage: Backdrop, ground: RGB) -> None:
    stage.hills(ground)
    _flat(stage, ground, stage.horizon)
    for _ in range(3):
        stage.dot(shade(ground, 0.96), stage.rng.random(), stage.rng.uniform(0.75, 0.98), 0.15, 0.2)


def _beach(stage: Backdrop, ground: RGB) -> None:
    _sun(stage)
    sea = varied((58, 148, 196), stage.rng, 12)
    _flat(stage, sea, stage.horizon - 0.06)
    shore = stage.horizon + stage.rng.uniform(0.04, 0.1)
    for _ in range(5):
        x, y = stage.rng.random(), stage.rng.uniform(stage.horizon - 0.03, shore - 0.02)
        stage.line(shade(sea, 1.4), 0.007, (x, y), (x + 0.09, y))
    waves = [(i / 24, shore + 0.012 * sin(i)) for i in range(25)]
    stage.polygon((244, 248, 250), *((x, y - 0.016) for x, y in waves), (1, 1), (0, 1))
    stage.polygon(ground, *waves, (1, 1), (0, 1))
    for _ in range(12):
        y = stage.rng.uniform(shore + 0.04, 0.98)
        stage.dot(shade(ground, 0.9), stage.rng.random(), y, 0.006)


def _sunset(stage: Backdrop, ground: RGB) -> None:
    x = stage.rng.uniform(0.2, 0.8)
    stage.dot((255, 190, 100), x, stage.horizon - 0.02, 0.13)
    stage.dot((255, 222, 140), x, stage.horizon - 0.02, 0.1)
    for _ in range(2):
        y = stage.rng.uniform(0.12, stage.horizon - 0.12)
        stage.dot((226, 130, 120), stage.rng.random(), y, 0.2, 0.08)
    _flat(stage, ground, stage.horizon)


def _rain(stage: Backdrop, ground: RGB) -> None:
    _clouds(stage, (134, 142, 154), 5)
    _flat(stage, ground, stage.horizon)
    for _ in range(3):
        y = stage.rng.uniform(stage.horizon + 0.1, 0.97)
        stage.dot((150, 164, 178), stage.rng.random(), y, 0.11, 0.2)


def _room(stage: Backdrop, ground: RGB) -> None:
    narrow = stage.height / stage.width
    x, y, glass = stage.rng.uniform(0.04, 0.74), 0.07, (196, 226, 242)
    wide, high, frame = 0.22 * narrow, 0.24, (248, 246, 240)
    stage.polygon(glass, (x, y), (x + wide, y), (x + wide, y + high), (x, y + high))
    stage.line(frame, 0.02, (x, y), (x + wide, y), (x + wide, y + high), (x, y + high), (x, y))
    stage.line(frame, 0.014, (x + wide / 2, y), (x + wide / 2, y + high))
    stage.line(frame, 0.014, (x, y + high / 2), (x + wide, y + high / 2))
    _flat(stage, ground, stage.horizon)
    for step in range(1, 6):
        low = stage.horizon + step * (1 - stage.horizon) / 6
        stage.line(shade(ground, 0.86), 0.006, (0, low), (1, low))
    stage.line((250, 246, 238), 0.022, (0, stage.horizon), (1, stage.horizon))


def _desert(stage: Backdrop, ground: RGB) -> None:
    _sun(stage)
    stage.hills(ground)
    _flat(stage, ground, stage.horizon)
    x, y, green = stage.rng.choice((0.06, 0.94)), stage.horizon + 0.03, (104, 134, 88)
    stage.line(green, 0.035, (x, y), (x, y - 0.2))
    for way in (-1, 1):
        arm = x + way * 0.05 * stage.height / stage.width
        stage.line(green, 0.022, (x, y - 0.07), (arm, y - 0.07), (arm, y - 0.13))


def _water(stage: Backdrop, ground: RGB) -> None:
    for _ in range(3):
        x = stage.rng.random()
        light = (124, 210, 218)
        stage.polygon(light, (x, 0), (x + 0.06, 0), (x - 0.06, 0.35), (x - 0.1, 0.35))
    _flat(stage, ground, 0.86)
    for x in (0.04, 0.1, 0.9, 0.96):
        high = stage.rng.uniform(0.2, 0.4)
        weed = [(x + 0.015 * cos(i), 0.95 - high * i / 8) for i in range(9)]
        stage.line((46, 122, 104), 0.02, *weed)


BEHIND: dict[str, Callable[[Backdrop, RGB], None]] = {
    "day": _day, "night": _night, "snow": _snow, "beach": _beach, "sunset": _sunset,
    "rain": _rain, "room": _room, "desert": _desert, "water": _water,
}  # fmt: skip
