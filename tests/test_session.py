"""A session of tests that a shell started in the background, and one with a test that hangs."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
INNER = "RETRIEVE_INNER_SESSION"  # set in a session that is started by a test
WORKERS = pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])


def session(tests: str, *options: str, ignoring: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a session of its own, with these signals ignored.

    Its temporary folders are its own too: sessions that share them clear up after each other.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _session(tests, *options, "--basetemp", folder, ignoring=ignoring)


def _session(tests: str, *options: str, ignoring: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c"]
    command += [str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), *options, tests]
    shell = ["sh", "-c", f'trap "" {ignoring}; exec "$0" "$@"'] if ignoring else []
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    # Of all installed plugins only these: importing the others takes seconds.
    own |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_timeout,xdist.plugin"}
    return subprocess.run(
        [*shell, *command], env={**own, INNER: "1"}, cwd=ROOT, capture_output=True, text=True
    )


@POSIX
@WORKERS
def test_children_hear_ctrl_c_where_the_shell_ignores_it(workers: list[str]) -> None:
    name = test_a_child_is_ended_by_signals.__name__
    ran = session(f"{__file__}::{name}", *workers, ignoring="INT QUIT")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.skipif(INNER not in os.environ, reason="for the session that a test starts")
@pytest.mark.parametrize("number", [signal.SIGINT, getattr(signal, "SIGQUIT", signal.SIGINT)])
def test_a_child_is_ended_by_signals(number: signal.Signals) -> None:
    child = "import time; print('ready', flush=True); time.sleep(100)"
    with subprocess.Popen(
        [sys.executable, "-c", child], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        try:
            assert process.wait(timeout=20) == -number
        finally:
            process.kill()


@WORKERS
def test_a_test_that_hangs_is_named(workers: list[str]) -> None:
    name = test_that_hangs.__name__
    ran = session(f"{__file__}::{name}", *workers, "-o", "timeout=0.5")
    assert ran.returncode == 1 and f"FAILED tests/test_session.py::{name}" in ran.stdout, ran
    assert "Timeout" in ran.stdout


@pytest.mark.skipif(INNER not in os.environ, reason="for the session that a test starts")
def test_that_hangs() -> None:
    time.sleep(100)


def test_every_test_has_a_limit(request: pytest.FixtureRequest) -> None:
    assert 0 < float(request.config.getini("timeout")) <= 300
