"""What one file may cost, whatever is in it."""

MAX_PIXELS = 200_000_000  # the largest pictures that phones take
MAX_BYTES = 1 << 30  # of a file; a sparse one may claim terabytes
MAX_SECONDS = 60.0  # to read and decode; 200 megapixels of AVIF take some 10


def memory_for(max_pixels: int) -> int:
    """Bytes that a worker process may take to decode: 4 GB by default.

    16 a pixel: four as they are decoded, four turned upright, four on white, and some to spare. The
    rest is for the file itself, and for decoders that hold on to what they read.
    """
    return 800_000_000 + 16 * max_pixels
