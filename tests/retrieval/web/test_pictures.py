"""Pictures by number: what is known of them, their thumbnails, their files."""

import io
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from retrieval import Library
from retrieval.catalog.thumbnail_cache import FILE_NAME, ThumbnailCache
from retrieval.web.state import Site
from tests.retrieval.decoding.formats.raw_files import dng
from tests.retrieval.web.conftest import asked

CORNERS = ("red", "lime", "blue", "white")  # of a picture, clockwise from the top left


def index(indexed: Path) -> None:
    with Library.open(indexed) as library:
        library.index(workers=0)


def number_of(client: TestClient, path: Path) -> int:
    listed = client.get("/api/search").json()["matches"]
    [number] = [m["id"] for m in listed if str(path) in (m["path"], *m["copies"])]
    return int(number)


def thumbnail(client: TestClient, path: Path, **parameters: Any) -> Image.Image:
    at = f"/api/pictures/{number_of(client, path)}/thumbnail"
    answer = client.get(at, params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    return Image.open(io.BytesIO(answer.content))


def cornered(size: tuple[int, int]) -> Image.Image:
    """A colour in each quarter."""
    picture, (width, height) = Image.new("RGB", size), size
    for colour, at in zip(CORNERS, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
        box = (at[0] * width // 2, at[1] * height // 2)
        picture.paste(colour, (*box, box[0] + width // 2, box[1] + height // 2))
    return picture


def colours(picture: Image.Image) -> tuple[str, ...]:
    """Of the quarters, clockwise from the top left, by the nearest name."""
    names = {name: np.array(Image.new("RGB", (1, 1), name)).reshape(3) for name in CORNERS}
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    places = ((1, 1), (3, 1), (3, 3), (1, 3))
    seen = [pixels[y * height // 4, x * width // 4] for x, y in places]
    return tuple(min(names, key=lambda name: abs(names[name] - one).sum()) for one in seen)


def save_turned(path: Path, orientation: int, size: tuple[int, int] = (400, 200)) -> None:
    """A JPEG that is to be shown as `cornered`, stored in another way up."""
    turn = Image.Transpose
    stored = {
        2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE,
        6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270,
    }  # fmt: skip
    picture, exif = cornered(size), Image.Exif()
    exif[0x0112] = orientation
    if orientation in stored:
        picture = picture.transpose(stored[orientation])
    picture.save(path, exif=exif, quality=95)


def test_all_that_is_known_of_a_picture(client: TestClient, indexed: Path) -> None:
    path = indexed / "large/red.png"
    number = number_of(client, path)
    held = client.get(f"/api/pictures/{number}").json()
    assert (held["id"], held["path"], held["name"]) == (number, str(path), "red.png")
    assert held["copies"] == [str(indexed / "small/red again.png")]
    assert (held["width"], held["height"], held["format"]) == (48, 36, "PNG")
    assert held["size"] == path.stat().st_size and held["exists"] and held["camera"] is None
    for copy in (path, indexed / "small/red again.png"):
        copy.unlink()
    assert not client.get(f"/api/pictures/{number}").json()["exists"]
    assert client.get("/api/pictures/999").status_code == 404
    assert client.get("/api/pictures/one").status_code == 422


def test_thumbnails_are_upright_and_bounded(client: TestClient, indexed: Path) -> None:
    for orientation in range(1, 9):
        save_turned(indexed / f"{orientation}.jpg", orientation)
    cornered((3000, 400)).save(indexed / "wide.png")
    cornered((500, 4000)).save(indexed / "tall.png")
    cornered((2600, 1300)).save(indexed / "large.jpg")
    index(indexed)
    for orientation in range(1, 9):
        small = thumbnail(client, indexed / f"{orientation}.jpg")
        assert small.size == (400, 200) and colours(small) == CORNERS, orientation
    for name, size in {
        "wide.png": (960, 128),
        "tall.png": (40, 320),
        "large.jpg": (640, 320),
    }.items():
        small = thumbnail(client, indexed / name)
        assert small.size == size and colours(small) == CORNERS
    assert thumbnail(client, indexed / "large.jpg", large=True).size == (2048, 1024)
    assert thumbnail(client, indexed / "tall.png", large=True).size == (256, 2048)


def test_heic_and_what_is_transparent(client: TestClient, indexed: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(cornered((640, 480))).save(indexed / "photo.heic")
    Image.new("RGBA", (80, 60), (0, 0, 0, 0)).save(indexed / "glass.png")
    index(indexed)
    assert colours(thumbnail(client, indexed / "photo.heic")) == CORNERS
    assert colours(thumbnail(client, indexed / "glass.png")) == ("white",) * 4


def test_a_closer_look_at_what_browsers_cannot_show(client: TestClient, indexed: Path) -> None:
    """The original's bytes if a browser can show them, else a picture that the server draws."""
    cornered((640, 480)).save(indexed / "scan.tif")
    cornered((640, 480)).save(indexed / "photo.png")
    (indexed / "camera.dng").write_bytes(dng(cornered((640, 480)), orientation=3))
    index(indexed)
    full = f"/api/pictures/{number_of(client, indexed / 'photo.png')}/full"
    assert client.get(full).content == (indexed / "photo.png").read_bytes()
    for name in ("scan.tif", "camera.dng"):
        full = f"/api/pictures/{number_of(client, indexed / name)}/full"
        answer = client.get(full)
        assert answer.headers["content-type"] == "image/webp"
        with Image.open(io.BytesIO(answer.content)) as drawn:
            assert drawn.size == (640, 480)
        (indexed / name).unlink()  # it is kept
        assert client.get(full).content == answer.content
    etag = answer.headers["etag"]
    assert client.get(full, headers={"If-None-Match": etag}).status_code == 304


def test_the_orientations_of_others(client: TestClient, indexed: Path) -> None:
    data = Path(__file__).parents[4] / "shared/data/orientation"
    if not data.is_dir():
        pytest.skip("the pictures are not here")
    for path in (data / "Landscape_1.jpg", data / "Landscape_6.jpg", data / "Landscape_7.jpg"):
        (indexed / path.name).write_bytes(path.read_bytes())
    index(indexed)
    one, *turned = (
        np.asarray(thumbnail(client, path).convert("L").resize((30, 20))).astype(int)
        for path in sorted(indexed.glob("Landscape*"))
    )
    assert all(abs(one - other).mean() < 8 for other in turned)


def test_a_thumbnail_is_made_once(client: TestClient, indexed: Path) -> None:
    path = indexed / "large/blue.png"
    at = f"/api/pictures/{number_of(client, path)}/thumbnail"
    with ThreadPoolExecutor(8) as threads:
        made = {client.get(at).content for _ in threads.map(lambda _: client.get(at), range(16))}
    assert len(made) == 1
    first = client.get(at)
    assert "immutable" in first.headers["cache-control"]
    unchanged = client.get(at, headers={"If-None-Match": first.headers["etag"]})
    assert unchanged.status_code == 304 and not unchanged.content
    path.unlink()  # … and kept
    assert client.get(at).content == first.content
    assert client.get(at, params={"large": True}).status_code == 410


@pytest.mark.parametrize("how", ["written over", "a link", "a link to a folder above"])
def test_another_file_in_the_place_of_one_is_not_shown(
    client: TestClient, indexed: Path, tmp_path: Path, how: str
) -> None:
    """What took its place may be what nobody was to see."""
    path, hidden = indexed / "large/blue.png", tmp_path / "hidden"
    hidden.mkdir()
    cornered((80, 60)).save(hidden / "blue.png")
    at = f"/api/pictures/{number_of(client, path)}"
    if how == "written over":
        shutil.copy(hidden / "blue.png", path)
    elif how == "a link":
        path.unlink()
        path.symlink_to(hidden / "blue.png")
    else:
        (indexed / "large").rename(tmp_path / "away")
        (indexed / "large").symlink_to(hidden)
    for what in ("thumbnail", "thumbnail?large=true", "original"):
        answer = client.get(f"{at}/{what}")
        assert answer.status_code == 410 and "changed since" in answer.json()["error"], what


def test_no_file_but_the_picture_is_told_of(client: TestClient, indexed: Path) -> None:
    """Of the same size and time, which others can set, but without the bytes."""
    path = indexed / "large/blue.png"
    at, status = f"/api/pictures/{number_of(client, path)}/original", path.stat()
    secret = indexed.parent / "secret"
    secret.write_bytes(b"#" * status.st_size)
    os.utime(secret, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.unlink()
    path.symlink_to(secret)
    answer = client.get(at)
    assert answer.status_code == 410 and b"###" not in answer.content


def test_a_picture_that_is_the_same_in_another_place_is_shown(
    client: TestClient, indexed: Path, tmp_path: Path
) -> None:
    """A link to it, and a copy with a time of its own."""
    path = indexed / "large/blue.png"
    at, held = f"/api/pictures/{number_of(client, path)}/original", path.read_bytes()
    shutil.move(path, tmp_path / "blue.png")
    path.symlink_to(tmp_path / "blue.png")
    assert client.get(at).content == held
    os.utime(tmp_path / "blue.png", (1, 1))
    assert client.get(at).content == held
    part = client.get(at, headers={"Range": "bytes=4-9"})
    assert part.status_code == 206 and part.content == held[4:10]
    assert client.head(at).status_code in (200, 405)


def test_files_that_are_gone_or_broken(client: TestClient, indexed: Path) -> None:
    path = indexed / "large/blue.png"
    at = f"/api/pictures/{number_of(client, path)}"
    path.write_bytes(b"not a picture any more")
    gone = client.get(f"{at}/thumbnail")
    assert gone.status_code == 410 and "not a picture" in gone.json()["error"]
    path.unlink()
    for what in ("thumbnail", "original"):
        gone = client.get(f"{at}/{what}")
        assert gone.status_code == 410 and str(path) in gone.json()["error"]
        assert client.get(f"/api/pictures/999/{what}").status_code == 404


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_pipes_are_never_opened(client: TestClient, indexed: Path) -> None:
    path = indexed / "large/blue.png"
    at = f"/api/pictures/{number_of(client, path)}"
    path.unlink()
    os.mkfifo(path)
    assert client.get(f"{at}/original").status_code == 410
    assert client.get(f"{at}/thumbnail").status_code == 410


def test_the_file_itself(client: TestClient, indexed: Path) -> None:
    path = indexed / "größe 'a'.png"
    cornered((20, 20)).save(path)
    index(indexed)
    at = f"/api/pictures/{number_of(client, path)}/original"
    whole = client.get(at)
    assert whole.content == path.read_bytes() and whole.headers["content-type"] == "image/png"
    assert whole.headers["content-disposition"].startswith("inline; filename*=utf-8''gr%C3%B6")
    part = client.get(at, headers={"Range": "bytes=0-3"})
    assert part.status_code == 206 and part.content == b"\x89PNG"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is another program")
def test_a_folder_is_opened(
    client: TestClient, indexed: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = f"/api/pictures/{number_of(client, indexed / 'large/blue.png')}/reveal"
    monkeypatch.setenv("PATH", str(home / "bin"))
    assert not client.get("/api/status").json()["can_reveal"]
    assert client.post(at).status_code == 403
    program = home / "bin/xdg-open"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho \"$1\" > '{home}/opened'\n")
    program.chmod(0o755)
    monkeypatch.setenv("DISPLAY", ":0")
    assert client.get("/api/status").json()["can_reveal"]
    assert client.post(at).status_code == 204
    eventually(lambda: (home / "opened").read_text() == f"{indexed / 'large'}\n")


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if holds():
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


# -- the cache -----------------------------------------------------------------------------------


def test_the_cache_is_bounded_and_keeps_what_came_last(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path, max_bytes=500_000)
    for number in range(100):
        cache.put(bytes([number]), bytes(20_000))
    assert cache.get(bytes([99])) == bytes(20_000) and cache.get(bytes([0])) is None
    kept = sum(cache.get(bytes([number])) is not None for number in range(100))
    assert 10 < kept < 25 and (tmp_path / FILE_NAME).stat().st_size < 1_000_000
    cache.close()
    assert cache.get(bytes([99])) is None


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 1000)
    cache = ThumbnailCache(tmp_path)
    cache.put(b"one", b"thumbnail")
    assert cache.get(b"one") == b"thumbnail"
    cache.close()


def test_a_cache_that_is_deleted_is_made_again(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path)
    cache.put(b"one", b"thumbnail")
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        path.unlink()
    assert cache.get(b"one") is None
    cache.put(b"two", b"thumbnail")
    assert cache.get(b"two") == b"thumbnail" and (tmp_path / FILE_NAME).exists()
    cache.close()


def test_where_nothing_can_be_kept_they_are_made_again(indexed: Path) -> None:
    library = Library.open(indexed)
    (library.folder / FILE_NAME).mkdir()  # as a folder that cannot be written to, for root as well
    for client in asked(Site(library)):
        assert thumbnail(client, indexed / "large/blue.png").size == (48, 36)


def test_a_forgotten_picture_leaves_no_thumbnail(client: TestClient, indexed: Path) -> None:
    for path in (indexed / "large/blue.png", indexed / "small/blue.png"):
        thumbnail(client, path)
    with Library.open(indexed) as library:
        library.forget(indexed / "large")
        with closing(sqlite3.connect(library.folder / FILE_NAME)) as cache:
            [[left]] = cache.execute("SELECT count(*) FROM thumbnails")
        assert left == 1 and library.check() == []
        assert library.status().thumbnail_bytes > 0


def test_a_journal_that_is_gone_when_it_is_looked_at_has_no_bytes(indexed: Path) -> None:
    """SQLite's come and go while a server answers: one is listed, and is not there any more."""
    with Library.open(indexed) as library:
        before = library.status().thumbnail_bytes
        (library.folder / f"{FILE_NAME}-journal").symlink_to(indexed / "nowhere")
        assert library.status().thumbnail_bytes == before
