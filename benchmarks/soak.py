"""`retrieve serve` for an hour under mixed load: descriptors, memory and log.

Visitors come, ask for some pages, words, similar pictures, thumbnails and originals, upload a
picture, pause and go, some in the middle of an answer; now and then an index run finds news. Shown
are the start, each tenth of the time, and the end, when all visitors have gone.
"""

import json
import random
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.inputs import small_photos
from benchmarks.report import Row
from benchmarks.search import WORDS
from benchmarks.timing import Failed, descendants, fields, retrieve

MINUTES = 60.0
PICTURES = 1_000
VISITORS = 6  # at a time
ASKED = 20  # requests of a visit, at most
PAUSE = 0.5  # seconds between two of them, at most
AWAY = 4.0  # seconds until the next visitor comes, at most
QUIET = 5.0  # seconds at the end, without any
PARTS = 10
NEWS = 5  # pictures that an index run finds
KINDS = ("page", "words", "similar", "thumbnail", "original", "upload", "index")
SHARES = (2, 5, 3, 10, 2, 1, 0.2)


@dataclass
class Soaked:
    """A server, and what came of asking it."""

    process: "subprocess.Popen[str]"
    port: int
    secret: str
    photos: Path
    uploads: list[bytes]
    log: Path
    answers: int = 0
    refused: int = 0  # 5xx, and connections that came to nothing
    stop: threading.Event = field(default_factory=threading.Event)
    counting: threading.Lock = field(default_factory=threading.Lock)

    def count(self, is_answer: bool) -> None:
        with self.counting:
            self.answers += is_answer
            self.refused += not is_answer


def run(folder: Path, quick: bool, minutes: float = MINUTES) -> Iterator[Row]:
    count = 50 if quick else PICTURES
    small_photos(folder / "photos", count)
    library = folder / "library"
    retrieve("index", folder / "photos", "--library", library, "--model", "tiny")
    with serving(folder, library) as soaked:
        yield row(soaked, "start", 0.0)
        visitors = [
            threading.Thread(target=come_and_go, args=(soaked, number))
            for number in range(VISITORS)
        ]
        began = time.monotonic()
        for visitor in visitors:
            visitor.start()
        try:
            for part in range(1, PARTS + 1):
                time.sleep(max(0.0, began + 60 * minutes * part / PARTS - time.monotonic()))
                yield row(soaked, f"{part} of {PARTS}", (time.monotonic() - began) / 60)
        finally:
            soaked.stop.set()
            for visitor in visitors:
                visitor.join()
        time.sleep(min(QUIET, 60 * minutes))
        yield row(soaked, "end", (time.monotonic() - began) / 60)


@contextmanager
def serving(folder: Path, library: Path) -> Iterator[Soaked]:
    """The server in a process of its own; all that it says goes into a file."""
    log = folder / "log"
    command = [sys.executable, "-m", "retrieval.cli", "serve", "--port=0", f"--library={library}"]
    with (
        log.open("w") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                raise Failed(f"{' '.join(command)} ended:\n{log.read_text()[-4000:]}")
            address, _, secret = line.split()[0].partition("?token=")
            port = urllib.parse.urlsplit(address).port
            assert port
            photos = folder / "photos"
            uploads = [path.read_bytes() for path in photos.glob("*/*.jpg")]
            yield Soaked(process, port, secret, photos, uploads, log)
        finally:
            process.terminate()


def row(soaked: Soaked, when: str, minutes: float) -> Row:
    """What the server holds now. Raises Failed if it is no more."""
    pid = soaked.process.pid
    if soaked.process.poll() is not None:
        raise Failed(f"the server ended:\n{soaked.log.read_text()[-4000:]}")
    processes = [pid, *descendants(pid)]
    held = [fields(each, "status") for each in processes]
    own = [each.get("VmRSS", 0) for each in held]
    return {
        "when": when,
        "minutes": minutes,
        "answers": soaked.answers,
        "refused": soaked.refused,
        "descriptors": descriptors(pid),
        "threads": len(list(Path(f"/proc/{pid}/task").glob("*"))) or None,
        "RSS MB": own[0] / 1e6 or None,
        "with workers MB": sum(own) / 1e6 or None,
        "log bytes": soaked.log.stat().st_size,
    }


def descriptors(pid: int) -> int | None:
    """None where there is no /proc."""
    return len(list(Path(f"/proc/{pid}/fd").glob("*"))) or None


# -- visitors ------------------------------------------------------------------------------------


def come_and_go(soaked: Soaked, seed: int) -> None:
    """One after another, each with a connection of its own."""
    chance = random.Random(seed)
    while not soaked.stop.is_set():
        connection = HTTPConnection("127.0.0.1", soaked.port, timeout=60)
        try:
            visit(soaked, connection, chance)
        except (OSError, HTTPException):
            soaked.count(False)
        finally:
            connection.close()
        soaked.stop.wait(chance.uniform(0, AWAY))


def visit(soaked: Soaked, connection: HTTPConnection, chance: random.Random) -> None:
    ids = [1]
    for _ in range(chance.randint(1, ASKED)):
        if soaked.stop.wait(chance.uniform(0, PAUSE)):
            return
        [kind] = chance.choices(KINDS, SHARES)
        method, path, body = request(kind, chance.choice(ids), soaked, chance)
        headers = {"X-Retrieve": "1", "Authorization": f"Bearer {soaked.secret}"}
        if body[:1] == b"{":
            headers["Content-Type"] = "application/json"
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        if chance.random() < 0.02:  # the tab is closed
            return
        said = answer.read()
        soaked.count(answer.status < 500)
        if kind == "words" and answer.status == 200:
            ids = [match["id"] for match in json.loads(said)["matches"]] or ids


def request(kind: str, id: int, soaked: Soaked, chance: random.Random) -> tuple[str, str, bytes]:
    """Method, path and body."""
    match kind:
        case "page":
            return "GET", chance.choice(["/", "/api/status", "/api/folders", "/api/facets"]), b""
        case "words":
            words = urllib.parse.quote(" ".join(chance.sample(list(WORDS), 3)))
            return "GET", f"/api/search?q={words}", b""
        case "similar":
            return "GET", f"/api/similar/{id}", b""
        case "thumbnail" | "original":
            return "GET", f"/api/pictures/{id}/{kind}", b""
        case "upload":
            return "POST", "/api/uploads", chance.choice(soaked.uploads)
        case _:
            small_photos(soaked.photos / "news", NEWS, seed=chance.randrange(1 << 32))
            return "POST", "/api/index", json.dumps({"paths": []}).encode()
