"""The Milvus clients of this process, one for each address, and Milvus's errors as one line."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipmodel.pools import Lock
from retrieval.errors import VectorsUnavailable
from retrieval.vectors.milvus.address import TOKEN_VARIABLES, MilvusAddress

if TYPE_CHECKING:
    from pymilvus import MilvusClient

CONNECT_SECONDS = 5.0
CALL_SECONDS = 60.0  # that one call may take: a search, a listing
WRITE_SECONDS = 600.0  # that a write may take: Milvus Lite may flush and index within it
DOWN_SECONDS = 10.0  # that a Milvus counts as down after it could not be reached
OLDEST = (2, 5)  # the first server whose fields may be null
INSTALL = 'pip install ".[cluster]"'


@dataclass
class Shared:
    """A client, the process that opened it, and how many stores use it."""

    client: "MilvusClient"
    process: int
    users: int = 0


_lock = Lock()
_shared: dict[MilvusAddress, Shared] = {}
_down: dict[MilvusAddress, tuple[float, str]] = {}  # until when, and why


def connect(address: MilvusAddress) -> "MilvusClient":
    """Return a client, for a user who calls `release` in the end. Raises VectorsUnavailable.

    A process that was forked from one with a client does not get it: gRPC has no threads there.
    """
    with _lock:
        held = _shared.get(address)
        if held is not None and held.process != os.getpid():
            raise VectorsUnavailable(f"{address.shown} was opened before this process was forked")
        if held is None:
            until, why = _down.get(address, (0.0, ""))
            if time.monotonic() < until:
                raise VectorsUnavailable(why)
            try:
                held = _shared[address] = Shared(_opened(address), os.getpid())
            except VectorsUnavailable as error:
                _down[address] = time.monotonic() + DOWN_SECONDS, str(error)
                raise
            _down.pop(address, None)
        held.users += 1
        return held.client


def release(address: MilvusAddress) -> None:
    """Close the client of an address after its last user; a Milvus Lite lets go of its file."""
    with _lock:
        held = _shared.get(address)
        if held is None or held.process != os.getpid():
            return
        held.users -= 1
        if held.users > 0:
            return
        del _shared[address]
        with suppress(Exception):  # it may be down
            held.client.close()
        if address.is_lite:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(address.uri)


@contextmanager
def explained(address: MilvusAddress) -> Iterator[None]:
    """Turn Milvus's errors into VectorsUnavailable with one line."""
    import grpc
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, grpc.RpcError, grpc.FutureTimeoutError) as error:
        said = str(getattr(error, "message", "") or error).strip() or type(error).__name__
        line = said.splitlines()[0][:200]
        raise VectorsUnavailable(f"Milvus at {address.shown} failed: {line}") from error


def _opened(address: MilvusAddress) -> "MilvusClient":
    try:
        import grpc
        import pymilvus
        from pymilvus.exceptions import MilvusException

        if address.is_lite:
            import milvus_lite.server_manager  # noqa: F401  # pymilvus would import it later
    except ImportError as error:
        raise VectorsUnavailable(f"Milvus needs packages that are missing: {INSTALL}") from error
    # They print tracebacks of errors that they raise, or that a Milvus Lite here answers with.
    for name in ("pymilvus", "milvus_lite", *(("grpc._server",) if address.is_lite else ())):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if address.is_lite:
        os.makedirs(os.path.dirname(address.uri), exist_ok=True)
    try:
        client = pymilvus.MilvusClient(
            uri=address.uri,
            token=address.token,
            db_name=address.database,
            timeout=CONNECT_SECONDS,
            grpc_options={"grpc.enable_http_proxy": 0} if address.is_lite else {},
        )
        version = "" if address.is_lite else client.get_server_version(timeout=CONNECT_SECONDS)
    except (MilvusException, grpc.RpcError, grpc.FutureTimeoutError, OSError) as error:
        raise VectorsUnavailable(_why(address, error)) from error
    if (numbers := _numbers(version)) and numbers < OLDEST:
        raise VectorsUnavailable(
            f"Milvus at {address.shown} has version {version}; it must be 2.5 or newer"
        )
    return client


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.removeprefix("v").split(".")
    return tuple(int(part) for part in parts[:2]) if all(p.isdigit() for p in parts[:2]) else ()


def _why(address: MilvusAddress, error: Exception) -> str:
    if address.is_lite:
        return (
            f"cannot open {address.shown}: another program may have it open, and Milvus Lite "
            "serves one at a time"
        )
    if "auth" in str(error).lower():
        return (
            f"Milvus at {address.shown} refused the login; set {TOKEN_VARIABLES[0]}=USER:PASSWORD"
        )
    return f"cannot reach Milvus at {address.shown}; is it running?"
