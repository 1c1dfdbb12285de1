"""A device that fails in the middle of a run, as its user sees it: in each command that indexes."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog.reading import Catalog
from retrieval.errors import RetrieveError
from tests.retrieval.conftest import paint
from tests.retrieval.mortal import How, is_there, stopped

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="/proc, signals"),
]

ROOT = Path(__file__).parents[2]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # `home` has a dead one
COUNT = 24
KEPT = 4  # pictures: a batch is encoded before the device fails in the next one
ONCE, THREE_TIMES, EVERY_TIME = 1, 3, 99
DEVICE = "--device", "cuda:0"
SAID = "cannot use cuda:0 (unspecified launch failure); use --device cpu"
DIED = "cannot use cuda:0 (its process ended: SIGKILL); try again, or use --device cpu"
PATIENCE_SECONDS = 300  # of a test


class Machine:
    """A user's machine: a library, pictures, and a device that fails."""

    def __init__(self, home: Path) -> None:
        self.photos, self.library = home / "many", home / "library"
        self.deaths = home / "deaths"
        self.add(COUNT)

    def add(self, count: int) -> None:
        """Paint more pictures."""
        first = len(list(self.photos.glob("*")))
        for seed in range(first, first + count):
            paint(self.photos / f"{seed:03d}.png", "red", seed)

    @contextmanager
    def running(
        self, how: How, deaths: int, *arguments: object, rescue: float = 20.0
    ) -> "Iterator[subprocess.Popen[str]]":
        """Run a command whose device fails this often. rescue: how long Ctrl-C waits for it."""
        words = [self.deaths, how, deaths, rescue, *arguments, "--library", self.library]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.retrieval.mortal_program", *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def index(self, how: How, deaths: int) -> tuple[int, str, str]:
        """Run `retrieve index`; return its exit code and what it printed."""
        with self.running(how, deaths, "index", self.photos, *DEVICE) as process:
            out, err = process.communicate()
        return process.returncode, out, err

    def devices(self) -> list[int]:
        """Return the processes that have had the device."""
        return [int(name) for name in os.listdir(self.deaths)]

    def await_stopped(self) -> None:
        """Wait until the device hangs with a batch, and the one before is in the catalog."""
        until(lambda: self.deaths.exists() and any(map(stopped, self.devices())))
        until(lambda: self.committed() >= KEPT)

    def committed(self) -> int:
        """Return how many pictures the library holds so far."""
        try:
            with closing(Catalog.open(self.library)) as catalog:
                return catalog.counts().embedded
        except RetrieveError:  # there is none yet
            return 0

    def embedded(self) -> int:
        """Return how many pictures the library holds, each with exactly one vector."""
        with closing(Catalog.open(self.library)) as catalog:
            counts = catalog.counts()
            assert counts.embedded == counts.images == counts.files
            return counts.embedded


@pytest.fixture
def machine(home: Path) -> Machine:
    return Machine(home)


def until(is_so: Callable[[], Any]) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := is_so()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


# -- retrieve index ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "said"), [("lost", SAID), ("killed", DIED)], ids=["lost", "killed"]
)
def test_a_device_that_is_lost_twice_is_one_line_and_once_is_not_noticed(
    machine: Machine, how: How, said: str
) -> None:
    assert machine.index(how, THREE_TIMES) == (1, "", f"error: {said}\n")
    assert len(machine.devices()) == 2
    kept = machine.embedded()
    assert KEPT <= kept < COUNT
    code, out, err = machine.index(how, THREE_TIMES)
    assert (code, err) == (0, "")
    assert f"encoded {COUNT - kept} picture" in out and f"files: {COUNT - kept} new, " in out
    assert len(machine.devices()) == 4 and machine.embedded() == COUNT


def test_ctrl_c_waits_a_while_for_a_device_that_hangs(machine: Machine) -> None:
    command = "index", machine.photos, *DEVICE
    with machine.running("stopped", EVERY_TIME, *command, rescue=0.5) as process:
        machine.await_stopped()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    kept = machine.embedded()
    assert KEPT <= kept < COUNT and f"encoded {kept} picture" in out
    assert not any(map(is_there, machine.devices()))


def test_a_second_ctrl_c_does_not_wait(machine: Machine) -> None:
    command = "index", machine.photos, *DEVICE
    with machine.running("stopped", EVERY_TIME, *command, rescue=1e6) as process:
        machine.await_stopped()
        for _ in range(20):  # one that comes too soon is not heard
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
                break
        assert process.poll() is not None
    assert machine.embedded() >= KEPT
    until(lambda: not any(map(is_there, machine.devices())))


# -- retrieve serve ------------------------------------------------------------------------------


class Page:
    """What a page asks its server."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        assert server.stdout
        self._address, _, secret = server.stdout.readline().split()[0].partition("?token=")
        self._headers = {"Authorization": f"Bearer {secret}", "X-Retrieve": "1"}

    def ask(self, method: str, path: str, **body: object) -> Any:
        data = json.dumps(body).encode() if body else None
        headers = self._headers | {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self._address}api/{path}", data, headers, method=method)
        with OPENER.open(asked, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def index(self, machine: Machine) -> None:
        self.ask("POST", "index", paths=[str(machine.photos)])

    def result(self, after: str | None = None) -> str:
        """Wait for the end of an index run, after one that ended so; return what the page says."""

        def said() -> object:
            last = self.ask("GET", "status")["last_run"]
            return last != after and last

        return str(until(said))

    def found(self) -> int:
        """Return how many pictures a search finds."""
        return len(self.ask("GET", "search?q=red&limit=100")["matches"])


def test_a_server_says_that_its_device_is_lost_and_goes_on(machine: Machine) -> None:
    with machine.running("lost", THREE_TIMES, "serve", "--port", 0, *DEVICE) as server:
        page = Page(server)
        page.index(machine)
        assert page.result() == SAID
        assert not page.ask("GET", "status")["indexing"]
        assert KEPT <= page.found() == machine.embedded() < COUNT
        page.index(machine)  # it is lost once more
        assert page.result(after=SAID).startswith("done in ")
        assert page.found() == machine.embedded() == COUNT


def test_a_server_stops_a_run_whose_device_hangs(machine: Machine) -> None:
    command = "serve", "--port", 0, *DEVICE
    with machine.running("stopped", EVERY_TIME, *command, rescue=0.5) as server:
        page = Page(server)
        page.index(machine)
        machine.await_stopped()
        page.ask("DELETE", "index")
        assert page.result().startswith("interrupted after ")
        kept = page.found()
        assert KEPT <= kept == machine.embedded() < COUNT
        page.index(machine)
        until(lambda: page.ask("GET", "status")["indexing"])
        server.send_signal(signal.SIGINT)
        server.communicate()
    assert server.returncode == 0
    assert not any(map(is_there, machine.devices()))


# -- retrieve watch ------------------------------------------------------------------------------


def test_watching_goes_on_after_a_device_is_lost_once(machine: Machine) -> None:
    with machine.running("lost", ONCE, "watch", machine.photos, *DEVICE) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline().endswith(f"  {COUNT} new\n")
        machine.add(1)
        assert process.stdout.readline().endswith("  1 new\n")
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "")
    assert process.returncode == 0 and machine.embedded() == COUNT + 1


def test_watching_ends_with_a_device_that_is_lost_twice(machine: Machine) -> None:
    with machine.running("lost", THREE_TIMES, "watch", machine.photos, *DEVICE) as process:
        assert process.communicate() == ("", f"error: {SAID}\n")
    assert process.returncode == 1
    assert KEPT <= machine.embedded() < COUNT
