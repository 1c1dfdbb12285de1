"""`Library`, the public face: a folder with a catalog, and everything it can be asked."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack, cast

from clipmodel.config import Resize
from clipmodel.pools import Lock
from retrieval.catalog.reading import Catalog, database_at
from retrieval.errors import InvalidQuery, ModelMismatch
from retrieval.filters import Filters
from retrieval.locate import Place, library_place
from retrieval.models import choice
from retrieval.models.devices import ANY, DeviceChoice
from retrieval.paths import StrPath, given, several_given, with_home
from retrieval.records import Failed, Match, ModelRecord, Progress, Summary
from retrieval.search.answering import Answering
from retrieval.search.companions import others
from retrieval.search.options import Rank, SearchKeywords, SearchOptions
from retrieval.search.parse import parse
from retrieval.search.query_encoder import identified
from retrieval.search.question import Example, ImageId, Question
from retrieval.values import with_named

if TYPE_CHECKING:
    from retrieval.catalog.integrity import Problem
    from retrieval.collection.duplicates import Groups
    from retrieval.collection.export import Exported, Form
    from retrieval.collection.status import Status
    from retrieval.evaluation.comparison import Comparison
    from retrieval.indexing.elsewhere.vectors_import import Imported
    from retrieval.indexing.options import IndexKeywords, IndexOptions
    from retrieval.search.parse import Asked
    from retrieval.search.tags import Tagged

SINGLE = (str, bytes, bytearray, memoryview)  # sequences that are not lists of queries


class Library:
    """A collection of pictures to search by description or by example. `Library.open` opens one.

    Safe to use from any number of threads. Closing it, or leaving its `with`, closes its files.
    """

    def __init__(self, place: Place, model: StrPath | None = None, on: DeviceChoice = ANY):
        self.database = database_at(place)
        self.where = self.database.where  # the library's place, as messages name it
        self.folder = self.database.local_folder  # on this machine, with the index and thumbnails
        self._asked_model, self._on = model, on
        self._opening = Lock()
        self._opened: tuple[Catalog, Answering] | None = None

    @classmethod
    def open(
        cls, path: StrPath | None = None, model: StrPath | None = None, *, on: DeviceChoice = ANY
    ) -> "Library":
        """Open the library in the folder, or at the postgresql:// URL, `path`, or the one that the
        command line would use (`library_place`). It need not exist: the first `index` creates it.

        model: name or path of the model for a new library. on: the device that encodes pictures,
        unless a call names another. Raises ModelMismatch if the library uses another model,
        LibraryTooNew, CatalogDamaged.
        """
        library = cls(library_place(path), model, on)
        if model and (record := library.model) and not choice.is_same(record, model):
            library.close()
            raise ModelMismatch(
                f"the library {library.where} holds {record.name!r} embeddings, not {str(model)!r}"
                f"; run `retrieve index --model {model}` to encode it again"
            )
        return library

    def close(self) -> None:
        with self._opening:
            if self._opened:
                self._opened[1].close()
            self.database.close()
            self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Library({self.where!r})"

    @property
    def model(self) -> ModelRecord | None:
        """The model that searches use; None until something has been encoded."""
        return self._catalog().current_model() if self.database.exists() else None

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

        options, and keywords for single options: see `IndexOptions`. progress: called often, in
        this thread.

        Raises InvalidValue, PathNotFound, LibraryBusy, LibraryReadOnly, ModelUnavailable; on Ctrl-C
        Interrupted, with the Summary of the work done and kept.
        """
        from retrieval.indexing.options import IndexOptions  # searches do not need it
        from retrieval.indexing.targets import named as named_paths

        how = with_named(IndexOptions, options, named, "index").on(self._on)
        # Checked first, so that no model is downloaded and no library created for nothing.
        catalog = self._catalog() if self.database.exists() else None
        targets = named_paths(catalog, paths, how.storage_options, how.of_web())
        model = choice.to_index(how.model or self._asked_model, self.model)
        from retrieval.indexing.start import run

        return run(self._catalog(create=True), targets, model, how, progress)

    def import_vectors(self, folder: StrPath, *, model: StrPath | None = None) -> "Imported":
        """Import what `clip inference` of clip-retrieval wrote with a model; see vectors_import.py.
        Raises PathNotFound, SourceUnavailable, and what `index` raises.
        """
        from retrieval.indexing.elsewhere.vectors_import import measured

        used = choice.to_index(model or self._asked_model, self.model)
        return measured(self._catalog(create=True), given(folder), used)

    # -- searching -------------------------------------------------------------------------------

    def search(
        self,
        query: "Asked",
        limit: int | None = None,
        *,
        options: SearchOptions | None = None,
        **named: Unpack[SearchKeywords],
    ) -> list[Match]:
        """Return the best matches, best first; ties in the order in which they were indexed.

        query: a str in the query language (a description, or several terms, and filters); a Path, a
        Pillow image or the bytes of a file, to find similar pictures; or a float array (D,) in the
        model's space. limit, options, and keywords for single options: see `SearchOptions`.

        Raises InvalidQuery, LibraryNotFound, LibraryEmpty, PathNotFound, UnreadablePicture,
        ModelUnavailable, ModelMismatch.
        """
        if isinstance(query, Sequence) and not isinstance(query, SINGLE):
            said = "Library.search takes one query; use Library.search_many for a list"
            warnings.warn(said, DeprecationWarning, stacklevel=2)
            return cast("list[Match]", self.search_many(query, limit, options=options, **named))
        return self.search_many([query], limit, options=options, **named)[0]

    def search_many(
        self,
        queries: "Iterable[Asked]",
        limit: int | None = None,
        *,
        options: SearchOptions | None = None,
        **named: Unpack[SearchKeywords],
    ) -> list[list[Match]]:
        """Return the matches of each query, searched together; all else is as in `search`."""
        how = with_named(SearchOptions, options, named, "search").with_limit(limit)
        if isinstance(queries, SINGLE) or not isinstance(queries, Iterable):
            raise InvalidQuery("search_many takes a list of queries; use search for one")
        read = partial(parse, without=how.without, allow_url=how.allow_url, has=self.has)
        return self._open()[1].answers([read(each).among(how.where) for each in queries], how)

    def similar(
        self,
        picture: StrPath | int,
        limit: int = 10,
        *,
        filters: Filters | None = None,
        pairs: bool = True,
    ) -> list[Match]:
        """Return the pictures most similar to a file's, or to the library's picture of this number,
        without its exact copies and, with `pairs`, its raw file or JPEG. The file need not be in
        the library. Raises what `search` raises.
        """
        place = ImageId(picture) if isinstance(picture, int) else given(picture)
        how = SearchOptions(limit=limit, filters=filters, pairs=pairs).with_limit(limit + 1)
        matches = self.search(Question(Example(place)), options=how)
        own = identified(self._catalog(), place)[0] if isinstance(place, Path) else place.id
        return others(self._catalog(), matches, own, pairs)[:limit]

    def has(self, image_id: int) -> bool:
        """Return whether there is a picture with this number. Raises LibraryNotFound."""
        return self._catalog().images.digest_of(image_id) is not None

    @property
    def resizes(self) -> list[Resize]:
        """How each model's square of pixels is made; none until there is a model."""
        return self._open()[1].resizes() if self.model else []

    def prepare(self) -> None:
        """Open the model and the index now, so that the first search is as fast as later ones."""
        for _ in range(2):  # a process's first search does without a small index (file_store.py)
            self.search("a picture", 1)

    def duplicates(
        self, threshold: float | None = None, *, filters: Filters | None = None, pairs: bool = True
    ) -> "Groups":
        """Find identical files and nearly identical pictures, in groups with the one to keep first:
        the one with the most pixels, then without a name like "x (1)" or "Copy of x", then the
        oldest, then the one with the shortest path.

        threshold: minimum cosine of nearly identical pictures; 1 means identical files only. By
        default the model's own threshold and a difference hash decide (see `nearness.py`).

        Every file in a group exists and is as it was indexed; links, other names of a file and,
        with `pairs`, raw files of a JPEG are not copies. The result's `left_out` counts files that
        are missing or changed. Raises InvalidQuery, LibraryNotFound, LibraryEmpty, PathNotFound.
        """
        from retrieval.collection import duplicates

        return duplicates.find(*self._encoded(), threshold, filters, pairs)

    def tag(
        self,
        pictures: StrPath | Iterable[StrPath],
        labels: Sequence[str],
        *,
        templates: str | Sequence[str] = "photo",
    ) -> list["Tagged"]:
        """Return the probability of each label for each picture: a file's, or all of the library's
        in a folder. They add up to 1 whether or not any label fits; with a SigLIP model, each label
        has a probability of its own. Raises what `search` raises.
        """
        from retrieval.search import tags

        catalog, model = self._encoded()
        encoder = self._open()[1].encoder(model)
        return tags.tag(catalog, encoder, several_given(pictures), labels, templates)

    def export(self, folder: StrPath, form: "Form" = "npy") -> "Exported":
        """Write all vectors and their files into `folder`; see export.py and parquet_export.py."""
        from retrieval.collection.export import export

        return export(*self._encoded(), given(folder), form)

    def evaluate(
        self,
        captions: StrPath,
        *,
        models: Sequence[StrPath] = (),
        sample: int = 1_000,
        rank: Rank = "relevance",
        split: str = "test",
        progress: Callable[[Progress], None] | None = None,
    ) -> "Comparison":
        """Compare models by captions of the library's pictures; see `evaluation.comparison`."""
        from retrieval.evaluation.comparison import compare

        file = given(captions)
        return compare(self._catalog(), file, models, sample, rank, split, progress, self._on)

    def _encoded(self) -> tuple[Catalog, ModelRecord]:
        catalog, answering = self._open()
        return catalog, answering.current()

    # -- looking after it ------------------------------------------------------------------------

    def status(self) -> "Status":
        """Return what the library holds, where, and in how many bytes. Raises LibraryNotFound."""
        from retrieval.collection.status import status_of

        return status_of(self._catalog())

    def failures(self) -> Iterator[Failed]:
        """Yield the unreadable files with reasons. They are tried again when they change."""
        return self._catalog().files.failures()

    def check(self, *, repair: bool = False) -> "list[Problem]":
        """Find problems of the library itself, reading all of it but no pictures. With `repair`,
        fix what can be fixed (see `Problem.mended`). Raises LibraryNotFound, LibraryTooNew; with
        `repair` also LibraryBusy and LibraryReadOnly.
        """
        from retrieval.collection.check import check

        if not self.database.exists():
            raise self.database.missing()
        self.close()  # a repair may replace the open catalog
        return check(self.database.place, repair)

    def backup(self, file: StrPath, *, force: bool = False) -> int:
        """Copy the catalog into one file, even while it is in use, and verify it; return its bytes.
        Raises PathTaken (unless `force`), PathNotFound, LibraryNotFound, CatalogDamaged.
        """
        return self._catalog().database.backup(with_home(file), replace=force)

    def forget(self, path: StrPath) -> int:
        """Remove a folder or file from the library; return how many files it had. Pictures are not
        touched. A path inside an indexed folder is skipped from now on, until `index` is given it.
        Raises PathNotFound, LibraryNotFound, LibraryBusy, LibraryReadOnly.
        """
        from retrieval.catalog import roots  # SQLAlchemy, which searches do not need

        return roots.forget(self._catalog(), given(path))

    def forget_model(self, model: StrPath) -> int:
        """Drop the embeddings of a model other than the current one; return how many there were.
        Raises ModelMismatch, LibraryNotFound, LibraryBusy, LibraryReadOnly.
        """
        from retrieval.collection.other_models import forget

        return forget(self._catalog(), model)

    def relocate(self, old: StrPath, new: StrPath) -> int:
        """Record that a folder has moved, without reading a file; return how many it has. Raises
        PathNotFound, also if none of them is there; LibraryNotFound, LibraryBusy, LibraryReadOnly.
        """
        from retrieval.collection.relocate import relocate

        return relocate(self._catalog(), given(old), given(new))

    def rest(self) -> None:
        """Close the catalog's file after a while without use, so that it is complete by itself.
        A program that keeps a library open should call this now and then.
        """
        if opened := self._opened:
            opened[0].database.rest()

    @property
    def catalog(self) -> Catalog:
        """The catalog, for reading. Raises LibraryNotFound."""
        return self._catalog()

    def _catalog(self, *, create: bool = False) -> Catalog:
        return self._open(create=create)[0]

    def _open(self, *, create: bool = False) -> tuple[Catalog, Answering]:
        with self._opening:
            if not self.database.exists():
                if not create:
                    raise self.database.missing()
                if self._opened:  # it existed, and has been deleted
                    self._opened[0].close()
                    self._opened = None
            if self._opened is None:
                self.database.open(create)
                catalog = Catalog(self.database)
                self._opened = catalog, Answering(catalog, self._on)
            return self._opened
