"""What one file may cost, whatever is in it."""

MAX_PIXELS = 200_000_000  # the largest pictures that phones take; some 1 GB while one is decoded
MAX_BYTES = 1 << 30  # of a file; a sparse one may claim terabytes
MAX_SECONDS = 60.0  # to read and decode; 200 megapixels of AVIF take some 10
