"""What Pillow complains of, in one sentence about the file."""

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from retrieval.decoding.content import NO_MEMORY
from retrieval.decoding.limits import TOO_LARGE
from retrieval.errors import UnreadablePicture


@contextmanager
def explained() -> Iterator[None]:
    """Turn whatever Pillow raises into an UnreadablePicture, and keep its warnings to ourselves."""
    try:
        with QUIET:
            yield
    except UnreadablePicture:
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePicture("it is not a picture in a format that can be read") from error
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(_too_large(str(error))) from error
    except MemoryError as error:
        raise UnreadablePicture(NO_MEMORY) from error
    except Exception as error:  # a decoder fed with garbage raises anything
        raise UnreadablePicture(_one_line(error)) from error


class Quiet:
    """No warnings while any thread is in here; `catch_warnings` alone is for one thread only."""

    def __init__(self) -> None:
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


def _too_large(said: str) -> str:
    """Pillow's complaint about a picture's size as `_decode` words it."""
    numbers = re.findall(r"\d+", said)
    if len(numbers) != 2:
        return "it has more pixels than a picture may have"
    held, most = map(int, numbers)
    return f"it has {held:,}{TOO_LARGE}{most:,}"


def _one_line(error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return f"it cannot be decoded: {said[:200]}"
