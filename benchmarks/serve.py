"""`retrieve serve` under 32 clients that search 100,000 pictures, each as fast as it is answered.

The server is a process of its own, with a ViT-B/32's text tower of random weights. Queries of five
words: all different, as cold as they come, or from a hundred, as people ask again what was asked.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.libraries import SMALL, filled, random_model, vit_b_32
from benchmarks.report import Row
from benchmarks.search import WORDS
from benchmarks.timing import Times

PICTURES = 100_000
CLIENTS = 32
SECONDS = 60.0
AGAIN = 100  # different queries, where they come again
LIMIT = 50  # a page


def run(folder: Path, quick: bool) -> Iterator[Row]:
    model = random_model(folder / "model", SMALL) if quick else vit_b_32(folder / "model")
    count = 1_000 if quick else PICTURES
    filled(folder / "library", model, count)
    for name, different in (("all different", None), (f"of {AGAIN}", AGAIN)):
        for clients in (1, CLIENTS):
            with serving(folder / "library") as port:
                times, seconds = asked(port, clients, 2.0 if quick else SECONDS, different)
            yield {
                "pictures": count,
                "queries": name,
                "clients": clients,
                "queries/s": len(times.seconds) / seconds,
                "p50 ms": 1e3 * times.p50,
                "p99 ms": 1e3 * times.p99,
            }


@contextmanager
def serving(library: Path) -> Iterator[int]:
    """The port of a server that has everything open."""
    command = [sys.executable, "-m", "retrieval.cli", "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--library", str(library)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            port = int(process.stdout.readline().split()[0].rstrip("/").rpartition(":")[2])
            asked(port, 1, 0.0, None)
            yield port
        finally:
            process.terminate()


def asked(port: int, clients: int, seconds: float, different: int | None) -> tuple[Times, float]:
    """The seconds of each answer, at least one a client, and those that all took together."""
    times: list[float] = []
    start = time.perf_counter()
    threads = [
        threading.Thread(target=ask, args=(port, number, start + seconds, different, times))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Times(tuple(times)), time.perf_counter() - start


def ask(port: int, seed: int, end: float, different: int | None, times: list[float]) -> None:
    """One client, with a connection that it keeps."""
    generator = np.random.default_rng(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while True:
        drawn = (
            generator if different is None else np.random.default_rng(generator.integers(different))
        )
        query = urllib.parse.quote(" ".join(drawn.choice(WORDS, 5)))
        began = time.perf_counter()
        connection.request("GET", f"/api/search?q={query}&limit={LIMIT}")
        answer = connection.getresponse()
        matches = json.loads(answer.read())["matches"]
        assert answer.status == 200 and len(matches) == LIMIT
        times.append(time.perf_counter() - began)
        if time.perf_counter() >= end:
            break
    connection.close()
