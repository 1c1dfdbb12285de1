"""The connection to a Ray cluster, which is quiet, and ends when the run does."""

import logging
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from retrieval.decoding.pool import default_workers
from retrieval.errors import ClusterUnavailable

STANDARD_ERROR = 2  # a number, as C++ has it
LOCAL, AUTO = "local", "auto"
CONNECT_SECONDS = 5.0  # until a head node counts as unreachable; Ray itself tries for minutes
STORE_BYTES = 2 << 30  # most of memory for the pixels of a cluster on this machine
STORE_FRACTION = 0.2  # of what is free in /dev/shm, or of the memory
MIN_STORE_BYTES = 100 << 20
MAX_FOLDER_LENGTH = 30
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # an actor without a GPU leaves the variable alone
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # of Ray's C++ code, which writes to standard error
    "RAY_worker_niceness": "0",  # of a cluster on this machine; else 15: last behind all others
}


def ray_module() -> Any:
    """Import Ray. Raises ClusterUnavailable if it is not installed."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of its own future
            import ray
    except ImportError as error:
        said = 'Ray is not installed; run `pip install ".[cluster]"`'
        raise ClusterUnavailable(said) from error
    return ray


class RaySession:
    """A connection to a cluster. Without `close`, it ends with this process."""

    def __init__(self, address: str) -> None:
        """address: as in `Cluster`. Raises ClusterUnavailable."""
        self._folder: str | None = None  # of the processes of a cluster on this machine
        self.ray = ray_module()
        self._was_connected = self.ray.is_initialized()
        if self._was_connected:
            return
        with _quietly():
            if address == LOCAL:
                self._start()
            else:
                self._connect(address)

    def close(self) -> None:
        """Leave the cluster; end it if this connection started it."""
        if not self._was_connected:
            self.ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        self._folder = _own_folder()
        try:
            self.ray.init(
                address=LOCAL,
                num_cpus=default_workers(),
                object_store_memory=_store_bytes(),
                include_dashboard=False,
                _temp_dir=self._folder,
                **_silent(),
            )
        except Exception as error:
            self.close()
            raise ClusterUnavailable(f"cannot start Ray on this machine: {error}") from error

    def _connect(self, address: str) -> None:
        said = f"cannot reach the Ray cluster at {address}"
        _check_reachable(address, said)
        try:
            self.ray.init(address=address, **_silent())
        except Exception as error:
            remedy = "start it with `ray start --head`, or leave the address out"
            raise ClusterUnavailable(f"{said}; {remedy}") from error


def _silent() -> dict[str, Any]:
    return {
        "log_to_driver": False,
        "configure_logging": False,
        "logging_level": logging.CRITICAL,
        "ignore_reinit_error": True,
    }


def _print_nothing(*_: object, **__: object) -> None:
    """Take the place of Ray's function that prints to standard output."""


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the notes of Ray's start, in Python and in C++, from the terminal."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    with suppress(ImportError):  # it prints what it hears of processes that died
        from ray._private import worker

        worker.print_to_stdstream = _print_nothing
    nowhere, terminal = os.open(os.devnull, os.O_WRONLY), os.dup(STANDARD_ERROR)
    os.dup2(nowhere, STANDARD_ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(terminal, STANDARD_ERROR)
        os.close(nowhere)
        os.close(terminal)


def _check_reachable(address: str, said: str) -> None:
    """Raise ClusterUnavailable at once for an address where nothing listens."""
    if address == AUTO:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS):
            pass
    except OSError as error:
        raise ClusterUnavailable(f"{said}: {error.strerror or error}") from error


def _store_bytes() -> int:
    """Return the size of the object store of a cluster on this machine."""
    shared = "/dev/shm"  # noqa: S108
    free = shutil.disk_usage(shared if os.path.isdir(shared) else tempfile.gettempdir()).free
    return max(MIN_STORE_BYTES, min(STORE_BYTES, int(STORE_FRACTION * free)))


def _own_folder() -> str | None:
    """Make a folder for the processes of a cluster on this machine, unless its path is too long for
    sockets; then Ray uses its default.
    """
    if len(tempfile.gettempdir()) > MAX_FOLDER_LENGTH:
        return None
    return tempfile.mkdtemp(prefix="ray-")
