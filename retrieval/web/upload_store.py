"""Pictures that were uploaded to search with: the latest few, in memory."""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

from retrieval.search.question import PreparedPicture

MAX_UPLOADS = 32


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded picture, prepared for the model and as a thumbnail."""

    picture: PreparedPicture
    width: int
    height: int
    format: str
    thumbnail: bytes  # WebP


class Uploads:
    """The latest uploads, by a random key. Safe to use from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Upload] = OrderedDict()

    def add(self, upload: Upload) -> str:
        key = secrets.token_hex(8)
        with self._lock:
            self._held[key] = upload
            while len(self._held) > MAX_UPLOADS:
                self._held.popitem(last=False)
        return key

    def get(self, key: str) -> Upload | None:
        with self._lock:
            return self._held.get(key)
