"""A real server over small real libraries, and Debian's Chromium to look at its page with."""

import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from clipmodel.scenes.painting import paint
from clipmodel.scenes.scene import Part, Scene, imagine
from retrieval import Library
from retrieval.locate import beside

PATIENCE = 15_000  # milliseconds until something that should be seen is given up
SCENES: dict[str, Part] = {"car": ("car", "red"), "house": ("house", "night")}
SECRET = "of the tests"  # shown with every request, as a cookie would be
PLAIN = 60  # pictures of one colour, so that not all fit into the first answer


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium on this machine")
    api.expect.set_options(timeout=PATIENCE)
    is_root = hasattr(os, "getuid") and os.getuid() == 0
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if is_root else []
        )
        yield browser
        browser.close()


# -- libraries -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Path:
    """Eight scenes of two kinds, a copy, odd shapes, a bad file, and many plain pictures."""
    photos = tmp_path_factory.mktemp("browser") / "photos"
    for kind, part in SCENES.items():
        for number in range(4):
            scene = imagine(2_000_000 + 2 * number, "test", part)
            save_scene(photos / "scenes" / f"{kind}-{number}.jpg", scene, number, kind)
    shutil.copy(photos / "scenes" / "car-0.jpg", photos / "scenes" / "car-0 again.jpg")
    for number in range(PLAIN):
        colour = (number * 2 % 256, number * 5 % 256, number * 11 % 256)
        path = photos / "plain" / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (60 + number % 7 * 10, 64), colour).save(path)
        os.utime(path, (1_500_000_000 + number, 1_500_000_000 + number))
    Image.new("RGB", (2000, 100), "navy").save(photos / "plain" / "wide.png")
    Image.new("RGB", (100, 2000), "navy").save(photos / "plain" / "tall.png")
    (photos / "notes.jpg").write_text("not a picture")
    with Library.open(beside(photos)) as library:
        library.index(photos, model="tiny", workers=0)
    return photos


def save_scene(path: Path, scene: Scene, number: int, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = ("Google", "Pixel 7") if kind == "car" else ("NIKON", "D90")
    exif.get_ifd(0x8769)[0x9003] = f"{2021 + number}:06:01 12:00:00"
    paint(scene, 240, 180, number).save(path, quality=90, exif=exif)


@pytest.fixture
def own(painted: Path, tmp_path: Path) -> Path:
    """A copy that a test may change: the library moves with its pictures."""
    return Path(shutil.copytree(painted, tmp_path / "photos"))


# -- servers -------------------------------------------------------------------------------------


class Served:
    """One library at one address, however often the server ends and begins."""

    def __init__(self, home: Path) -> None:
        from retrieval.web.server import listen

        self._home = home
        self._port = 0
        self._listen = listen
        self.start()

    def start(self) -> None:
        import uvicorn

        from retrieval.web.app import application
        from retrieval.web.state import ServerSettings, Site

        socket = self._listen("127.0.0.1", self._port)
        self._port = socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/"
        self.library = Library.open(self._home)
        app = application(Site(self.library, ServerSettings(secret=SECRET)))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(socket,))
        self._thread.start()

    def _run(self, socket: Any) -> None:
        with socket:
            self._server.run(sockets=[socket])

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.library.close()


@contextmanager
def serving(home: Path) -> Iterator[Served]:
    served = Served(home)
    try:
        yield served
    finally:
        served.stop()


@pytest.fixture(scope="session")
def url(painted: Path) -> Iterator[str]:
    """Of a server whose library no test changes."""
    with serving(beside(painted)) as served:
        yield served.url


Serve = Callable[[Path], Served]


@pytest.fixture
def serve(chromium: Any) -> Iterator[Serve]:
    """Starts servers, which end after the page: it asks them for news, and complains."""
    with ExitStack() as servers:
        yield lambda home: servers.enter_context(serving(home))


@pytest.fixture
def served(own: Path, serve: Serve) -> Served:
    return serve(beside(own))


@pytest.fixture
def empty(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setenv("RETRIEVE_MODEL", "tiny")
    return serve(tmp_path / "library")


# -- pages ---------------------------------------------------------------------------------------


@dataclass
class Watch:
    """What a page must not do, unless a test says that it will."""

    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # parts of messages on the console

    def over(self, page: Any) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"not caught: {error}"))
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        is_expected = any(part in message.text for part in self.expected)
        if message.type in ("error", "warning") and not is_expected:
            self.complaints.append(f"console: {message.text} ({message.location})")

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "blob:", "data:")):
            self.complaints.append(f"asked elsewhere: {request.url}")


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    assert watch.complaints == []


@pytest.fixture
def look(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How the browser is: parametrize indirectly to change it."""
    return {"viewport": {"width": 1280, "height": 800}, **getattr(request, "param", {})}


@pytest.fixture
def page(chromium: Any, watch: Watch, look: dict[str, Any], serve: Serve) -> Iterator[Any]:
    context = chromium.new_context(**look, extra_http_headers={"Authorization": f"Bearer {SECRET}"})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    watch.over(page)
    yield page
    context.close()


@pytest.fixture
def picture() -> bytes:
    """One that no library holds: a red car."""
    file = io.BytesIO()
    paint(imagine(2_000_100, "test", SCENES["car"]), 120, 90, 100).save(file, "JPEG")
    return file.getvalue()
