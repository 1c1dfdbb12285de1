"""A server under bursts of requests with pauses: descriptors, threads and memory stay as they are.

Between two bursts the threads that answered are let go of, as on a quiet day. A server whose each
thread leaves something open shows it after a few dozen.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.retrieval.small import paint_many
from tests.torture.tally import Tally

PROJECT = Path(__file__).parents[2]
TOGETHER = 24  # requests in a burst
FIRST = 0.1  # of the bursts, after which a server has all that it needs
MOST_FILES = 24  # more than then: pools that were not full yet
MOST_BYTES = 96 << 20  # more than then, resident
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# As `retrieve serve`, but a thread that has nothing to do goes after so many seconds, not after 10.
SERVER = """
import sys
from anyio._backends import _asyncio
_asyncio.WorkerThread.MAX_IDLE_TIME = float(sys.argv.pop(1))
sys.argv[0] = "retrieve"
from retrieval.cli.main import main
main()
"""


@dataclass(frozen=True)
class Load:
    """How long, and how hard."""

    bursts: int
    pause: float  # seconds between two
    renew: float  # seconds until a thread without work goes


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    load = Load(40, 0.0, 0.2) if quick else Load(2_000, 0.5, 0.2)
    yield soak(folder, load, seed)


def soak(folder: Path, load: Load, seed: int) -> Tally:
    """Each burst counts as one that was tried; what grew is lost."""
    tally = Tally("bursts of 24 requests and a pause: serve")
    paint_many(folder / "photos", 24, first=seed)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "RETRIEVE_LIBRARY": str(folder / "it")}
    index = [sys.executable, "-m", "retrieval.cli.main", "index", str(folder / "photos")]
    subprocess.run([*index, "--model", "tiny"], env=environment, check=True, capture_output=True)
    with (folder / "log").open("w+b") as log:
        with subprocess.Popen(
            [sys.executable, "-c", SERVER, str(load.renew), "serve", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as server:
            try:
                assert server.stdout
                bombard(server, server.stdout.readline().split()[0], load, tally)
            finally:
                server.terminate()
        log.seek(0, os.SEEK_END)
        written = log.tell()
        log.seek(0)
        last = (log.read().decode(errors="replace").splitlines() or [""])[-1]
        tally.expect(not written, f"it wrote {written:,} bytes of log, at last: {last}")
    return tally


def bombard(server: "subprocess.Popen[str]", address: str, load: Load, tally: Tally) -> None:
    base, query = address.partition("?")[::2]
    first = seen = None
    for number in range(load.bursts):
        burst(base, query, tally)
        time.sleep(load.pause or (load.renew if number % 3 == 0 else 0))
        seen = held_by(server.pid)
        if number >= load.bursts * FIRST:
            first = first or seen
        tally.tried += 1
    assert first and seen
    tally.note = f"{first[0]} → {seen[0]} descriptors, {first[1] >> 20} → {seen[1] >> 20} MB"
    tally.expect(seen[0] <= first[0] + MOST_FILES, f"descriptors grew: {tally.note}")
    tally.expect(seen[1] <= first[1] + MOST_BYTES, f"memory grew: {tally.note}")


def burst(base: str, query: str, tally: Tally) -> None:
    """Many at once, of all kinds."""
    wrong: queue.SimpleQueue[str] = queue.SimpleQueue()
    asked = ("api/status", "api/search?q=red", "api/folders", "api/facets", "api/pictures/1")
    kinds = (*asked, "api/pictures/2/thumbnail", "api/failures", "")

    def ask(path: str) -> None:
        try:
            get(base + path, query.removeprefix("token="))
        except OSError as error:
            wrong.put(f"{path}: {error}")

    threads = [
        threading.Thread(target=ask, args=(kinds[number % len(kinds)],))
        for number in range(TOGETHER)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while not wrong.empty():
        tally.lost.append(wrong.get())


def get(address: str, token: str) -> Any:
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
    with OPENER.open(request, timeout=60) as answer:
        data = answer.read()
        return json.loads(data) if "json" in answer.headers["content-type"] else data


def held_by(process: int) -> tuple[int, int]:
    """Descriptors, and bytes of memory of its own."""
    descriptors = len(os.listdir(f"/proc/{process}/fd"))
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return descriptors, pages * os.sysconf("SC_PAGE_SIZE")
