"""The header of a JPEG XL file (ISO/IEC 18181): its size, orientation and colours.

A file is either a bare codestream, or boxes, one of which begins it. The header is written in bits,
the lowest of each byte first.
"""

from dataclasses import dataclass
from fractions import Fraction

from retrieval.decoding.plugins.boxes import boxes
from retrieval.decoding.profiles import Meaning, meant

BARE = b"\xff\x0a"
BOXED = b"\0\0\0\x0cJXL \r\n\x87\n"
RATIOS = [Fraction(*each) for each in ((1, 1), (6, 5), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))]
CODESTREAM = {b"jxlc": 0, b"jxlp": 4}  # boxes, and the bytes before the codestream in them
GREY, XYB = 1, 2  # colour spaces
ALPHA, SPOT, CFA = 0, 2, 5  # extra channels
CUSTOM = 2  # a white point, or primaries

Choice = tuple[int, int]  # of a number: what is added, and how many bits follow
SIDE: list[Choice] = [(1, 9), (1, 13), (1, 18), (1, 30)]
ENUM: list[Choice] = [(0, 0), (1, 0), (2, 4), (18, 6)]


class Bits:
    """Reads numbers from a codestream. Raises ValueError at its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data[:4096]  # a header is shorter, unless its channels have names
        self._at = 0

    def u(self, count: int) -> int:
        last = self._at + count
        if last > 8 * len(self._data):
            raise ValueError("the header is cut off")
        first, end = self._at // 8, (last + 7) // 8
        value = int.from_bytes(self._data[first:end], "little") >> (self._at % 8)
        self._at = last
        return value & ((1 << count) - 1)

    def flag(self) -> bool:
        return bool(self.u(1))

    def pick(self, choices: list[Choice]) -> int:
        add, count = choices[self.u(2)]
        return add + self.u(count)

    def skip_side(self, by_8: bool) -> int:
        return 8 * (1 + self.u(5)) if by_8 else self.pick(SIDE)


@dataclass(slots=True)
class Header:
    """What a JPEG XL file says of its picture."""

    width: int  # pixels, before it is turned
    height: int
    orientation: int = 1  # EXIF's
    bits: int = 8  # of a sample
    is_float: bool = False
    is_grey: bool = False
    is_xyb: bool = True  # lossy: the decoder gives colours as it likes, sRGB
    has_profile: bool = False  # an ICC profile, which is compressed in a way of its own
    meaning: Meaning | None = None


def codestream(data: bytes) -> bytes:
    """Return the beginning of the codestream. Raises ValueError if there is none."""
    if data.startswith(BARE):
        return data[:4096]
    for box in boxes(data):
        if box.type in CODESTREAM:
            begin = box.begin + CODESTREAM[box.type]
            return data[begin : min(begin + 4096, box.end)]
    raise ValueError("no codestream")


def header(data: bytes) -> Header:
    """Read the header of a file. Raises ValueError."""
    begin = codestream(data)
    if not begin.startswith(BARE):
        raise ValueError("no codestream")
    bits = Bits(begin[2:])
    read = Header(*_size(bits))
    if not bits.flag():  # not all default
        _metadata(bits, read)
    return read


def _size(bits: Bits) -> tuple[int, int]:
    by_8 = bits.flag()
    height = bits.skip_side(by_8)
    ratio = bits.u(3)
    width = int(height * RATIOS[ratio - 1]) if ratio else bits.skip_side(by_8)
    return width, height


def _metadata(bits: Bits, read: Header) -> None:
    if bits.flag():  # extra fields
        read.orientation = 1 + bits.u(3)
        if bits.flag():
            _size(bits)  # the intrinsic one
        if bits.flag():
            _skip_preview(bits)
        if bits.flag():
            _skip_animation(bits)
    read.is_float, read.bits = _depth(bits)
    bits.flag()  # whether 16 bits suffice for buffers
    for _ in range(bits.pick([(0, 0), (1, 0), (2, 4), (1, 12)])):
        _skip_channel(bits)
    read.is_xyb = bits.flag()
    if not bits.flag():  # colours are not all default
        _colours(bits, read)


def _depth(bits: Bits) -> tuple[bool, int]:
    if not bits.flag():
        return False, bits.pick([(8, 0), (10, 0), (12, 0), (1, 6)])
    size = bits.pick([(32, 0), (16, 0), (24, 0), (1, 6)])
    bits.u(4)  # of them, the exponent's
    return True, size


def _skip_preview(bits: Bits) -> None:
    large = [(1, 6), (65, 8), (321, 10), (1345, 12)]
    side = [(16, 0), (32, 0), (1, 5), (33, 9)] if bits.flag() else large
    bits.pick(side)
    if not bits.u(3):
        bits.pick(side)


def _skip_animation(bits: Bits) -> None:
    bits.pick([(100, 0), (1000, 0), (1, 10), (1, 30)])
    bits.pick([(1, 0), (1001, 0), (1, 8), (1, 10)])
    bits.pick([(0, 0), (0, 3), (0, 16), (0, 32)])
    bits.flag()


def _skip_channel(bits: Bits) -> None:
    if bits.flag():  # all default: alpha of 8 bits
        return
    kind = bits.pick(ENUM)
    _depth(bits)
    bits.pick([(0, 0), (3, 0), (4, 0), (1, 3)])
    for _ in range(bits.pick([(0, 0), (0, 4), (16, 5), (48, 10)])):
        bits.u(8)  # its name
    if kind == ALPHA:
        bits.flag()
    elif kind == SPOT:
        bits.u(64)
    elif kind == CFA:
        bits.pick([(1, 0), (0, 2), (3, 4), (19, 8)])


def _colours(bits: Bits, read: Header) -> None:
    read.has_profile = bits.flag()
    space = bits.pick(ENUM)
    read.is_grey = space == GREY
    if read.has_profile or space == XYB:
        return
    white, primaries = bits.pick(ENUM), 1
    if white == CUSTOM:
        _skip_points(bits, 1)
    if not read.is_grey:
        primaries = bits.pick(ENUM)
        if primaries == CUSTOM:
            _skip_points(bits, 3)
    if bits.flag():
        gamma = bits.u(24) / 10_000_000
        read.meaning = Meaning(meant(primaries, 0).primaries, gamma=1 / gamma if gamma else None)
    else:
        # Numbered as in H.273, but that 11 means P3, whose white is said apart.
        read.meaning = meant(12 if primaries == 11 else primaries, bits.pick(ENUM))


def _skip_points(bits: Bits, count: int) -> None:
    for _ in range(2 * count):
        bits.pick([(0, 19), (524288, 19), (1048576, 20), (2097152, 21)])
