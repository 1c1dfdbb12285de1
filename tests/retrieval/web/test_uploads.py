"""Pictures that are uploaded to search with, and what is none, or too much of one."""

import asyncio
import io
import os
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.types import Message

from retrieval import Library
from retrieval.decoding.task import TaskResult
from retrieval.errors import FailureCode
from retrieval.records import Failure
from retrieval.web import guard, upload_store
from retrieval.web.routes.uploads import refused
from retrieval.web.scratch import Scratch
from retrieval.web.state import MAX_RECEIVING, Site
from tests.retrieval.conftest import paint
from tests.retrieval.web.conftest import asked


def test_what_is_told_of_an_upload(client: TestClient, home: Path) -> None:
    path = paint(home / "new.png", "red", 99)
    answer = client.post("/api/uploads", content=path.read_bytes())
    assert answer.status_code == 201
    told = answer.json()
    assert (told["width"], told["height"], told["format"]) == (48, 36, "PNG")
    small = client.get(told["thumbnail"])
    assert Image.open(io.BytesIO(small.content)).size == (48, 36)
    assert client.get("/api/uploads/nothing/thumbnail").status_code == 404


def test_heic(client: TestClient, home: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 48), "red")).save(home / "new.heic")
    told = client.post("/api/uploads", content=(home / "new.heic").read_bytes()).json()
    assert (told["width"], told["height"], told["format"]) == (64, 48, "HEIF")
    assert client.get("/api/search", params={"q": f"upload:{told['key']}"}).json()["matches"]


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it is square, and huge."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 415, "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not a picture"),
        (bomb(60_000), 413, "pixels"),
        (bomb(200), 415, "ends too early"),
    ],
)
def test_what_is_no_picture(client: TestClient, body: bytes, status: int, said: str) -> None:
    answer = client.post("/api/uploads", content=body)
    assert answer.status_code == status and said in answer.json()["error"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (FailureCode.TOO_LARGE, 413),
        (FailureCode.TOO_MANY_BYTES, 413),
        (FailureCode.DAMAGED, 415),
        (FailureCode.CRASHED, 415),
    ],
)
def test_the_status_follows_the_code_and_no_sentence(code: FailureCode, status: int) -> None:
    answer = TaskResult(0, failure=Failure(code, "whatever the sentence says"))
    refusal = refused(answer)
    assert refusal.status_code == status and "whatever the sentence says" in refusal.detail


def test_what_is_too_large_is_not_read_to_its_end(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(guard.MAX_BYTES, "/api/uploads", 10_000)
    sent = []

    def endless() -> Iterator[bytes]:  # without a length, in chunks
        for number in range(1_000):
            sent.append(number)
            yield bytes(1_000)

    told = client.post("/api/uploads", content=bytes(10_001))
    assert told.status_code == 413
    streamed = client.post("/api/uploads", content=endless())
    assert streamed.status_code == 413 and "10,000 bytes" in streamed.json()["error"]
    other = client.post("/api/index", content=b'{"paths": [' + b" " * 70_000 + b"]}")
    assert other.status_code == 413


def test_what_comes_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.0)

    async def never() -> Message:
        await asyncio.sleep(3600)
        raise AssertionError

    async def receive() -> None:
        await guard.Body(never, 100)()

    # In a thread of its own: beside tests with a browser this one has a loop already.
    with ThreadPoolExecutor(1) as thread, pytest.raises(HTTPException, match="408"):
        thread.submit(lambda: asyncio.run(receive())).result()


def test_a_full_disk_is_told_in_a_sentence(
    client: TestClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no file on this machine that is always full")

    @contextmanager
    def on_a_full_disk() -> Iterator[Path]:
        yield Path("/dev/full")

    monkeypatch.setattr(site.scratch, "file", on_a_full_disk)
    answer = client.post("/api/uploads", content=b"x" * 100_000)
    assert answer.status_code == 507 and "No space left" in answer.json()["error"]


def test_uploads_are_counted(client: TestClient, site: Site) -> None:
    for _ in range(MAX_RECEIVING):
        site.receiving.acquire()
    busy = client.post("/api/uploads", content=b"x")
    assert busy.status_code == 503 and busy.headers["retry-after"] == "1"
    for _ in range(MAX_RECEIVING):
        site.receiving.release()
    assert client.post("/api/uploads", content=b"x").status_code == 415


def test_what_a_killed_server_left_is_swept(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, own, other = (
        tmp_path / f"retrieve-serve-{pid}-abc" for pid in (ended.pid, os.getpid(), "x")
    )
    for folder in (left, own, other):
        folder.mkdir()
        (folder / "1").write_bytes(b"a picture")
    scratch = Scratch()
    assert not left.exists() and own.exists() and other.exists()
    with scratch.file() as file:
        file.write_bytes(b"another")
    assert not file.exists() and file.parent.exists()
    scratch.close()
    assert not file.parent.exists()


def test_the_latest_are_kept(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(upload_store, "MAX_UPLOADS", 2)
    data = paint(home / "new.png", "red", 99).read_bytes()
    first, *last = (client.post("/api/uploads", content=data).json()["key"] for _ in range(3))
    assert client.get("/api/search", params={"q": f"upload:{first}"}).status_code == 400
    for key in last:
        assert client.get("/api/search", params={"q": f"upload:{key}"}).status_code == 200


def test_a_picture_can_wait_for_the_first_index_run(home: Path) -> None:
    """Nobody knows yet for which model it has to be prepared."""
    data = paint(home / "new.png", "red", 99).read_bytes()
    paint(home / "photos/one.png", "red", 1)
    for client in asked(Site(Library.open(home / "library"))):
        key = client.post("/api/uploads", content=data).json()["key"]
        assert client.get("/api/search", params={"q": f"upload:{key}"}).json()["empty"]
        with Library.open(home / "library") as library:
            library.index(home / "photos", workers=0)
        answer = client.get("/api/search", params={"q": f"upload:{key}"})
        assert answer.status_code == 400 and "upload it again" in answer.json()["error"]
