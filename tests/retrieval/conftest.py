"""A user's machine: a home, no network, a small model with random weights, and some pictures."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.retrieval import postgres

if TYPE_CHECKING:
    from retrieval.catalog.reading import Catalog
    from retrieval.locate import Place

COLOURS = ["red", "green", "blue", "yellow", "white", "black"]


@dataclass(frozen=True)
class Models:
    """Model folders of the same shape; the weights differ."""

    small: Path
    other: Path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("small", "other")):
        save_model(folder / name, name, seed)
    return Models(folder / "small", folder / "other")


def save_model(folder: Path, name: str, seed: int) -> None:
    """Both towers with random weights, in the form in which the bundled model is kept."""
    import torch

    from clipmodel.config import ModelConfig, TextConfig, VisionConfig
    from clipmodel.model import CLIP
    from clipmodel.model_folder import save_folder

    vision = VisionConfig(32, 8, 64, 2, 2, 128, "gelu")
    text = TextConfig(77, 49408, 32, 2, 2, 64, "gelu")
    config = ModelConfig(24, vision, text, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    torch.manual_seed(seed)
    save_folder(folder, name, config, CLIP.of(config).state_dict(), "float32")


@pytest.fixture
def home(tmp_path: Path, models: Models, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, and all that a program may find of its user's."""
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        "HOME": home,
        "XDG_DATA_HOME": home / "data",
        "XDG_CACHE_HOME": home / "cache",
        "RETRIEVE_MODELS": home / "models",
        "RETRIEVE_MODEL": models.small,
        "http_proxy": "http://127.0.0.1:9",  # nobody listens there: no network
        "https_proxy": "http://127.0.0.1:9",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("RETRIEVE_LIBRARY", raising=False)
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder without links above it, as roots are stored."""
    return Path(os.path.realpath(tmp_path))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that are marked with `databases` on each of these."""
    mark = metafunc.definition.get_closest_marker("databases")
    if mark and "place" in metafunc.fixturenames:
        metafunc.parametrize("place", mark.args, indirect=True)


def pytest_sessionfinish() -> None:
    postgres.remove()


@pytest.fixture
def place(request: pytest.FixtureRequest, base: Path, monkeypatch: pytest.MonkeyPatch) -> "Place":
    """Where a new library may be: in a folder, or on a server, whose caches are the test's own."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return base / "library"
    monkeypatch.setenv("XDG_CACHE_HOME", str(base / "cache"))
    return postgres.new_place()


@pytest.fixture
def catalog(place: "Place") -> "Iterator[Catalog]":
    from retrieval.catalog.reading import Catalog

    with closing(Catalog.open(place, create=True)) as opened:
        yield opened


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The file of a Milvus Lite that stays open: each library has collections of its own."""
    from retrieval.vectors.milvus.address import parse
    from retrieval.vectors.milvus.connection import connect, release

    folder = tmp_path_factory.mktemp("milvus")
    address = parse(str(folder / "lite.db"), folder / "library")
    connect(address)
    yield address.uri
    release(address)


@pytest.fixture
def photos(home: Path) -> Path:
    """Twelve pictures in two folders, a copy of one of them, and a file that is none."""
    return paint_photos(home / "photos")


@pytest.fixture(scope="session")
def _indexed(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Path:
    from retrieval import Library
    from retrieval.locate import beside

    photos = paint_photos(tmp_path_factory.mktemp("indexed") / "photos")
    with Library.open(beside(photos), models.small) as library:
        library.index(photos, workers=0)
    return photos


@pytest.fixture
def indexed(home: Path, _indexed: Path) -> Path:
    """As `photos`, with their library among them: it moves with its folder."""
    return Path(shutil.copytree(_indexed, home / "photos"))


def paint_photos(folder: Path) -> Path:
    for number, colour in enumerate(2 * COLOURS):
        paint(folder / ("large" if number < 6 else "small") / f"{colour}.png", colour, number)
    shutil.copy(folder / "large" / "red.png", folder / "small" / "red again.png")
    (folder / "notes.jpg").write_text("not a picture")
    return folder


def paint(path: Path, colour: str, seed: int) -> Path:
    """A spot of a colour, and noise that only this seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    picture.paste(colour, (6, 6, 40, 30))
    picture.save(path)
    return path
