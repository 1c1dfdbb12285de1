"""Runs that wait for a picture that a server does not send: they end when they are told to."""

import signal
import subprocess
import sys
from pathlib import Path

from retrieval.catalog.reading import Catalog
from retrieval.indexing.run import index
from retrieval.indexing.targets import named
from retrieval.records import Progress, Summary
from retrieval.sources.web import guest
from tests import interrupts
from tests.retrieval.small import SmallEncoder, small_model
from tests.retrieval.sources import test_index_pages as pages
from tests.retrieval.sources.test_index_pages import LONG, Photos, Server

photos = pages.photos  # the fixture

PATIENT = """
from retrieval.sources.web import guest
guest.SECONDS = 600.0
from retrieval.cli.main import cli
cli()
"""


def test_ctrl_c_waits_for_no_picture(photos: Photos, home: Path) -> None:
    command = ["index", f"{photos.host}/stalls", "--allow-private", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", PATIENT, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=interrupts.hear,
    )
    while "GET /stalls/1.png" not in Server.asked:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LONG / 2)
    assert process.returncode == 130 and b"Traceback" not in out


def test_a_run_that_waits_for_a_picture_can_be_stopped(catalog: Catalog, photos: Photos) -> None:
    """A server stops its run so: between two steps."""
    at = [f"{photos.host}/stalls"]
    paths = named(catalog, at, (), ["allow_private=true"])
    steps = index(catalog, paths, small_model(), SmallEncoder, workers=1)
    guest.visitor(guest.PER_HOST, True)._seconds = 2 * LONG
    for _ in steps:
        if "GET /stalls/1.png" in Server.asked:
            break
    assert isinstance(next(steps), Progress)  # though nothing has come
    summary = steps.throw(KeyboardInterrupt())
    assert isinstance(summary, Summary) and summary.interrupted
