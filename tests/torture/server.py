"""`retrieve serve` as a process of its own, and a way to ask it."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # to this machine directly


@dataclass(frozen=True)
class Served:
    """A server that answers; `secret` is what its address carries, if it does."""

    process: "subprocess.Popen[str]"
    log: Path
    port: int
    secret: str

    def ask(self, path: str, timeout: float = 60.0) -> Any:
        """Return the JSON of an answer. Raises OSError."""
        headers = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", headers=headers)
        with OPENER.open(request, timeout=timeout) as answer:
            return json.load(answer)


def index(photos: Path, library: Path) -> None:
    """By the command, with the bundled model."""
    run = ["index", str(photos), "--model", "tiny", "--library", str(library)]
    subprocess.run(retrieve(*run), env=environment(), check=True, capture_output=True)


@contextmanager
def serving(library: Path, log: Path, descriptors: int) -> Iterator[Served]:
    """A server that may open so many files, sockets among them."""
    command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$0" "$@"']
    command += retrieve("serve", "--port", "0", "--library", str(library))
    with (
        log.open("w") as said,
        subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        try:
            assert process.stdout
            first = process.stdout.readline()  # any others are few
            assert first, log.read_text()
            address, _, secret = first.split()[0].partition("?token=")
            yield Served(process, log, int(address.rstrip("/").rpartition(":")[2]), secret)
        finally:
            process.kill()
            process.wait()


def retrieve(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "retrieval.cli.main", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT)}
