"""Requests that never get as far as their headers: the server answers others, and logs little."""

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.retrieval.small import paint_many
from tests.torture.server import Served, index, serving
from tests.torture.tally import Tally

DESCRIPTORS = 256  # that the server may have
MOST_LOG = 100_000  # bytes
PATIENCE = 30.0  # seconds until it has to answer again

KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "nothing at all": lambda chance: b"",
    "half a header": lambda chance: (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Half: " + b"x" * chance.randrange(100)
    ),
    "many short headers": lambda chance: (
        b"GET / HTTP/1.1\r\n"
        + b"".join(b"X-%d: %d\r\n" % (each, each) for each in range(chance.randrange(2_000)))
    ),
    "a header without end": lambda chance: b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 20),
    "no HTTP": lambda chance: chance.randbytes(chance.randrange(1, 2_000)),
    "a body that is not sent": lambda chance: (
        b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\n"
        b"X-Retrieve: 1\r\nContent-Length: 1000000\r\n\r\nsome"
    ),
}


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    prepare(folder, seed)
    for kind in KINDS:
        tally = Tally(f"connections: {kind}")
        flood_once(folder, kind, seed, 300 if quick else 1_500, 1.0 if quick else 15.0, tally)
        yield tally


def prepare(folder: Path, seed: int) -> None:
    """The library of the server."""
    paint_many(folder / "photos", 4, first=seed)
    index(folder / "photos", folder / "library")


def flood_once(
    folder: Path, kind: str, seed: int, connections: int, seconds: float, tally: Tally
) -> None:
    """So many connections, all of them kept open until it was asked meanwhile."""
    chance = random.Random(f"{seed} {kind}")
    with serving(folder / "library", folder / "log", DESCRIPTORS) as served:
        served.ask("api/status")
        with ExitStack() as held:
            for number in range(connections):
                tally.tried += open_one(served, KINDS[kind](chance), held)
                if number % 100 == 99:
                    time.sleep(seconds * 100 / connections)
            try:
                served.ask("api/status", timeout=PATIENCE)
                during = "answers meanwhile"
            except OSError as error:
                during = f"meanwhile {error.__class__.__name__}"
        answers_again(served, tally)
        size = served.log.stat().st_size
        tally.note = f"{during}, {size:,} bytes of log"
        tally.expect(size <= MOST_LOG, f"{tally.fault}: {size:,} bytes of log")


def open_one(served: Served, sent: bytes, held: ExitStack) -> bool:
    """Whether there was a connection; it is kept open."""
    connection = held.enter_context(socket.socket())
    connection.settimeout(0.5)
    try:
        connection.connect(("127.0.0.1", served.port))
    except OSError:
        return False
    with suppress(OSError):  # closed by the server, as it may
        connection.sendall(sent)
    return True


def answers_again(served: Served, tally: Tally) -> None:
    """To somebody who asks for words, once the others are gone."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            found = served.ask("api/search?q=red", timeout=PATIENCE)
            return tally.expect(len(found["matches"]) == 4, f"{tally.fault}: other answers")
        except OSError as error:
            if time.monotonic() > until or served.process.poll() is not None:
                ended = served.process.poll()
                return tally.lost.append(f"{tally.fault}: {error}; it ended with {ended}")
            time.sleep(0.2)
