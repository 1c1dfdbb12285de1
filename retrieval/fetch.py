"""A picture from the network, for a search by example: bounded in size and in time."""

import time
import urllib.error
import urllib.request
from http.client import HTTPException

from retrieval.errors import UnreadablePicture

MOST_BYTES = 64 << 20
SECONDS = 20.0  # all told
BLOCK = 1 << 16


def fetch(url: str, seconds: float = SECONDS, most: int = MOST_BYTES) -> bytes:
    """What is at an http or https address. Raises UnreadablePicture."""
    end = time.monotonic() + seconds
    request = urllib.request.Request(url, headers={"User-Agent": "retrieve"})
    data = bytearray()
    try:
        with _opener().open(request, timeout=seconds) as answer:
            while block := answer.read1(BLOCK):
                data += block
                if len(data) > most:
                    raise UnreadablePicture(f"cannot fetch {url}: it has more than {most:,} bytes")
                if time.monotonic() > end:
                    raise TimeoutError
    except TimeoutError as error:
        raise UnreadablePicture(f"cannot fetch {url}: it takes more than {seconds:g} s") from error
    except urllib.error.HTTPError as error:
        with error:
            raise UnreadablePicture(f"cannot fetch {url}: {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        said = getattr(error, "reason", None) or error
        raise UnreadablePicture(f"cannot fetch {url}: {said}") from error
    return bytes(data)


def _opener() -> urllib.request.OpenerDirector:
    """For http and https alone, wherever a redirection leads: not to files of this machine."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
