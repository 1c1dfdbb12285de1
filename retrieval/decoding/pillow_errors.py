"""Pillow's errors, as one sentence about the file."""

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from clipmodel.pools import Renewed
from retrieval.decoding.content import NO_MEMORY
from retrieval.errors import FailureCode, UnreadablePicture


@contextmanager
def explained() -> Iterator[None]:
    """Turn any error from Pillow into an UnreadablePicture, and suppress its warnings."""
    try:
        with QUIET:
            yield
    except UnreadablePicture:
        raise
    except UnidentifiedImageError as error:
        said = "it is not a picture in a format that can be read"
        raise UnreadablePicture(said, FailureCode.NOT_A_PICTURE) from error
    except Image.DecompressionBombError as error:
        raise _too_large(str(error)) from error
    except MemoryError as error:
        raise UnreadablePicture(NO_MEMORY, FailureCode.OUT_OF_MEMORY) from error
    except Exception as error:  # decoders may raise anything for invalid data
        raise UnreadablePicture(_one_line(error)) from error


class Quiet(Renewed):
    """Suppresses warnings while any thread is inside; `catch_warnings` serves one thread only."""

    def renew(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


QUIET = Quiet()


def too_large(size: str, max_pixels: int) -> UnreadablePicture:
    """Return the error for a picture larger than `max_pixels`."""
    said = f"it has {size} pixels, more than {max_pixels:,}"
    return UnreadablePicture(said, FailureCode.TOO_LARGE, max_pixels)


def _too_large(said: str) -> UnreadablePicture:
    """Turn Pillow's sentence about a picture's size, which has two numbers, into our error."""
    numbers = re.findall(r"\d+", said)
    if len(numbers) != 2:
        said = "it has more pixels than a picture may have"
        return UnreadablePicture(said, FailureCode.TOO_LARGE)
    held, most = map(int, numbers)
    return too_large(f"{held:,}", most)


def _one_line(error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return f"it cannot be decoded: {said[:200]}"
