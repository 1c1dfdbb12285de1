"""The names in a query that a server resolves: never a file that was not indexed."""

import os
from contextlib import suppress
from pathlib import Path

from retrieval.decoding.formats import is_named_as_picture
from retrieval.errors import FailureCode, InvalidQuery, PathNotFound, UnreadablePicture
from retrieval.paths import with_home
from retrieval.records import Failure
from retrieval.search.language import ADDRESS, ID, PATH, Picture, by_number
from retrieval.search.question import ImageId, PreparedPicture
from retrieval.sources.web.fetch import fetch
from retrieval.web.state import Site

UPLOAD = "upload:"


class Names:
    """Resolves a number, an upload, the path of a picture in the library, or an address."""

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

    def _uploaded(self, key: str) -> PreparedPicture:
        if upload := self._site.uploads.get(key):
            return upload.picture
        raise InvalidQuery(f"the upload {key!r} does not exist or has expired; upload it again")

    def _known(self, word: str) -> ImageId | None:
        """Look a path up in the catalog alone, without touching the file system."""
        with suppress(PathNotFound):  # what cannot name a file is a description
            place = Path(os.path.abspath(with_home(word)))
            if (image_id := self._site.library.catalog.places.image_at(place)) is not None:
                return ImageId(image_id)
        if is_named_as_picture(word):
            raise InvalidQuery(f"{word} is not in the library; upload it to search with it")
        return None

    def _fetched(self, url: str) -> PreparedPicture:
        settings = self._site.settings
        if not settings.allow_url:
            raise InvalidQuery(
                "this server does not fetch pictures from the network; "
                "start it with `retrieve serve --allow-url`"
            )
        result, prepared = self._site.read(fetch(url, private=settings.private_addresses))
        if prepared:
            return prepared
        why = result.failure or Failure(FailureCode.UNREADABLE, "it is gone")
        raise UnreadablePicture(f"cannot search for {url}: {why.reason}", why.code, why.limit)
