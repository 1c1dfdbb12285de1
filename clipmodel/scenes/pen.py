"""A pen that draws in the coordinates of a unit square, which may be anywhere and tilted."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin

from PIL import ImageDraw

RGB = tuple[int, int, int]
Point = tuple[float, float]


def shade(colour: RGB, factor: float) -> RGB:
    """Darken a colour for factors below 1, lighten it (towards white) above."""
    if factor <= 1:
        red, green, blue = (round(c * factor) for c in colour)
    else:
        red, green, blue = (round(255 - (255 - c) * (2 - factor)) for c in colour)
    return red, green, blue


def around(x: float, y: float, radius: float, count: int, turn: float = -0.25) -> list[Point]:
    """Return `count` points on a circle, the first at the top (`turn` in fractions of a circle)."""
    angles = [2 * pi * (turn + i / count) for i in range(count)]
    return [(x + radius * cos(a), y + radius * sin(a)) for a in angles]


@dataclass(frozen=True)
class Pen:
    """A pen for outlined shapes. `left`, `top` and `side` of the square are in pixels."""

    draw: ImageDraw.ImageDraw
    left: float
    top: float
    side: float
    outline: RGB
    mirrored: bool = False
    tilt: float = 0.0  # radians, around the middle of the square
    thickness: float = 0.024  # of the outline, as a fraction of the side

    def at(self, points: Sequence[Point]) -> list[Point]:
        """Convert the square's own coordinates to the picture's pixels."""
        turned_x, turned_y = cos(self.tilt), sin(self.tilt)
        placed = []
        for x, y in points:
            dx, dy = (0.5 - x if self.mirrored else x - 0.5), y - 0.5
            dx, dy = dx * turned_x - dy * turned_y, dx * turned_y + dy * turned_x
            placed.append((self.left + (dx + 0.5) * self.side, self.top + (dy + 0.5) * self.side))
        return placed

    def polygon(self, fill: RGB, *points: Point) -> None:
        at = self.at(points)
        self.draw.polygon(at, fill=fill)
        width = max(1, round(self.side * self.thickness))
        self.draw.line([*at, at[0], at[1]], fill=self.outline, width=width, joint="curve")

    def oval(self, fill: RGB, x: float, y: float, rx: float, ry: float | None = None) -> None:
        """Draw an ellipse around (x, y)."""
        ry = rx if ry is None else ry
        inner = max(rx - self.thickness, rx / 2), max(ry - self.thickness, ry / 2)
        self.spot(self.outline, x, y, rx, ry)
        self.spot(fill, x, y, *inner)

    def spot(self, fill: RGB, x: float, y: float, rx: float, ry: float | None = None) -> None:
        """Draw an ellipse without an outline."""
        ry = rx if ry is None else ry
        corners = 12 + round((max(rx, ry) * self.side) ** 0.5)
        circle = around(0, 0, 1, corners)
        self.draw.polygon(self.at([(x + px * rx, y + py * ry) for px, py in circle]), fill=fill)

    def box(self, fill: RGB, x0: float, y0: float, x1: float, y1: float, radius: float = 0) -> None:
        """Draw a rectangle, its corners rounded by `radius`."""
        if not radius:
            return self.polygon(fill, (x0, y0), (x1, y0), (x1, y1), (x0, y1))
        middles = [  # of the four corners' circles, clockwise as in `around`
            (x1 - radius, y1 - radius),
            (x0 + radius, y1 - radius),
            (x0 + radius, y0 + radius),
            (x1 - radius, y0 + radius),
        ]
        corners = [
            point
            for quarter, (x, y) in enumerate(middles)
            for point in around(x, y, radius, 16, turn=quarter / 4)[:5]
        ]
        return self.polygon(fill, *corners)

    def line(self, colour: RGB, width: float, *points: Point) -> None:
        """Draw a stroke, `width` as a fraction of the square's side."""
        thick = max(1, round(width * self.side))
        self.draw.line(self.at(points), fill=colour, width=thick, joint="curve")
