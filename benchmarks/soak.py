"""`retrieve serve` for an hour under mixed load with pauses: its resources, ten times.

Bursts of clients search by words, filters and pictures, upload pictures, fetch pictures and
thumbnails, start index runs, request what does not exist, use wrong tokens, and leave requests
half-sent. The longest pauses exceed the lifetime of an idle thread. Each row is taken after such a
pause, the first after a minute of load. It needs Linux, as it reads /proc. It runs only if it is
named.
"""

import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from benchmarks.harness.inputs import small_photos
from benchmarks.harness.libraries import SMALL, random_model
from benchmarks.harness.report import Row
from benchmarks.harness.timing import Failed, descendants, fields, retrieve
from benchmarks.search import WORDS

PICTURES = 2_000
CLIENTS = 24  # in a burst
REQUESTS = 10  # of each
PAUSES = (0.0, 0.5, 2.0, 12.0)  # seconds; an idle thread ends after 10
CHANGING = 20  # pictures in the folder that others replace
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)")


@dataclass
class Load:
    """The server under load, and the results so far. Any number of clients share one."""

    pid: int
    port: int
    secret: str
    photos: Path
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, is_right: bool) -> None:
        with self.lock:
            self.requests += 1
            if not is_right:
                self.failed[what] += 1


@dataclass
class Client:
    """A client: a connection, kept while the server keeps it, and its choice of requests."""

    load: Load
    connection: HTTPConnection
    chance: random.Random

    def ask(self, method: str, path: str, *right: int, body: bytes = b"", **headers: str) -> bytes:
        """Return the body of the answer. A status that is not in `right` counts as a failure."""
        sent = {"Authorization": f"Bearer {self.load.secret}", "X-Retrieve": "1", **headers}
        what = f"{method} {path.partition('?')[0]}"
        try:
            self.connection.request(method, path, body or None, sent)
            answer = self.connection.getresponse()
            data = answer.read()
        except (OSError, HTTPException) as error:
            self.connection.close()
            self.load.note(f"{what}: {error!r}", False)
            return b""
        self.load.note(f"{what}: {answer.status}", answer.status in (right or (200,)))
        return data

    def words(self) -> str:
        return quote(" ".join(self.chance.choices(WORDS, k=4)))

    def number(self) -> int:
        return self.chance.randint(1, CHANGING)


def by_words(client: Client) -> None:
    client.ask("GET", f"/api/search?q={client.words()}&limit=50")


def by_filters(client: Client) -> None:
    client.ask("GET", f"/api/search?q={client.words()}+after%3A2001+format%3Ajpeg")


def by_picture(client: Client) -> None:
    client.ask("GET", f"/api/similar/{client.number()}", 200, 404)


def by_upload(client: Client) -> None:
    body = (client.load.photos / "000" / f"{client.chance.randrange(40):06}.jpg").read_bytes()
    answer = client.ask("POST", "/api/uploads", 201, 503, body=body)  # 503: too many at once
    if answer and (key := json.loads(answer).get("key")):
        # Only the latest uploads are kept: another client's may have replaced it.
        client.ask("GET", f"/api/search?q=upload%3A{key}", 200, 400)


def look(client: Client) -> None:
    for path in ("thumbnail", "original"):
        client.ask("GET", f"/api/pictures/{client.number()}/{path}", 200, 404, 410)


def overview(client: Client) -> None:
    for path in ("/", "/api/status", "/api/folders", "/api/facets", "/api/duplicates"):
        client.ask("GET", path)


def mistakes(client: Client) -> None:
    client.ask("GET", "/api/search?q=near%3Anowhere", 400)
    client.ask("GET", "/api/pictures/999999999", 404)
    client.ask("GET", "/api/status", 401, Authorization="Bearer wrong")
    client.ask("GET", "/api/status", 403, Host="elsewhere.example")
    client.ask("POST", "/api/uploads", 415, 503, body=client.chance.randbytes(1_000))


def half_sent(client: Client) -> None:
    """Send a request that never ends, and bytes that are not a request."""
    client.load.note("half-sent", True)
    for sent in (b"GET / HTTP/1.1\r\nHost: local", client.chance.randbytes(200)):
        with suppress(OSError), socket.create_connection(("127.0.0.1", client.load.port)) as some:
            some.sendall(sent)


def change(client: Client) -> None:
    """Replace a picture by another one, and start a run that finds it."""
    colour = tuple(client.chance.randbytes(3))
    place = client.load.photos / "changing" / f"{client.number():02}.jpg"
    part = place.with_name(f"{place.stem}-{threading.get_ident()}.part")
    Image.new("RGB", (64, 48), colour).save(part, "JPEG")
    part.replace(place)
    client.ask("POST", "/api/index", 202, 409, body=b"{}", **{"Content-Type": "application/json"})


Kind = Callable[[Client], None]
Plan = tuple[float, Sequence[Kind]]  # a seed, and what is asked

KINDS: dict[Kind, int] = {  # how often, of all
    by_words: 8,
    by_filters: 4,
    by_picture: 3,
    by_upload: 2,
    look: 6,
    overview: 2,
    mistakes: 1,
    half_sent: 1,
    change: 1,
}


def run(folder: Path, quick: bool, minutes: float = 60.0) -> Iterator[Row]:
    if not Path("/proc/self/fd").is_dir():
        raise Failed("the soak reads /proc, which this system doesn't have")
    chance = random.Random(0)
    with serving(folder, 100 if quick else PICTURES) as load:
        began = time.monotonic()
        bombard(load, chance, began + (1 if quick else 60), quick)
        yield held(load, folder, 0.0)
        for tenth in range(1, 11):
            until = began + tenth * 6 * minutes
            bombard(load, chance, until, quick)
            yield held(load, folder, (time.monotonic() - began) / 60)


@contextmanager
def serving(folder: Path, count: int) -> Iterator[Load]:
    """Start a server with its own library; its temporary files and log are in `folder`."""
    photos, library, log = folder / "photos", folder / "library", folder / "log"
    (folder / "temporary").mkdir()
    small_photos(photos, count)
    small_photos(photos / "new", CHANGING)
    (photos / "new" / "000").rename(photos / "changing")
    model = random_model(folder / "model", SMALL).path
    retrieve("index", photos, "--model", model, "--library", library)
    command = [
        sys.executable,
        "-m",
        "retrieval.cli.main",
        "serve",
        "--port=0",
        f"--library={library}",
    ]
    with (
        log.open("w") as said,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, "TMPDIR": str(folder / "temporary")},
        ) as process,
    ):
        assert process.stdout
        try:
            if not (found := ADDRESS.match(process.stdout.readline())):
                raise Failed(f"`retrieve serve` ended:\n{log.read_text()[-4000:]}")
            yield Load(process.pid, int(found[1]), found[2], photos)
        finally:
            process.terminate()


def bombard(load: Load, chance: random.Random, until: float, quick: bool) -> None:
    """Send bursts, with pauses, until a time; at least one burst, and a long pause at the end."""
    while True:
        together(load, [drawn(chance) for _ in range(CLIENTS)])
        is_over = time.monotonic() > until
        pause = PAUSES[-1] if is_over else chance.choice(PAUSES)
        time.sleep(pause / 20 if quick else pause)
        if is_over:
            return


def drawn(chance: random.Random) -> Plan:
    return chance.random(), chance.choices(list(KINDS), list(KINDS.values()), k=REQUESTS)


def together(load: Load, plans: Sequence[Plan]) -> None:
    """Run a burst: each plan is one client's, in a thread of its own."""
    threads = [threading.Thread(target=follow, args=(load, *plan)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def follow(load: Load, seed: float, kinds: Sequence[Kind]) -> None:
    connection = HTTPConnection("127.0.0.1", load.port, timeout=60)
    client = Client(load, connection, random.Random(seed))
    for kind in kinds:
        kind(client)
    connection.close()


def held(load: Load, folder: Path, minutes: float) -> Row:
    """Return the server's resources now, including its decoding processes."""
    pids = [load.pid, *descendants(load.pid)]
    library = [path.stat().st_size for path in (folder / "library").rglob("*") if path.is_file()]
    return {
        "minutes": round(minutes, 1),
        "requests": load.requests,
        "failed": load.failed.total(),
        "descriptors": len(os.listdir(f"/proc/{load.pid}/fd")),
        "threads": len(os.listdir(f"/proc/{load.pid}/task")),
        "processes": len(pids),
        "own MB": sum(fields(pid, "status").get("RssAnon", 0) for pid in pids) / 1e6,
        "log bytes": (folder / "log").stat().st_size,
        "temporary files": sum(path.is_file() for path in (folder / "temporary").rglob("*")),
        "library MB": sum(library) / 1e6,
        "what failed": load.failed.most_common(1)[0][0] if load.failed else None,
    }
