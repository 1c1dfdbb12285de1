"""The recorder commits each encoded batch together with the files that hold its pictures.

A batch may come from the queue of this process or from another machine, and so may the writer that
commits it.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reading import Catalog
from retrieval.indexing.encoding import Encoded, EncodedBatch
from retrieval.indexing.recording.known_contents import KnownContents
from retrieval.interrupted import uninterrupted
from retrieval.records import Facts, FileState, ModelRecord, NewImage, Vectors
from retrieval.vectors.hubness import query_bank_digest

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder

ROWS_PER_COMMIT = 1_000  # files that need no encoding, committed together


class Commit(NamedTuple):
    """What goes into the catalog in one transaction."""

    files: list[FileState]
    images: list[NewImage]
    vectors: Vectors | None


class Writer(Protocol):
    """Writes commits, each in a transaction of its own."""

    def write(self, commit: Commit) -> None:
        """Write a commit, now or soon. Raises what the catalog raises."""

    def wait(self) -> None:
        """Wait until all commits are in the catalog. Raises what the catalog raises."""

    def written(self) -> list[Commit]:
        """Return the commits that are in the catalog since the last call."""

    def close(self) -> None:
        """Stop, after what is being written."""


class DirectWriter:
    """Writes a commit and returns once it is in the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def write(self, commit: Commit) -> None:
        from retrieval.catalog import writing  # SQLAlchemy, not needed if nothing changed

        writing.record(self._catalog, *commit)

    def close(self) -> None:
        """Do nothing: all is written."""


class CatalogWriter:
    """Writes at once, from this process."""

    def __init__(self, catalog: Catalog) -> None:
        self._writer = DirectWriter(catalog)
        self._written: list[Commit] = []

    def write(self, commit: Commit) -> None:
        self._writer.write(commit)
        self._written.append(commit)

    def wait(self) -> None:
        """Do nothing: all is written."""

    def written(self) -> list[Commit]:
        written, self._written = self._written, []
        return written

    def close(self) -> None:
        """Do nothing: all is written."""


class Recorder:
    """Takes files and encoded pictures, and has them written."""

    def __init__(self, catalog: Catalog, model: "ModelFolder", writer: Writer) -> None:
        self.encoded = 0  # pictures committed with a vector
        self.recorded = 0  # files committed, and pictures without a file
        self._catalog = catalog
        self._known = KnownContents(catalog)
        self._model = model
        self._partly: dict[bytes, Encoded] = {}  # some of whose moments are encoded
        self._writer = writer
        self._adopted: dict[str, ModelRecord] = {}  # encoder's precision -> model
        self._in_flight: dict[bytes, list[FileState]] = {}  # digest -> files with that content
        self._rows: list[FileState] = []  # files that need no encoding
        self._facts: dict[tuple[int, bytes], Facts] = {}  # from beside files of known content
        self._renewed: dict[int, list[Facts]] = {}  # of images whose container has changed
        self._last: EncodedBatch | None = None  # that was recorded

    def knows(self, digest: bytes) -> bool:
        """Return whether a content is in the catalog or on its way there."""
        return digest in self._in_flight or self._known.has(digest)

    def await_picture(self, digest: bytes, file: FileState | None) -> None:
        """Keep a file until its picture is encoded; None if only a vector is missing."""
        self._in_flight[digest] = [file] if file else []

    def add_file(self, file: FileState, facts: Facts | None = None) -> None:
        """Take a failure, or a file whose content is known, with facts from beside it."""
        if facts:
            self._facts[file.root_id, file.path] = facts
        if file.digest in self._in_flight:
            self._in_flight[file.digest].append(file)
        else:
            self._rows.append(file)
            if len(self._rows) >= ROWS_PER_COMMIT:
                self._commit([], None)

    def renew_facts(self, image_id: int, facts: Facts | None) -> None:
        """Take what lies beside a known image in a container that has changed."""
        self._renewed.setdefault(image_id, []).append(facts or Facts())
        if len(self._renewed) >= ROWS_PER_COMMIT:
            self._renew()

    def record(self, batch: EncodedBatch) -> None:
        """Commit encoded pictures with their files, and all files that needed no encoding.

        The batch recorded last may come again: after Ctrl-C, who gave it cannot know of that.
        """
        if batch is self._last:
            return
        with uninterrupted():  # what is taken is written
            self._record(batch)
            self._last = batch

    def _record(self, batch: EncodedBatch) -> None:
        of = dict[bytes, NDArray[np.float32]]()
        hubness = dict[bytes, NDArray[np.float32]]()
        images = []
        for row, image in enumerate(batch.images):
            if not image.moments:  # it has only one, and most have
                images.append(image)
                of[image.digest] = batch.vectors[row]
                if batch.hubness is not None:
                    hubness[image.digest] = batch.hubness[row]
        for each in self._completed(batch):
            images.append(each.image)
            of[each.image.digest] = each.vectors
            if each.hubness is not None:
                hubness[each.image.digest] = each.hubness
        self._commit(images, Vectors(self._adopt(batch).id, of, hubness))

    def _completed(self, batch: EncodedBatch) -> Iterator[Encoded]:
        """Yield the images with moments of which every one is now encoded, without those that show
        the same; those of a known image are all kept, since other models have encoded them.
        """
        for row, image in enumerate(batch.images):
            if not image.moments:
                continue
            encoded = self._partly.setdefault(image.digest, Encoded(image))
            encoded.add(batch, row)
            if encoded.is_complete:
                del self._partly[image.digest]
                is_known = len(image.moments) < 2 or self._catalog.images.has_moments(image.digest)
                yield encoded if is_known else encoded.thinned()

    def flush(self) -> None:
        """Commit the files that need no encoding, and wait for all commits."""
        self._commit([], None)
        self._writer.wait()
        self._settle()
        self._renew()
        if self._rows:  # copies of what was being written
            self.flush()

    def dropped(self) -> list[list[FileState]]:
        """Return the files of each content that was not encoded, the first one read first."""
        return list(self._in_flight.values())

    def _commit(self, images: list[NewImage], vectors: Vectors | None) -> None:
        with uninterrupted():
            self._send(images, vectors)
        self._settle()

    def _send(self, images: list[NewImage], vectors: Vectors | None) -> None:
        files = [file for image in images for file in self._in_flight.get(image.digest, ())]
        files += self._rows
        if not files and not images:
            return
        for image in images:
            self._in_flight[image.digest] = []  # copies that come while it is being written
        self._rows = []
        self._writer.write(Commit(files, images, vectors))

    def _settle(self) -> None:
        """Count what is in the catalog by now."""
        with uninterrupted():
            for commit in self._writer.written():
                self._count(commit)

    def _count(self, commit: Commit) -> None:
        self._supplement(commit.files)
        held = {file.digest for file in commit.files}
        without_file = sum(image.digest not in held for image in commit.images)
        self.recorded += len(commit.files) + without_file
        self.encoded += len(commit.images)
        self._known.add(image.digest for image in commit.images)
        for image in commit.images:
            self._rows += self._in_flight.pop(image.digest, ())

    def _supplement(self, files: Iterable[FileState]) -> None:
        """Add the facts from beside these files, which are recorded by now, to their images."""
        found = [(file, facts) for file in files if (facts := self._take_facts(file))]
        if found:
            from retrieval.catalog.recording import facts as recording

            of_digest = self._catalog.images.of_digest
            ids = [of_digest(file.digest) if file.digest else None for file, _ in found]
            recording.supplement(
                self._catalog,
                [
                    (file.root_id, file.path, id, facts)
                    for (file, facts), id in zip(found, ids, strict=True)
                    if id is not None
                ],
            )

    def _renew(self) -> None:
        """Have the texts of images replaced, if they are others than before."""
        if self._renewed:
            from retrieval.catalog.recording import facts as recording

            renewed, self._renewed = self._renewed, {}
            recording.renew(self._catalog, renewed)

    def _take_facts(self, file: FileState) -> Facts | None:
        return self._facts.pop((file.root_id, file.path), None) if self._facts else None

    def _adopt(self, batch: EncodedBatch) -> ModelRecord:
        if batch.precision not in self._adopted:
            from retrieval.catalog import writing

            model = self._model
            query_bank = query_bank_digest() if batch.hubness is not None else None
            self._adopted[batch.precision] = writing.adopt_model(
                *(self._catalog, model.name, model.digest, model.config.embed_dim),
                *(batch.precision, query_bank),
            )
        return self._adopted[batch.precision]
