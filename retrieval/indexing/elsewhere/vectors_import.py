"""Import of vectors that clip-retrieval's `clip inference` has written: no picture is decoded.

    img_emb/img_emb_0.npy            (N, D) float16 or float32, unit L2 norm
    metadata/metadata_0.parquet      N rows: image_path, and caption, url, width, height … if known

A row whose `image_path` is a file of this machine becomes that file, known by its content as if it
had been indexed: it is hashed, and the next run leaves it as it is. Any other row becomes a member
of its metadata file, by its `url` or else by its `image_path`. Its digest is that of this name,
since nobody has read its bytes: it is not recognised as a copy of an indexed picture, and what is
at the address now is shown as it.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reading import Catalog
from retrieval.decoding.content import digest_of_file
from retrieval.decoding.difference_hash import EMPTY_HASH
from retrieval.decoding.limits import DECODING
from retrieval.errors import InvalidValue, ModelMismatch, PathNotFound
from retrieval.indexing import finish
from retrieval.indexing.encoding import EncodedBatch
from retrieval.indexing.recorder import CatalogWriter, Recorder
from retrieval.records import Facts, FileState, NewImage, Root, Shot, found_at
from retrieval.sources import parquet
from retrieval.sources.address_list import is_web
from retrieval.sources.container import Container
from retrieval.sources.entry import digest_of_name
from retrieval.sources.sample import facts_of_columns

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder
    from retrieval.vectors.hubness import QueryBank

VECTORS, METADATA = "img_emb", "metadata"
BATCH = 1_000  # rows committed together
TOLERANCE = 0.01  # of a unit length; float16 is off by 2e-4
RENEWED = {"has_news": True, "is_measured_anew": False}
FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF"}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import took."""

    rows: int
    files: int  # of them, that are on this machine
    without: int  # rows without a path or an address, left out
    problems: tuple[str, ...] = ()  # what could not be done


def measured(catalog: Catalog, folder: Path, model: "ModelFolder") -> Imported:
    """Import as `run` does, measuring the hubness of the vectors with the model's query bank."""
    from retrieval.vectors.hubness import QueryBank

    return run(catalog, folder, model, lambda: QueryBank.of(model))


def run(
    catalog: Catalog,
    folder: Path,
    model: "ModelFolder",
    load_bank: Callable[[], "QueryBank"] | None = None,
) -> Imported:
    """Import all pairs of files in a folder. Raises PathNotFound, InvalidValue, ModelMismatch.

    load_bank: loads the query bank that measures the vectors' hubness; called after all checks.
    """
    current = catalog.current_model()
    if current and current.digest != model.digest:
        raise ModelMismatch(
            f"the library holds {current.name!r} embeddings, not {model.name!r}; use another"
        )
    pairs = list(_pairs(folder))
    for vectors, metadata in pairs:  # all of them first, so that nothing is half imported
        _check(vectors, metadata, model)
    bank = load_bank() if load_bank else None
    with catalog.database.running():
        importing = _Import(catalog, model, bank, _root(catalog, folder))
        for vectors, metadata in pairs:
            importing.take(vectors, metadata.relative_to(folder))
        record = catalog.model(model.digest)
        renewed = finish.renew_index(catalog, record, **RENEWED) if record else ()
        problems = tuple(renewed)
    return Imported(importing.rows, importing.files, importing.without, problems)


def _pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    found = sorted(
        (folder / VECTORS).glob("img_emb_*.npy"), key=lambda path: (len(path.name), path)
    )
    if not found:
        raise PathNotFound(f"{folder} has no {VECTORS}/img_emb_*.npy; give clip-retrieval's output")
    for vectors in found:
        number = vectors.stem.rpartition("_")[2]
        metadata = folder / METADATA / f"metadata_{number}.parquet"
        if not metadata.is_file():
            raise PathNotFound(f"{metadata} is missing; it belongs to {vectors.name}")
        yield vectors, metadata


def _loaded(path: Path) -> NDArray[np.floating[Any]]:
    try:
        held: NDArray[np.floating[Any]] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InvalidValue(f"{path} cannot be read as vectors: {error}") from error
    if held.ndim != 2 or held.dtype.kind != "f":
        raise InvalidValue(f"{path} holds {held.dtype} {held.shape}, not vectors (N, D)")
    return held


def _check(path: Path, metadata: Path, model: "ModelFolder") -> None:
    vectors, dim = _loaded(path), model.config.embed_dim
    if vectors.shape[1] != dim:
        raise ModelMismatch(
            f"{path} holds vectors of {vectors.shape[1]} dimensions; {model.name} has {dim}"
        )
    for start in range(0, len(vectors), 100_000):
        lengths = np.linalg.norm(vectors[start : start + 100_000].astype(np.float32), axis=1)
        if not np.all(np.abs(lengths - 1) < TOLERANCE):
            worst = int(np.argmax(~(np.abs(lengths - 1) < TOLERANCE)))
            raise InvalidValue(
                f"row {start + worst:,} of {path} has length {lengths[worst]:.3f}, not 1"
            )
    if (count := parquet.count(metadata)) != len(vectors):
        raise InvalidValue(f"{metadata} has {count:,} rows, but {path} {len(vectors):,} vectors")


def _root(catalog: Catalog, folder: Path) -> Root:
    """Return the root for members of the metadata files."""
    from retrieval.catalog.roots import place_root

    place = Path(os.path.realpath(folder))
    for root in catalog.places.around(place):
        if root.entire and place.is_relative_to(root.path):
            return root
    return place_root(catalog, place, False)


class _Import:
    """An import in progress."""

    def __init__(
        self, catalog: Catalog, model: "ModelFolder", bank: "QueryBank | None", root: Root
    ) -> None:
        self.rows = self.files = self.without = 0
        self._catalog = catalog
        self._bank = bank
        self._root = root
        self._recorder = Recorder(catalog, model, CatalogWriter(catalog))
        self._digest = model.digest
        self._folders: dict[Path, tuple[Root, bytes]] = {}

    def take(self, path: Path, metadata: Path) -> None:
        from retrieval.catalog.recording import containers

        vectors, folder = _loaded(path), path.parents[1]
        inside = os.path.relpath(os.path.realpath(folder / metadata), self._root.path)
        container = Container(self._root.id, os.fsencode(inside), "vectors")
        containers.add(self._catalog, [container])
        images: dict[bytes, tuple[NewImage, int]] = {}  # with the number of the row
        for number, row in enumerate(parquet.rows(folder / metadata)):
            held = {str(name).lower(): value for name, value in row.items()}
            if (file := self._file(container, held)) is None:
                self.without += 1
                continue
            self.rows += 1
            assert file.digest
            if file.digest in images or self._is_done(file.digest):
                self._recorder.add_file(file, _facts(held))
                continue
            images[file.digest] = self._image(file, held), number
            self._recorder.await_picture(file.digest, file)
            if len(images) >= BATCH:
                self._record(images, vectors)
        self._record(images, vectors)
        self._recorder.flush()

    def _is_done(self, digest: bytes) -> bool:
        """Return whether the catalog has a vector of this content by this model."""
        model, id = self._catalog.model(self._digest), self._catalog.images.of_digest(digest)
        if model is None or id is None:
            return False
        return self._catalog.embeddings.vector(model.id, id) is not None

    def _image(self, file: FileState, row: Row) -> NewImage:
        """Return the image of a row; what the catalog knows of its pixels stays."""
        assert file.digest
        new, id = _image(file, row), self._catalog.images.of_digest(file.digest)
        known = self._catalog.images.by_id([id]).get(id) if id is not None else None
        if known is None or id is None:
            return new
        hash = self._catalog.images.difference_hashes([id]).get(id)
        return new._replace(
            width=known.width,
            height=known.height,
            format=known.format,
            difference_hash=hash,
            is_truncated=known.is_truncated,
        )

    def _record(
        self, images: dict[bytes, tuple[NewImage, int]], vectors: NDArray[np.floating[Any]]
    ) -> None:
        if not images:
            return
        some = vectors[[number for _, number in images.values()]].astype(np.float64)
        unit = (some / np.linalg.norm(some, axis=1, keepdims=True)).astype(np.float32)
        hubness = self._bank.measure(unit) if self._bank else None
        batch = EncodedBatch([image for image, _ in images.values()], unit, hubness, "fp32")
        self._recorder.record(batch)
        images.clear()

    def _file(self, container: Container, row: Row) -> FileState | None:
        """Return the file that a row stands for; None if it names none."""
        held = (row.get(name) for name in ("image_path", "url"))  # NaN stands for nothing
        path, url = ("" if isinstance(e, float) else str(e or "").strip() for e in held)
        if path and os.path.isabs(path) and os.path.isfile(path):
            return self._own(Path(os.path.realpath(path)))
        name = url if is_web(url) else path.replace("://", "/").strip("/")
        if not name:
            return None
        inside = container.path + b"/" + os.fsencode(name)
        return FileState(self._root.id, inside, 0, 0, digest_of_name(os.fsencode(name)), None, 0, 0)

    def _own(self, path: Path) -> FileState:
        self.files += 1
        root, prefix = self._folder(path.parent)
        with path.open("rb") as file:
            digest = digest_of_file(file)
        inside, size, mtime_ns, ctime_ns, inode = found_at(
            prefix + os.fsencode(path.name), path.stat()
        )
        return FileState(root.id, inside, size, mtime_ns, digest, None, ctime_ns, inode)

    def _folder(self, folder: Path) -> tuple[Root, bytes]:
        """Return the root that holds a folder, and the folder's path in it with a slash."""
        if folder not in self._folders:
            root = _root(self._catalog, folder)
            inside = os.fsencode(os.path.relpath(folder, root.path))
            self._folders[folder] = root, b"" if inside == b"." else inside + b"/"
        return self._folders[folder]


def _image(file: FileState, row: Row) -> NewImage:
    facts = _facts(row) or Facts()
    width, height = (_size(row, side) for side in ("width", "height"))
    extension = os.fsdecode(file.path).rpartition(".")[2].lower().partition("?")[0]
    assert file.digest
    return NewImage(
        digest=file.digest,
        width=width,
        height=height,
        format=FORMATS.get(extension, "JPEG"),
        taken_at=facts.taken_at.isoformat() if facts.taken_at else None,
        shot=Shot(),
        difference_hash=EMPTY_HASH,
        taken_from=facts.taken_from,
        wordings=facts.wordings,
        decoding=DECODING,
    )


def _size(row: Row, side: str) -> int:
    """Return a side in pixels; 1 if the row does not know it."""
    value = row.get(f"original_{side}") or row.get(side)
    return int(value) if isinstance(value, int | float) and 1 <= value < 1 << 31 else 1


def _facts(row: Row) -> Facts | None:
    return facts_of_columns({name: value for name, value in row.items() if name != "image_path"})
