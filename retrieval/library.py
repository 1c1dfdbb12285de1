"""`Library`: the public face. A folder with a catalog, and what can be asked of it."""

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack, cast

from retrieval import models
from retrieval.catalog.reading import Catalog
from retrieval.errors import LibraryEmpty, LibraryNotFound, ModelMismatch
from retrieval.filters import Filters
from retrieval.locate import FILE_NAME, library_folder
from retrieval.paths import StrPath, given, with_home
from retrieval.records import Failed, Match, ModelRecord, Progress, Summary
from retrieval.search.answer import answered, why_empty
from retrieval.search.options import SearchKeywords, SearchOptions
from retrieval.search.parse import parse
from retrieval.search.query_encoder import QueryEncoder, identified
from retrieval.search.question import Example, ImageId, Question
from retrieval.vectors.nearest import Searcher

if TYPE_CHECKING:
    from retrieval.catalog.integrity import Problem
    from retrieval.collection.duplicates import Groups
    from retrieval.collection.export import Exported
    from retrieval.collection.status import Status
    from retrieval.indexing.options import IndexKeywords, IndexOptions
    from retrieval.search.parse import Asked
    from retrieval.search.tags import Tagged


class Library:
    """Pictures that can be found by words and by example. `Library.open` gives one.

    May be used from any number of threads. Closing it, or leaving its `with`, lets go of its files.
    """

    def __init__(self, folder: Path, model: StrPath | None = None) -> None:
        self.folder = folder
        self._asked_model = model
        self._opening = threading.Lock()
        self._opened: tuple[Catalog, Searcher] | None = None
        self._encoder: QueryEncoder | None = None

    @classmethod
    def open(cls, path: StrPath | None = None, model: StrPath | None = None) -> "Library":
        """The library in the folder `path`; without one, the library that the command line uses
        here: $RETRIEVE_LIBRARY, the nearest `.retrieve/` upwards, or the user's own.

        It need not exist: the first `index` makes it. `model` is a name or a path, for a new
        library; one that holds another raises ModelMismatch. Raises also LibraryTooNew,
        CatalogDamaged.
        """
        library = cls(library_folder(path), model)
        if model and (record := library.model) and not models.is_same(record, model):
            library.close()
            asked = os.fspath(model)
            raise ModelMismatch(
                f"the library {library.folder} holds {record.name!r} embeddings, not {asked!r}; "
                f"run `retrieve index --model {asked}` to encode it again"
            )
        return library

    def close(self) -> None:
        with self._opening:
            if self._opened:
                self._opened[0].close()
            self._opened = self._encoder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Library({os.fspath(self.folder)!r})"

    @property
    def model(self) -> ModelRecord | None:
        """The model that searches use; None as long as nothing was encoded."""
        return self._catalog().current_model() if self._exists() else None

    # -- indexing --------------------------------------------------------------------------------

    def index(
        self,
        paths: StrPath | Iterable[StrPath] = (),
        *,
        options: "IndexOptions | None" = None,
        progress: Callable[[Progress], None] | None = None,
        **named: "Unpack[IndexKeywords]",
    ) -> Summary:
        """Bring the library up to date with folders and files; without any, with all it knows.

        options, and keywords in place of single ones: see `IndexOptions`. progress: called often,
        in this thread.

        Raises InvalidValue, PathNotFound, LibraryBusy, LibraryReadOnly, ModelUnavailable;
        Interrupted on Ctrl-C, with the Summary of what was done and kept.
        """
        from retrieval.indexing.options import IndexOptions  # a search needs none of it
        from retrieval.indexing.targets import named as named_paths

        how = replace(options or IndexOptions(), **named)
        # Before a model is fetched, and a library made, for nothing.
        targets = named_paths(self._catalog() if self._exists() else None, paths)
        model = models.to_index(how.model or self._asked_model, self.model)
        from retrieval.indexing.start import run

        return run(self._catalog(create=True), targets, model, how, progress)

    # -- searching -------------------------------------------------------------------------------

    def search(
        self,
        query: "Asked",
        limit: int | None = None,
        *,
        options: SearchOptions | None = None,
        **named: Unpack[SearchKeywords],
    ) -> list[Match]:
        """The best matches, best first; equal ones in the order in which they were indexed.

        query: a str (a line of the query language: words, or several terms, and filters), a Path, a
        Pillow image or the bytes of a file (pictures like it), or a float array (D,) in the model's
        space. limit, options, and keywords in place of single options: see `SearchOptions`.

        Raises InvalidQuery, LibraryNotFound, LibraryEmpty, PathNotFound, UnreadablePicture,
        ModelUnavailable, ModelMismatch.
        """
        if isinstance(query, Sequence) and not isinstance(query, (str, bytes)):
            said = "Library.search takes one query; use Library.search_many for a list"
            warnings.warn(said, DeprecationWarning, stacklevel=2)
            many = self.search_many(query, limit, options=options, **named)
            return cast("list[Match]", many)
        return self.search_many([query], limit, options=options, **named)[0]

    def search_many(
        self,
        queries: "Iterable[Asked]",
        limit: int | None = None,
        *,
        options: SearchOptions | None = None,
        **named: Unpack[SearchKeywords],
    ) -> list[list[Match]]:
        """The matches of each query, which are encoded and searched for together. The arguments
        and errors are those of `search`.
        """
        how = replace(options or SearchOptions(), **named).with_limit(limit)
        return self._answers([self._question(query, how) for query in queries], how)

    def _question(self, query: "Asked", how: SearchOptions) -> Question:
        asked = parse(query, without=how.without, allow_url=how.allow_url, has=self.has)
        return asked.among(how.where)

    def similar(
        self, picture: StrPath | int, limit: int = 10, *, filters: Filters | None = None
    ) -> list[Match]:
        """The pictures most like the one in this file, or like one of the library by its number;
        copies of its bytes left out. The file need not be in the library. Raises as `search` does.
        """
        how = SearchOptions(limit=limit, filters=filters).with_limit(limit + 1)
        place = ImageId(picture) if isinstance(picture, int) else given(picture)
        matches = self.search(Question(Example(place)), options=how)
        own = identified(self._catalog(), place)[0] if isinstance(place, Path) else place.id
        return [match for match in matches if match.image.id != own][:limit]

    def has(self, image_id: int) -> bool:
        """Whether there is a picture of this number. Raises LibraryNotFound."""
        return self._catalog().images.digest_of(image_id) is not None

    @property
    def side(self) -> int | None:
        """Pixels a side of a picture as the model sees it; None as long as there is no model."""
        model = self.model
        return self._encoder_of(self._catalog(), model).side if model else None

    def prepare(self) -> None:
        """Open the model and the index now, so that the first search is as quick as the next."""
        for _ in range(2):  # the first of a process does without a small index (search.py)
            self.search("a picture", 1)

    def duplicates(
        self, threshold: float | None = None, *, filters: Filters | None = None
    ) -> "Groups":
        """Files of the same bytes, and pictures that are nearly the same: in groups, the one to
        keep first. It has the most pixels; among equals it is not named as a copy is ("x (1)",
        "Copy of x"), else it is the oldest, else it has the shortest path.

        threshold: least cosine of pictures that are nearly the same; 1: only files of the same
        bytes. Without it the model decides, and a difference hash: see `nearness.py`. A model that
        was not measured takes 0.97.

        Every file in a group is there and as it was indexed: links to a file, and other names of
        it, are no copies. `left_out` of the answer is the number of the files that are not.
        Nothing is deleted. Raises InvalidQuery, LibraryNotFound, LibraryEmpty, PathNotFound.
        """
        from retrieval.collection import duplicates

        return duplicates.find(*self._encoded(), threshold, filters or Filters())

    def tag(
        self,
        pictures: StrPath | Iterable[StrPath],
        labels: Sequence[str],
        *,
        templates: str | Sequence[str] = "photo",
    ) -> list["Tagged"]:
        """The probability of each label for each picture: a file, or all that the library knows in
        a folder. They add up to 1, whether or not a label fits. Raises as `search` does.
        """
        from retrieval.search import tags

        several = [pictures] if isinstance(pictures, (str, os.PathLike)) else pictures
        catalog, model = self._encoded()
        encoder = self._encoder_of(catalog, model)
        return tags.tag(catalog, encoder, [given(each) for each in several], labels, templates)

    def export(self, folder: StrPath) -> "Exported":
        """Write all vectors (npy) and what they are of (CSV) into `folder`. Raises LibraryNotFound,
        LibraryEmpty, LibraryReadOnly.
        """
        from retrieval.collection.export import export

        return export(*self._encoded(), given(folder))

    def _encoded(self) -> tuple[Catalog, ModelRecord]:
        catalog = self._catalog()
        if (model := catalog.current_model()) is None:
            raise LibraryEmpty(why_empty(self.folder))
        return catalog, model

    def _answers(self, questions: Sequence[Question], how: SearchOptions) -> list[list[Match]]:
        catalog, model = self._encoded()
        searcher = self._open()[1]
        searcher.prepare(model)
        answers = answered(catalog, searcher, self._encoder_of(catalog, model), questions, how)
        if catalog.current_model() != model:  # another process switched meanwhile
            return self._answers(questions, how)
        if not all(answers) and not catalog.embeddings.count(model.id):
            raise LibraryEmpty(why_empty(self.folder))
        return answers

    def _encoder_of(self, catalog: Catalog, model: ModelRecord) -> QueryEncoder:
        with self._opening:
            if self._encoder is None or self._encoder.record != model:
                self._encoder = QueryEncoder(catalog, model)
            return self._encoder

    # -- looking after it ------------------------------------------------------------------------

    def status(self) -> "Status":
        """What it holds, where, and in how many bytes. Raises LibraryNotFound."""
        from retrieval.collection.status import status_of

        return status_of(self._catalog())

    def failures(self) -> Iterator[Failed]:
        """The files that could not be read, and why. They are tried again when they change."""
        return self._catalog().files.failures()

    def check(self, *, repair: bool = False) -> "list[Problem]":
        """What is wrong with the library itself; reads all of it, and no picture. With `repair`,
        what can be mended is: see `Problem.mended`. Raises LibraryNotFound, LibraryTooNew; with
        `repair` LibraryBusy and LibraryReadOnly.
        """
        from retrieval.collection.check import check

        if not self._exists():
            raise LibraryNotFound(self._none_yet())
        self.close()  # a catalog may be put in the place of the one that is open
        return check(self.folder, repair)

    def backup(self, file: StrPath, *, force: bool = False) -> int:
        """Copy the catalog into one file, checked, while others may use it; returns its size in
        bytes. force: replace a file that exists. Raises PathTaken, PathNotFound, LibraryNotFound,
        LibraryReadOnly, CatalogDamaged.
        """
        from retrieval.catalog.backup import backup

        return backup(self._catalog(), with_home(file), replace=force)

    def forget(self, path: StrPath) -> int:
        """Drop what is known of a folder or file; returns how many files that were. Touches no
        picture. What lies in a folder that stays is left out of it from now on, until it is named
        to `index`. Raises PathNotFound, LibraryNotFound, LibraryBusy, LibraryReadOnly.
        """
        from retrieval.catalog import roots  # SQLAlchemy, which a search does without

        return roots.forget(self._catalog(), given(path))

    def forget_model(self, model: StrPath) -> int:
        """Drop the embeddings of a model that searches do not use; return how many there were.
        Raises ModelMismatch where the library has none of it, or searches with it;
        LibraryNotFound, LibraryBusy, LibraryReadOnly.
        """
        from retrieval.collection.other_models import forget

        return forget(self._catalog(), model)

    def relocate(self, old: StrPath, new: StrPath) -> int:
        """Say that what was at `old` is at `new` now; returns how many files that concerns. Nothing
        is read or encoded. Raises PathNotFound, LibraryNotFound, LibraryBusy, LibraryReadOnly.
        """
        from retrieval.catalog import roots

        return roots.relocate(self._catalog(), given(old), given(new))

    def rest(self) -> None:
        """Let go of the catalog's file if nothing was asked for a while. To be called now and then
        by whoever keeps a library open: then the file is whole without the ones beside it.
        """
        if opened := self._opened:
            opened[0].rest()

    # -- the catalog -----------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """All that it knows, to be read. Raises LibraryNotFound."""
        return self._catalog()

    def _exists(self) -> bool:
        return (self.folder / FILE_NAME).is_file()

    def _catalog(self, *, create: bool = False) -> Catalog:
        return self._open(create=create)[0]

    def _none_yet(self) -> str:
        return f"no library yet at {self.folder}; run `retrieve index FOLDER` to make one"

    def _open(self, *, create: bool = False) -> tuple[Catalog, Searcher]:
        with self._opening:
            if not self._exists():
                if not create:
                    raise LibraryNotFound(self._none_yet())
                if self._opened:  # it was there, and was removed
                    self._opened[0].close()
                    self._opened = None
            if self._opened is None:
                catalog = Catalog.open(self.folder, create=create)
                self._opened = catalog, Searcher(catalog)
            return self._opened
