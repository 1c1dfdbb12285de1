"""Limits on the cost of one file, and the version of what is made of it."""

import os

# Counts up when files come out different; catalogs remember it by image. 1: colour profiles, raw
# camera files, 16 and 32 bits.
DECODING = 1

MAX_PIXELS = 200_000_000  # the largest pictures that phones take
MAX_BYTES = 1 << 30  # of a file; a sparse file may claim terabytes
MAX_MOMENTS = 60  # of a video, or of a picture with several frames or pages
MAX_FILM_BYTES = 1 << 37  # of a video, which is not held in memory
FILM_PATIENCE = 10  # times as long as a picture may take: a large video is hashed for minutes
MAX_SECONDS = 60.0  # of processor time to read and decode; 200 megapixels of AVIF take about 10
# How many times as long it may take by the clock: other programs and slow disks take their part.
# Windows limits no processor time, so that there the clock alone counts.
STARVED = 4 if os.name == "posix" else 1


def memory_for(max_pixels: int) -> int:
    """Return the bytes that a worker process may use to decode: 4 GB by default.

    16 bytes per pixel: four decoded, four turned upright, four on white, and four to spare. The
    rest is for the file itself, and for decoders that keep what they read.
    """
    return 800_000_000 + 16 * max_pixels
