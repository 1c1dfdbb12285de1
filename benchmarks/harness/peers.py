"""Other programs with the same purpose, run on the same input.

They are installed in separate virtual environments, which the variable PEERS names; README.md says
how to make them. Missing programs are left out, and their columns stay empty.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from benchmarks.harness.timing import Ran, run
from clipmodel.model_folder import ModelFolder, read_tensors

VARIABLE = "PEERS"
absent = dict[str, None]()  # what was needed and is not available, for the report
RCLIP_MODEL = "ViT-B-32-256"  # the one model that rclip knows, by OpenCLIP's name
PARTS = Path(__file__).parent  # scripts that the peers' Python runs


def program(name: str) -> Path | None:
    """Return the path of a program in the first environment that has it."""
    homes = list(filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)))
    bins = os.pathsep.join(str(Path(home).expanduser() / "bin") for home in homes)
    found = shutil.which(name, path=bins)
    if found is None:
        absent[name if homes else f"whatever {VARIABLE} would name"] = None
        return None
    return Path(found).absolute()


def export(name: str, folder: Path) -> bool:
    """Have OpenCLIP make a model with random weights: a checkpoint, and ONNX files of it.

    Returns False if something needed for it is missing.
    """
    if not has("open_clip", "onnx"):
        return False
    script("onnx_export.py", name, folder)
    return True


def script(name: str, *arguments: object) -> Ran:
    """Run one of our scripts with the peers' Python."""
    return run([str(program("python")), str(PARTS / name), *map(str, arguments)])


def has(*modules: str) -> bool:
    """Return whether the peers' Python can import all of these modules."""
    python = program("python")
    if python is None:
        return False
    code = f"import importlib.util as u; print(*(m for m in {modules!r} if not u.find_spec(m)))"
    missing = run([str(python), "-c", code]).output.split()
    absent.update(dict.fromkeys(missing))
    return not missing


def importable(module: str) -> bool:
    """Return whether this environment has a module; some peers are development tools of ours."""
    there = find_spec(module) is not None
    if not there:
        absent[module] = None
    return there


@dataclass(frozen=True)
class Rclip:
    """rclip with a data folder of its own."""

    program: Path
    data: Path

    @classmethod
    def installed(cls, data: Path) -> "Rclip | None":
        """Return rclip with random weights for its model; None if something it needs is missing."""
        found, models = program("rclip"), data / f"{RCLIP_MODEL}-datacomp_s34b_b86k"
        if found is None or not export(RCLIP_MODEL, models):
            return None
        (data / "tokenizer").mkdir()
        words = "bpe_simple_vocab_16e6.txt.gz"
        with resources.as_file(resources.files("clipmodel") / words) as held:
            shutil.copy(held, data / "tokenizer" / words)
        return cls(found, data)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint that its ONNX files were made from, for our own encoder."""
        return self.data / f"{RCLIP_MODEL}-datacomp_s34b_b86k" / "open_clip_model.safetensors"

    @property
    def catalog(self) -> Path:
        return self.data / "db.sqlite3"

    def index(self, photos: Path) -> Ran:
        """Bring its catalog up to date with a folder; this includes a search."""
        return self._run("a red car in the snow", photos)

    def search(self, query: str, photos: Path) -> Ran:
        """Search the pictures of a folder in a new process, without looking for new ones."""
        return self._run(query, photos, "--no-indexing")

    def forget(self) -> None:
        self.catalog.unlink(missing_ok=True)

    def _run(self, query: str, photos: Path, *options: str) -> Ran:
        command = [str(self.program), query, "--filepath-only", *options]
        return run(command, photos, RCLIP_DATADIR=str(self.data))

    def fill(self, places: "Iterable[Place]", vectors: Iterable[NDArray[np.float16]]) -> None:
        """Put files and their vectors into its catalog, as rclip does."""
        self.forget()
        with sqlite3.connect(self.catalog) as database:
            database.executescript(RCLIP_TABLES)
            blobs = (each.astype(np.float32).tobytes() for batch in vectors for each in batch)
            database.executemany(
                "INSERT INTO images (filepath, modified_at, size, hash, vector) "
                "VALUES (?, ?, ?, ?, ?)",
                ((*place, blob) for place, blob in zip(places, blobs, strict=True)),
            )
        database.close()


@dataclass(frozen=True)
class ClipRetrieval:
    """clip-retrieval with a folder of its own."""

    program: Path
    folder: Path

    @classmethod
    def installed(cls, folder: Path) -> "ClipRetrieval | None":
        found = program("clip-retrieval")
        return cls(found, folder) if found else None

    def take(self, model: ModelFolder) -> None:
        """Our ViT-B/32 as its model."""
        tensors = read_tensors(model.vision_file)
        for name, tensor in read_tensors(model.text_file).items():
            tensors[name.removeprefix("text.")] = tensor  # OpenCLIP's names
        self.folder.mkdir()
        save_file(tensors, self._weights)

    def index(self, photos: Path) -> float:
        """Return the seconds to encode the pictures of a folder, and to build an index of them."""
        encode = ["inference", f"--input_dataset={photos}", f"--output_folder={self._embeddings}"]
        options = [self._model, "--enable_text=False", f"--num_prepro_workers={os.cpu_count()}"]
        seconds = run([str(self.program), *encode, *options]).seconds + self._make_index().seconds
        shutil.rmtree(self._embeddings)
        shutil.rmtree(self._index)
        return seconds

    def fill(self, places: "Iterable[Place]", vectors: Iterable[NDArray[np.float16]]) -> None:
        """Build its index for files with these vectors, with its own code."""
        embeddings, paths = self._embeddings, self.folder / "paths.csv"
        (embeddings / "img_emb").mkdir(parents=True)
        (embeddings / "metadata").mkdir()
        np.save(embeddings / "img_emb" / "0.npy", np.concatenate(list(vectors)))
        paths.write_text("\n".join(["image_path", *(path for path, *_ in places)]))
        convert = "import pandas, sys; pandas.read_csv(sys.argv[1]).to_parquet(sys.argv[2])"
        python, parquet = self.program.with_name("python"), embeddings / "metadata" / "0.parquet"
        run([str(python), "-c", convert, str(paths), str(parquet)])
        self._make_index()
        self._indices.write_text(json.dumps({"photos": str(self._index)}))

    @property
    def back(self) -> list[str]:
        """Return the command of its server, without the models that it would download."""
        without = ("--enable_mclip_option=False", "--provide_aesthetic_embeddings=False")
        return [str(self.program), "back", str(self._indices), "--port=0", self._model, *without]

    def _make_index(self) -> Ran:
        return run([str(self.program), "index", str(self._embeddings), str(self._index)])

    @property
    def _model(self) -> str:
        return f"--clip_model=open_clip:ViT-B-32-quickgelu/{self._weights}"

    @property
    def _embeddings(self) -> Path:
        return self.folder / "embeddings"

    @property
    def _index(self) -> Path:
        return self.folder / "index"

    @property
    def _weights(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def _indices(self) -> Path:
        return self.folder / "indices.json"


Place = tuple[str, float, int, str]  # absolute path, time of change, size, hash

# What rclip 3.3 makes of a new file, in its version 4.
RCLIP_TABLES = """
CREATE TABLE images (id INTEGER PRIMARY KEY, deleted BOOLEAN, filepath TEXT NOT NULL UNIQUE,
    modified_at DATETIME NOT NULL, size INTEGER NOT NULL, vector BLOB NOT NULL, indexing BOOLEAN,
    hash TEXT);
CREATE UNIQUE INDEX existing_images ON images(filepath) WHERE deleted IS NULL;
CREATE INDEX hash_index ON images(hash) WHERE deleted IS NULL;
CREATE TABLE db_version (version INTEGER);
INSERT INTO db_version VALUES (4);
"""


def imagined(folder: Path, count: int) -> Iterable[Place]:
    """Return paths in `folder` that do not exist."""
    for number in range(1, count + 1):
        path = f"{folder}/{number // 1000:03}/{number:06}.jpg"
        yield path, 1.0, 1, sha256(path.encode()).hexdigest()


def found(folder: Path) -> Iterable[Place]:
    """Return the existing JPEGs below `folder`."""
    for path in sorted(folder.rglob("*.jpg")):
        status, data = path.stat(), path.read_bytes()
        assert len(data) < 1 << 20  # of longer ones only parts are hashed
        yield str(path), status.st_mtime, status.st_size, sha256(data + data[-1024:]).hexdigest()
