"""`retrieve serve` under 32 clients that search 100,000 pictures, beside `clip back`.

`clip back` is clip-retrieval's server. Each client searches again as soon as it has its answer.
Each server is a process of its own, with the same ViT-B/32 with random weights. Queries have five
words, and are either all different, so that nothing is cached, or drawn from a hundred, as people
repeat searches.
"""

import json
import re
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

from benchmarks.harness import peers
from benchmarks.harness.inputs import PictureLike
from benchmarks.harness.libraries import filled, indexed, vit_b_32
from benchmarks.harness.report import Row
from benchmarks.harness.timing import Failed, Times
from benchmarks.search import WORDS

PICTURES = 100_000
CLIENTS = 32
SECONDS = 60.0
AGAIN = 100  # different queries, where they come again
LIMIT = 50  # a page
THEIRS = "clip back"


@dataclass(frozen=True)
class Server:
    """A server to measure: the command that starts it, and the request for a search by words."""

    who: str
    command: list[str]
    search: Callable[[HTTPConnection, str], list[object]]


def run(folder: Path, quick: bool) -> Iterator[Row]:
    count, least = (1_000, 2.0) if quick else (PICTURES, SECONDS)
    servers = list(prepared(folder, count))
    for name, different in (("all different", None), (f"of {AGAIN}", AGAIN)):
        for clients in (1, CLIENTS):
            rates: dict[str, float] = {}
            for server in servers:
                with serving(server, folder / "log") as port:
                    times, seconds = asked(server, port, clients, least, different)
                rates[server.who] = rate = len(times.seconds) / seconds
                yield {
                    "pictures": count,
                    "queries": name,
                    "clients": clients,
                    "who": server.who,
                    "queries/s": rate,
                    "p50 ms": 1e3 * times.p50,
                    "p99 ms": 1e3 * times.p99,
                    f"times {THEIRS}": rate / rates[THEIRS] if THEIRS in rates else None,
                }


def prepared(folder: Path, count: int) -> Iterator[Server]:
    """Yield clip-retrieval's server, if available, and ours, with the same model and vectors."""
    model = vit_b_32(folder / "model")
    theirs = peers.ClipRetrieval.installed(folder / "clip-retrieval")
    if theirs:
        vectors = (each for _, each in PictureLike(model.config.embed_dim).batches(count))
        theirs.take(model)
        theirs.fill(peers.imagined(Path("/nowhere/photos"), count), vectors)
        yield Server(THEIRS, theirs.back, search_theirs)
    library = folder / "library"
    indexed(library, filled(library, model, count))
    command = [sys.executable, "-m", "retrieval.cli.main", "serve", "--port=0", "--no-token"]
    command.append(f"--library={library}")
    yield Server("retrieve", command, search_ours)


def search_ours(connection: HTTPConnection, words: str) -> list[object]:
    connection.request("GET", f"/api/search?q={urllib.parse.quote(words)}&limit={LIMIT}")
    matches: list[object] = json.loads(connection.getresponse().read())["matches"]
    return matches


def search_theirs(connection: HTTPConnection, words: str) -> list[object]:
    query = {"text": words, "modality": "image", "num_images": LIMIT, "indice_name": "photos"}
    connection.request("POST", "/knn-service", json.dumps(query))
    matches: list[object] = json.loads(connection.getresponse().read())
    return matches


@contextmanager
def serving(server: Server, log: Path) -> Iterator[int]:
    """Start a server and yield its port once it is ready. Its output goes into a file."""
    with (
        log.open("w") as said,
        subprocess.Popen(server.command, stdout=said, stderr=said) as process,
    ):
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:(\d+)[/\s]", log.read_text())):
                if process.poll() is not None:
                    raise Failed(f"{' '.join(server.command)} ended:\n{log.read_text()[-4000:]}")
                time.sleep(0.05)
            port = int(found[1])
            asked(server, port, 1, 0.0, None)
            yield port
        finally:
            process.terminate()


def asked(
    server: Server, port: int, clients: int, seconds: float, different: int | None
) -> tuple[Times, float]:
    """Return the seconds of each answer, at least one per client, and the total seconds."""
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        each = threads.map(
            lambda number: ask(server, port, number, start + seconds, different), range(clients)
        )
        times = tuple(taken for client in each for taken in client)
    return Times(times), time.perf_counter() - start


def ask(server: Server, port: int, seed: int, end: float, different: int | None) -> list[float]:
    """Return the seconds of one client's answers; it keeps its connection if the server does."""
    generator = np.random.default_rng(seed)
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    times: list[float] = []
    while not times or time.perf_counter() < end:
        drawn = (
            generator if different is None else np.random.default_rng(generator.integers(different))
        )
        words = " ".join(drawn.choice(WORDS, 5))
        began = time.perf_counter()
        assert len(server.search(connection, words)) == LIMIT
        times.append(time.perf_counter() - began)
    connection.close()
    return times
