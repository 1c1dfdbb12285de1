"""What the names in a query stand for in a server: never a file that was not indexed."""

import os
from pathlib import Path

from retrieval.decoding.formats import is_named_as_picture
from retrieval.errors import FailureCode, InvalidQuery, UnreadablePicture
from retrieval.paths import at_home
from retrieval.records import Failure
from retrieval.search.fetch import fetch
from retrieval.search.language import ADDRESS, ID, PATH, Picture, by_number
from retrieval.search.question import ImageId, Prepared
from retrieval.web.state import Site

UPLOAD = "upload:"


class Names:
    """A number, an upload, the place of a picture that the library knows, an address."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def __call__(self, word: str) -> Picture | None:
        if found := ID.fullmatch(word):
            return by_number(int(found[1]), self._site.library.has)
        if word.startswith(UPLOAD):
            return self._uploaded(word.removeprefix(UPLOAD))
        if ADDRESS.fullmatch(word):
            return self._fetched(word)
        return self._known(word) if PATH.match(word) else None

    def _uploaded(self, key: str) -> Prepared:
        if upload := self._site.uploads.get(key):
            return upload.picture
        raise InvalidQuery(f"there is no upload {key!r} (any more); give the picture again")

    def _known(self, word: str) -> ImageId | None:
        """By the catalog alone: the file system is not looked at."""
        place = Path(os.path.abspath(at_home(word)))
        if (image_id := self._site.library.catalog.places.image_at(place)) is not None:
            return ImageId(image_id)
        if is_named_as_picture(word):
            raise InvalidQuery(f"the library knows no picture {word}; upload it to search with it")
        return None

    def _fetched(self, url: str) -> Prepared:
        settings = self._site.settings
        if not settings.allow_url:
            raise InvalidQuery(
                "a picture on the network is fetched only if the server was started so: "
                "retrieve serve --allow-url"
            )
        answer = self._site.read(fetch(url, private=settings.private_addresses))
        if answer.digest and answer.decoded:
            return Prepared(answer.digest, answer.decoded.pixels)
        why = answer.failure or Failure(FailureCode.UNREADABLE, "it is gone")
        raise UnreadablePicture(f"cannot search for {url}: {why.reason}", why.code, why.limit)
