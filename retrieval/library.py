"""`Library`: the public face. A folder with a catalog, and what can be asked of it."""

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, cast, overload

from retrieval import models
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import chosen, first_in, ids_in
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.errors import (
    InvalidQuery,
    LibraryEmpty,
    LibraryNotFound,
    ModelMismatch,
    PathNotFound,
)
from retrieval.filters import Filters
from retrieval.interrupted import Interrupted
from retrieval.locate import FILE_NAME, library_folder
from retrieval.models import in_numpy, in_torch, most_in_numpy
from retrieval.paths import StrPath, given, relative, spellings, with_home
from retrieval.records import Failed, Match, ModelRecord, Progress, Summary
from retrieval.search.answer import Asking, Rank, Sort, answered
from retrieval.search.parse import parse
from retrieval.search.query_encoder import Embedder, image_in
from retrieval.search.question import Example, ImageId, Question
from retrieval.search.templates import expanded
from retrieval.vectors.nearest import Searcher

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder
    from retrieval.catalog.integrity import Problem
    from retrieval.collection.duplicates import Groups
    from retrieval.collection.export import Exported
    from retrieval.collection.status import Status
    from retrieval.search.parse import Asked
    from retrieval.search.tags import Tagged
    from retrieval.vectors.hubness import Bank

Precision = Literal["auto", "fp32", "bf16", "fp16"]


class Library:
    """Pictures that can be found by words and by example. `Library.open` gives one.

    May be used from any number of threads. Closing it, or leaving its `with`, lets go of its files.
    """

    def __init__(self, folder: Path, model: StrPath | None = None) -> None:
        self.folder = folder
        self._asked_model = model
        self._opening = threading.Lock()
        self._opened: tuple[Catalog, Searcher] | None = None
        self._embedder: Embedder | None = None

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
            self._opened = self._embedder = None

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
        model: StrPath | None = None,
        exclude: Sequence[str] = (),
        again: bool = False,
        workers: int | None = None,
        batch_size: int | None = None,
        max_pixels: int = MAX_PIXELS,
        device: str | None = None,
        precision: Precision = "auto",
        progress: Callable[[Progress], None] | None = None,
    ) -> Summary:
        """Bring the library up to date with folders and files; without any, with all it knows.

        model: a name or a path; another than the library's encodes what it has not encoded yet,
        and takes over when that is done. The embeddings of the former one stay, so that going back
        encodes only what is missing; `forget_model` drops them. exclude: globs for names and for
        paths below a folder, which are left out from now on; "none" drops the earlier ones of a
        folder. again: read files anew even if size and time say that they did not change. workers:
        processes that decode (0: none). max_pixels: of a picture, larger ones are recorded as
        failures; it bounds the memory of a worker as well (`limits.memory_for`). device, precision:
        of the encoder, chosen by the machine if not given; then a few pictures are encoded in
        NumPy. progress: called often, in this thread.

        Raises PathNotFound, LibraryBusy, LibraryReadOnly, ModelUnavailable; Interrupted on Ctrl-C,
        with the Summary of what was done and kept.
        """
        from retrieval.indexing.encoding import QuickStart
        from retrieval.indexing.run import index  # a search needs none of it

        named = self._named(paths)
        folder = self._model_to_index(model)

        quick = QuickStart(most_in_numpy(folder), partial(in_numpy, folder))
        asks_for_torch = device is not None or precision != "auto"

        def bank() -> "Bank":
            from retrieval.vectors.hubness import Bank

            return Bank.of(folder)

        steps = index(
            self._catalog(create=True),
            named,
            folder,
            partial(in_torch, folder, device, precision),
            quick=None if asks_for_torch else quick,
            exclude=exclude,
            again=again,
            workers=workers,
            batch_size=batch_size,
            max_pixels=max_pixels,
            bank=bank,
        )
        summary = _finish(steps, progress)
        if summary.interrupted:
            raise Interrupted(summary)
        return summary

    def _named(self, paths: StrPath | Iterable[StrPath]) -> list[Path]:
        several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        named = [given(path) for path in several]
        for path in named:  # before a model is fetched and a library made for nothing
            if not os.path.exists(path) and not self._knew(path):
                raise PathNotFound(f"no such file or folder: {path}")
        if not named and not (self._exists() and self._catalog().roots()):
            raise PathNotFound("nothing to index yet: name a folder of pictures")
        return named

    def _knew(self, path: Path) -> bool:
        """Whether it had files there: that they are gone is news."""
        if not self._exists():
            return False
        catalog = self._catalog()
        is_above = any(
            relative(each, root.path) is not None
            for each in spellings(path)
            for root in catalog.places.around(each)
        )
        return is_above or any(catalog.files.has_any(*place) for place in catalog.places.of(path))

    def _model_to_index(self, asked: StrPath | None) -> "ModelFolder":
        if asked := asked or self._asked_model:
            return models.find(asked)
        return models.of_library(record) if (record := self.model) else models.default()

    # -- searching -------------------------------------------------------------------------------

    # A str is a sequence of queries, too, for mypy; the first of the two wins.
    @overload
    def search(  # type: ignore[overload-overlap]
        self,
        query: "Asked",
        limit: int = 10,
        *,
        offset: int = 0,
        folder: StrPath | None = None,
        filters: Filters | None = None,
        without: str | Sequence[str] = (),
        templates: str | Sequence[str] = (),
        min_score: float | None = None,
        min_relevance: float | None = None,
        rank: Rank = "relevance",
        sort: Sort = "score",
        allow_url: bool = False,
    ) -> list[Match]: ...

    @overload
    def search(
        self,
        query: "Sequence[Asked]",
        limit: int = 10,
        *,
        offset: int = 0,
        folder: StrPath | None = None,
        filters: Filters | None = None,
        without: str | Sequence[str] = (),
        templates: str | Sequence[str] = (),
        min_score: float | None = None,
        min_relevance: float | None = None,
        rank: Rank = "relevance",
        sort: Sort = "score",
        allow_url: bool = False,
    ) -> list[list[Match]]: ...

    def search(
        self,
        query: "Asked | Sequence[Asked]",
        limit: int = 10,
        *,
        offset: int = 0,
        folder: StrPath | None = None,
        filters: Filters | None = None,
        without: str | Sequence[str] = (),
        templates: str | Sequence[str] = (),
        min_score: float | None = None,
        min_relevance: float | None = None,
        rank: Rank = "relevance",
        sort: Sort = "score",
        allow_url: bool = False,
    ) -> list[Match] | list[list[Match]]:
        """The `limit` best matches, best first; equal ones in the order in which they came in.

        query: a str (a line of the query language: words, or several terms, and filters), a Path, a
        Pillow image or the bytes of a file (pictures like it), a float array (D,) in the model's
        space; or a list of such, which are answered together, with a list each. offset: so many of
        the best are passed over, to see the next. folder: only pictures in or below it. filters:
        what else they must fulfil. without: words to be taken away from the query. templates:
        sentences with {} for the words, or "photo", a set of such. min_score, min_relevance: only
        cosines, or relevances of plain words, of at least this. rank: "cosine" leaves out what is
        known of the pictures (see hubness.py). sort: "date" puts the newest first, of the best
        that are relevant if there are any. allow_url: fetch pictures that the query names by their
        address.

        Raises InvalidQuery, LibraryNotFound, LibraryEmpty, PathNotFound, UnreadablePicture,
        ModelUnavailable, ModelMismatch.
        """
        how = Asking(
            limit, expanded(_several(templates)), min_score, min_relevance, rank, sort, offset
        )
        is_batch = isinstance(query, Sequence) and not isinstance(query, (str, bytes))
        also = (filters or Filters()).with_(Filters(folder=folder))
        questions = [
            one.among(also)
            for one in (
                parse(each, without=_several(without), allow_url=allow_url, has=self.has)
                for each in cast("Sequence[Asked]", query if is_batch else [query])
            )
        ]
        answers = self._answers(questions, how)
        return answers if is_batch else answers[0]

    def similar(
        self, picture: StrPath | int, limit: int = 10, *, filters: Filters | None = None
    ) -> list[Match]:
        """The pictures most like the one in this file, or like one of the library by its number;
        copies of its bytes left out. The file need not be in the library. Raises as `search` does.
        """
        place = ImageId(picture) if isinstance(picture, int) else given(picture)
        matches = self.search(Question(Example(place)), limit + 1, filters=filters)
        own = image_in(self._catalog(), place) if isinstance(place, Path) else place.id
        return [match for match in matches if match.image.id != own][:limit]

    def has(self, image_id: int) -> bool:
        """Whether there is a picture of this number. Raises LibraryNotFound."""
        return self._catalog().images.digest_of(image_id) is not None

    @property
    def side(self) -> int | None:
        """Pixels a side of a picture as the model sees it; None as long as there is no model."""
        model = self.model
        return self._embedder_of(self._catalog(), model).side if model else None

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
        from retrieval.collection.duplicates import exact_groups, groups
        from retrieval.collection.nearness import Nearness

        if threshold is not None and not 0 < threshold <= 1:
            raise InvalidQuery(f"the threshold is a cosine above 0 and up to 1, not {threshold}")
        catalog, model = self._encoded()
        allowed = chosen(catalog, filters or Filters())
        if threshold == 1:
            return exact_groups(catalog, allowed)
        near = Nearness.of_cosines(threshold) if threshold else Nearness.of(model.name)
        return groups(catalog, model, near, allowed)

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
        from retrieval.search.tags import tagged

        if not labels or isinstance(labels, str):
            raise InvalidQuery("there are no labels; give a list of two or more")
        catalog, model = self._encoded()
        several = [pictures] if isinstance(pictures, (str, os.PathLike)) else pictures
        paths = [path for each in several for path in _files(catalog, given(each))]
        embedder = self._embedder_of(catalog, model)
        vectors = embedder.embed([Example(path) for path in paths])
        shares = embedder.shares(vectors, labels, expanded(_several(templates)))
        return tagged(paths, labels, shares)

    def export(self, folder: StrPath) -> "Exported":
        """Write all vectors (npy) and what they are of (CSV) into `folder`. Raises LibraryNotFound,
        LibraryEmpty, LibraryReadOnly.
        """
        from retrieval.collection.export import export

        return export(*self._encoded(), given(folder))

    def _encoded(self) -> tuple[Catalog, ModelRecord]:
        catalog = self._catalog()
        if (model := catalog.current_model()) is None:
            raise LibraryEmpty(self._nothing_in_it())
        return catalog, model

    def _answers(self, questions: Sequence[Question], how: Asking) -> list[list[Match]]:
        catalog, model = self._encoded()
        searcher = self._open()[1]
        searcher.prepare(model)
        embedder = self._embedder_of(catalog, model)
        answers = answered(catalog, searcher, embedder, questions, how)
        if catalog.current_model() != model:  # another process switched meanwhile
            return self._answers(questions, how)
        if not all(answers) and not catalog.embeddings.count(model.id):
            raise LibraryEmpty(self._nothing_in_it())
        return answers

    def _embedder_of(self, catalog: Catalog, model: ModelRecord) -> Embedder:
        with self._opening:
            if self._embedder is None or self._embedder.record != model:
                self._embedder = Embedder(catalog, model)
            return self._embedder

    def _nothing_in_it(self) -> str:
        from retrieval.catalog.lock import underway

        if run := underway(self.folder):
            so_far = f" ({run.done:,} of {run.total:,} files so far)" if run.total else ""
            return (
                f"the library {self.folder} holds no pictures yet: indexing is under way{so_far}; "
                "try again in a moment"
            )
        return f"the library {self.folder} holds no pictures; run `retrieve index FOLDER`"

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


Steps = Generator[Progress | Summary, None, None]


def _finish(steps: Steps, progress: Callable[[Progress], None] | None) -> Summary:
    """Go through an index run; a Ctrl-C between two steps ends it as well as one inside."""
    with closing(steps):
        try:
            for step in steps:
                if isinstance(step, Summary):
                    return step
                if progress:
                    progress(step)
        except KeyboardInterrupt as interrupt:
            ended = steps.throw(interrupt)
            assert isinstance(ended, Summary)
            return ended
    raise AssertionError("an index run ends with its summary")


def _files(catalog: Catalog, path: Path) -> list[Path]:
    """A file, or of each image in a folder the first of its copies there."""
    if not path.is_dir():
        return [path]
    images = catalog.images.by_id(ids_in(catalog, path).tolist())
    return [first_in(image.paths, path) for image in images.values() if image.paths]


def _several(one_or_more: str | Sequence[str]) -> Sequence[str]:
    return [one_or_more] if isinstance(one_or_more, str) else one_or_more
