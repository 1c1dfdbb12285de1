"""Drawings of each kind of thing, in a unit square and in one main colour."""

from collections.abc import Callable
from math import cos, pi, sin

from clipmodel.scenes.pen import RGB, Pen, around, shade

WINDOW: RGB = (206, 232, 246)
TYRE: RGB = (48, 48, 54)
RUBBER: RGB = (98, 98, 106)  # light enough to be seen at night
WOOD: RGB = (121, 82, 52)
LEAF: RGB = (70, 140, 62)
INK: RGB = (22, 20, 24)

Drawing = Callable[[Pen, RGB], None]


def car(pen: Pen, colour: RGB) -> None:
    pen.polygon(colour, (0.22, 0.52), (0.33, 0.33), (0.68, 0.33), (0.8, 0.52))
    pen.polygon(WINDOW, (0.29, 0.51), (0.37, 0.38), (0.49, 0.38), (0.49, 0.51))
    pen.polygon(WINDOW, (0.53, 0.51), (0.53, 0.38), (0.65, 0.38), (0.73, 0.51))
    pen.box(colour, 0.04, 0.5, 0.96, 0.7, 0.07)
    pen.oval((255, 236, 150), 0.92, 0.57, 0.03)
    for x in (0.25, 0.75):
        pen.oval(TYRE, x, 0.7, 0.11)
        pen.oval((190, 190, 196), x, 0.7, 0.045)


def house(pen: Pen, colour: RGB) -> None:
    pen.box(shade(colour, 0.6), 0.66, 0.14, 0.76, 0.4)
    pen.box(colour, 0.14, 0.44, 0.86, 0.94)
    pen.polygon(shade(colour, 0.6), (0.05, 0.46), (0.5, 0.08), (0.95, 0.46))
    pen.box(WOOD, 0.42, 0.66, 0.58, 0.94)
    for x in (0.21, 0.66):
        pen.box((255, 232, 140), x, 0.54, x + 0.14, 0.7)


def tree(pen: Pen, colour: RGB) -> None:
    pen.box(WOOD, 0.43, 0.6, 0.57, 0.97)
    for x, y, r in ((0.3, 0.48, 0.21), (0.7, 0.48, 0.21), (0.5, 0.26, 0.24), (0.5, 0.5, 0.24)):
        pen.oval(colour, x, y, r)


def boat(pen: Pen, colour: RGB) -> None:
    pen.line(WOOD, 0.035, (0.48, 0.72), (0.48, 0.05))
    pen.polygon((250, 247, 238), (0.52, 0.08), (0.52, 0.62), (0.9, 0.62))
    pen.polygon((236, 230, 214), (0.44, 0.16), (0.44, 0.62), (0.16, 0.62))
    pen.polygon(colour, (0.04, 0.68), (0.96, 0.68), (0.8, 0.92), (0.2, 0.92))


def balloon(pen: Pen, colour: RGB) -> None:
    pen.line((120, 120, 120), 0.015, (0.5, 0.68), (0.46, 0.8), (0.54, 0.9), (0.5, 0.99))
    pen.polygon(colour, (0.5, 0.64), (0.44, 0.72), (0.56, 0.72))
    pen.oval(colour, 0.5, 0.36, 0.28, 0.33)
    pen.line(shade(colour, 1.6), 0.04, (0.36, 0.3), (0.38, 0.22), (0.43, 0.16))


def flower(pen: Pen, colour: RGB) -> None:
    pen.line(LEAF, 0.04, (0.5, 0.5), (0.5, 0.98))
    pen.polygon(LEAF, (0.5, 0.86), (0.68, 0.68), (0.76, 0.76))
    for x, y in around(0.5, 0.33, 0.19, 6):
        pen.oval(colour, x, y, 0.13)
    middle = (120, 80, 40) if colour[0] > 200 and colour[2] < 120 else (250, 205, 60)
    pen.oval(middle, 0.5, 0.33, 0.11)


def fish(pen: Pen, colour: RGB) -> None:
    pen.polygon(shade(colour, 0.75), (0.3, 0.5), (0.03, 0.3), (0.03, 0.7))
    pen.polygon(shade(colour, 0.75), (0.45, 0.35), (0.6, 0.16), (0.7, 0.36))
    pen.oval(colour, 0.58, 0.5, 0.36, 0.21)
    pen.oval((255, 255, 255), 0.78, 0.45, 0.05)
    pen.oval(INK, 0.79, 0.45, 0.02)
    pen.line(pen.outline, 0.02, (0.64, 0.4), (0.6, 0.5), (0.64, 0.6))


def cat(pen: Pen, colour: RGB) -> None:
    pen.line(colour, 0.07, (0.7, 0.86), (0.9, 0.8), (0.92, 0.58), (0.84, 0.5))
    pen.oval(colour, 0.5, 0.74, 0.25, 0.23)
    for left, tip, right in ((0.27, 0.27, 0.45), (0.55, 0.73, 0.73)):
        pen.polygon(colour, (left, 0.32), (tip, 0.06), (right, 0.22))
    pen.oval(colour, 0.5, 0.38, 0.26, 0.22)
    for x in (0.4, 0.6):
        pen.oval((176, 222, 110), x, 0.36, 0.045, 0.055)
        pen.oval(INK, x, 0.36, 0.015, 0.045)
    pen.polygon((236, 150, 150), (0.46, 0.44), (0.54, 0.44), (0.5, 0.49))
    for y in (0.42, 0.48):
        pen.line((235, 235, 235), 0.012, (0.24, y), (0.4, 0.46))
        pen.line((235, 235, 235), 0.012, (0.76, y), (0.6, 0.46))


def dog(pen: Pen, colour: RGB) -> None:
    pen.line(colour, 0.06, (0.14, 0.5), (0.03, 0.3))
    for x in (0.16, 0.28, 0.54, 0.66):
        pen.box(colour, x, 0.62, x + 0.09, 0.95, 0.03)
    pen.box(colour, 0.1, 0.42, 0.78, 0.72, 0.13)
    pen.oval(colour, 0.78, 0.34, 0.19, 0.18)
    pen.oval(shade(colour, 1.25), 0.92, 0.4, 0.1, 0.07)
    pen.oval(INK, 0.98, 0.37, 0.025)
    pen.oval(shade(colour, 0.6), 0.64, 0.36, 0.07, 0.15)
    pen.oval(INK, 0.83, 0.29, 0.022)


def bird(pen: Pen, colour: RGB) -> None:
    pen.polygon(shade(colour, 0.7), (0.2, 0.55), (0.0, 0.42), (0.04, 0.64))
    pen.line((225, 140, 40), 0.025, (0.45, 0.72), (0.45, 0.9), (0.52, 0.9))
    pen.oval(colour, 0.45, 0.56, 0.29, 0.19)
    pen.oval(colour, 0.74, 0.38, 0.15)
    pen.polygon((240, 160, 40), (0.87, 0.34), (0.99, 0.4), (0.87, 0.44))
    pen.polygon(shade(colour, 0.7), (0.58, 0.52), (0.2, 0.2), (0.3, 0.56))
    pen.oval(INK, 0.78, 0.34, 0.025)


def train(pen: Pen, colour: RGB) -> None:
    pen.box(shade(colour, 0.65), 0.1, 0.2, 0.44, 0.66)
    pen.box(WINDOW, 0.17, 0.28, 0.37, 0.46)
    pen.box(shade(colour, 0.65), 0.74, 0.2, 0.83, 0.42)
    for x, y, r in ((0.8, 0.13, 0.06), (0.68, 0.07, 0.07)):
        pen.oval((225, 225, 228), x, y, r)
    pen.box(colour, 0.4, 0.4, 0.93, 0.66, 0.06)
    pen.polygon(TYRE, (0.88, 0.7), (0.99, 0.84), (0.84, 0.84))
    for x, r in ((0.22, 0.13), (0.52, 0.1), (0.75, 0.1)):
        pen.oval(TYRE, x, 0.9 - r, r)
        pen.oval((200, 60, 50), x, 0.9 - r, r * 0.4)


def umbrella(pen: Pen, colour: RGB) -> None:
    pen.line(WOOD, 0.035, (0.5, 0.12), (0.5, 0.88), (0.54, 0.95), (0.62, 0.95), (0.65, 0.88))
    arc = [(0.5 - 0.46 * cos(pi * i / 16), 0.52 - 0.42 * sin(pi * i / 16)) for i in range(17)]
    pen.polygon(colour, *arc, (0.8, 0.46), (0.65, 0.53), (0.5, 0.46), (0.35, 0.53), (0.2, 0.46))
    pen.line(shade(colour, 0.7), 0.02, (0.5, 0.1), (0.35, 0.52))
    pen.line(shade(colour, 0.7), 0.02, (0.5, 0.1), (0.65, 0.52))


def chair(pen: Pen, colour: RGB) -> None:
    for x, y in ((0.24, 0.97), (0.72, 0.97), (0.36, 0.9), (0.62, 0.9)):
        pen.box(shade(colour, 0.7), x, 0.6, x + 0.06, y)
    pen.box(colour, 0.24, 0.06, 0.32, 0.62, 0.03)
    pen.box(colour, 0.24, 0.1, 0.4, 0.5, 0.04)
    pen.polygon(colour, (0.22, 0.56), (0.74, 0.56), (0.82, 0.68), (0.22, 0.68))


def apple(pen: Pen, colour: RGB) -> None:
    pen.line(WOOD, 0.045, (0.5, 0.28), (0.55, 0.08))
    pen.polygon(LEAF, (0.55, 0.2), (0.7, 0.06), (0.84, 0.12), (0.72, 0.22))
    for x in (0.37, 0.63):
        pen.oval(colour, x, 0.56, 0.26, 0.33)
    pen.spot(colour, 0.5, 0.57, 0.21, 0.29)
    pen.line(shade(colour, 1.6), 0.05, (0.2, 0.5), (0.24, 0.38))


def mushroom(pen: Pen, colour: RGB) -> None:
    pen.box((240, 230, 208), 0.39, 0.48, 0.61, 0.94, 0.08)
    cap = [(0.5 - 0.43 * cos(pi * i / 16), 0.56 - 0.46 * sin(pi * i / 16)) for i in range(17)]
    pen.polygon(colour, *cap)
    dots = (250, 248, 240) if sum(colour) < 640 else (200, 60, 50)
    for x, y, r in ((0.5, 0.24, 0.06), (0.3, 0.4, 0.05), (0.7, 0.4, 0.05)):
        pen.oval(dots, x, y, r)


def butterfly(pen: Pen, colour: RGB) -> None:
    for side in (-1, 1):
        pen.oval(colour, 0.5 + side * 0.25, 0.34, 0.21, 0.22)
        pen.oval(shade(colour, 0.8), 0.5 + side * 0.2, 0.68, 0.15, 0.17)
        pen.oval(shade(colour, 1.5), 0.5 + side * 0.27, 0.34, 0.08)
        pen.line((50, 40, 40), 0.02, (0.5, 0.26), (0.5 + side * 0.12, 0.08))
    pen.oval((60, 48, 44), 0.5, 0.5, 0.045, 0.29)


def cup(pen: Pen, colour: RGB) -> None:
    pen.oval(colour, 0.74, 0.56, 0.17, 0.15)
    pen.oval((240, 240, 236), 0.74, 0.56, 0.09, 0.07)
    pen.polygon(colour, (0.16, 0.32), (0.74, 0.32), (0.68, 0.86), (0.22, 0.86))
    pen.oval(shade(colour, 0.55), 0.45, 0.32, 0.29, 0.07)
    for x in (0.36, 0.54):
        pen.line((214, 214, 214), 0.025, (x, 0.22), (x + 0.05, 0.15), (x, 0.09), (x + 0.04, 0.02))


def hat(pen: Pen, colour: RGB) -> None:
    pen.oval(colour, 0.5, 0.74, 0.46, 0.13)
    pen.polygon(colour, (0.28, 0.72), (0.31, 0.24), (0.69, 0.24), (0.72, 0.72))
    pen.oval(shade(colour, 1.2), 0.5, 0.24, 0.19, 0.06)
    band = (60, 50, 60) if sum(colour) > 250 else (230, 220, 200)
    pen.polygon(band, (0.285, 0.6), (0.715, 0.6), (0.72, 0.72), (0.28, 0.72))


def ball(pen: Pen, colour: RGB) -> None:
    pen.oval(colour, 0.5, 0.5, 0.43)
    stripe = (248, 246, 240) if sum(colour) < 640 else (190, 198, 212)
    for way in (-1, 1):  # two bands that follow the ball's roundness
        steps = [pi * i / 10 for i in range(1, 10)]
        edge = [(0.5 + way * 0.1 * sin(a), 0.5 - 0.41 * cos(a)) for a in steps]
        rim = [(0.5 + way * 0.28 * sin(a), 0.5 - 0.41 * cos(a)) for a in steps]
        pen.polygon(stripe, *edge, *reversed(rim))


def airplane(pen: Pen, colour: RGB) -> None:
    pen.polygon(shade(colour, 0.7), (0.1, 0.44), (0.02, 0.2), (0.13, 0.2), (0.27, 0.42))
    pen.polygon(shade(colour, 0.7), (0.42, 0.42), (0.5, 0.2), (0.58, 0.2), (0.64, 0.42))
    nose = [(0.82 + 0.16 * sin(pi * i / 8), 0.49 - 0.11 * cos(pi * i / 8)) for i in range(9)]
    pen.polygon(colour, (0.06, 0.4), *nose, (0.3, 0.6), (0.1, 0.52))
    pen.polygon(shade(colour, 0.7), (0.38, 0.53), (0.64, 0.53), (0.4, 0.84), (0.29, 0.84))
    for x in (0.34, 0.46, 0.58, 0.7):
        pen.spot(WINDOW, x, 0.465, 0.033)
    pen.polygon(WINDOW, (0.82, 0.41), (0.88, 0.41), (0.94, 0.47), (0.82, 0.47))


def rocket(pen: Pen, colour: RGB) -> None:
    pen.polygon((255, 170, 50), (0.4, 0.78), (0.6, 0.78), (0.5, 0.99))
    for x, tip in ((0.37, 0.18), (0.63, 0.82)):
        pen.polygon(shade(colour, 0.6), (x, 0.5), (tip, 0.8), (x, 0.78))
    hull = [(0.5 + 0.2 * sin(pi * i / 16), 0.02 + 0.8 * i / 16) for i in range(1, 15)]
    pen.polygon(colour, (0.5, 0.02), *hull, *((1 - x, y) for x, y in reversed(hull)))
    pen.oval(WINDOW, 0.5, 0.36, 0.09)


def kite(pen: Pen, colour: RGB) -> None:
    pen.line((110, 100, 100), 0.015, (0.5, 0.62), (0.42, 0.74), (0.54, 0.86), (0.46, 0.99))
    pen.polygon(colour, (0.5, 0.03), (0.8, 0.3), (0.5, 0.66), (0.2, 0.3))
    pen.line(shade(colour, 0.55), 0.025, (0.5, 0.03), (0.5, 0.66))
    pen.line(shade(colour, 0.55), 0.025, (0.2, 0.3), (0.8, 0.3))
    for x, y in ((0.43, 0.75), (0.53, 0.86)):
        pen.polygon(
            colour,
            (x - 0.06, y - 0.04),
            (x + 0.06, y + 0.04),
            (x + 0.06, y - 0.04),
            (x - 0.06, y + 0.04),
        )


def bicycle(pen: Pen, colour: RGB) -> None:
    for x in (0.23, 0.77):
        for end in around(x, 0.66, 0.18, 8):
            pen.line((150, 150, 156), 0.012, (x, 0.66), end)
        rim = around(x, 0.66, 0.19, 24)
        pen.line(RUBBER, 0.045, *rim, rim[0], rim[1])
    pen.line(colour, 0.065, (0.23, 0.66), (0.38, 0.36), (0.68, 0.36), (0.48, 0.68), (0.23, 0.66))
    pen.line(colour, 0.065, (0.36, 0.32), (0.48, 0.68))
    pen.line(colour, 0.065, (0.77, 0.66), (0.66, 0.24), (0.8, 0.2))
    pen.line(TYRE, 0.06, (0.27, 0.3), (0.45, 0.3))


def star(pen: Pen, colour: RGB) -> None:
    outer, inner = around(0.5, 0.52, 0.46, 5), around(0.5, 0.52, 0.19, 5, turn=-0.15)
    pen.polygon(colour, *(point for pair in zip(outer, inner, strict=True) for point in pair))


def truck(pen: Pen, colour: RGB) -> None:
    pen.box(shade(colour, 0.85), 0.02, 0.24, 0.62, 0.72)
    pen.polygon(colour, (0.64, 0.72), (0.64, 0.36), (0.82, 0.36), (0.96, 0.54), (0.96, 0.72))
    pen.polygon(WINDOW, (0.7, 0.54), (0.7, 0.42), (0.8, 0.42), (0.89, 0.54))
    for x in (0.17, 0.42, 0.8):
        pen.oval(TYRE, x, 0.75, 0.1)
        pen.oval((190, 190, 196), x, 0.75, 0.04)


GROUND: dict[str, Drawing] = {
    f.__name__: f
    for f in (
        car, house, tree, boat, flower, fish, cat, dog, train, umbrella, chair, apple, mushroom,
        cup, hat, ball, bicycle, truck,
    )
}  # fmt: skip
SKY: dict[str, Drawing] = {
    f.__name__: f for f in (balloon, bird, butterfly, airplane, rocket, kite, star)
}
DRAWINGS: dict[str, Drawing] = {**GROUND, **SKY}
