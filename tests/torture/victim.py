"""A `retrieve` process that is to be killed: the real one, with a small encoder in place of torch.

    python -m tests.torture.victim JSON ARGUMENT...

JSON: {"log": a file that gets a line for each batch that was encoded, "stage": where to be killed,
"count": the how-manieth time it comes by there, "delay": how many seconds later, "future": whether
it is a later version that migrates the catalog, "file_size": the most bytes of a file}.
"""

import importlib
import json
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STAGES = (
    "scan",  # a folder is listed
    "decode",  # a file goes to a worker
    "encode",  # a batch is encoded
    "commit",  # a batch is committed
    "prune",  # what vanished is dropped
    "finish",  # between the last commit and the index file
    "write",  # the index file is written
    "replace",  # the index file takes the place of the old one
    "replaced",  # … has just taken it
    "migrate",  # the catalog is brought to a new version
    "backfill",  # known pictures are encoded by another model
    "switch",  # another model takes over
    "switched",  # … has just taken over
)
ENCODING = 0.01  # seconds a batch


class Killer:
    """Kills this very process, some time after the nth time that it comes by a stage."""

    def __init__(self, stage: str, count: int, delay: float) -> None:
        self._stage, self._left, self._delay = stage, count, delay

    def at(self, stage: str) -> None:
        if not stage or stage != self._stage:
            return
        self._left -= 1
        if self._left:
            return
        if not self._delay:
            die()
        threading.Timer(self._delay, die).start()

    def around(self, module: str, name: str, before: str = "", after: str = "") -> None:
        """Pass by stages before and after each call of a function."""
        place, _, holder = module.partition(":")
        owner: Any = importlib.import_module(place)
        owner = getattr(owner, holder) if holder else owner
        original: Callable[..., Any] = getattr(owner, name)

        def passing(*args: Any, **kwargs: Any) -> Any:
            self.at(before)
            result = original(*args, **kwargs)
            self.at(after)
            return result

        setattr(owner, name, passing)

    def along(self, module: str, name: str, stage: str) -> None:
        """Pass by a stage with every value of a generator."""
        owner = importlib.import_module(module)
        original: Callable[..., Iterator[Any]] = getattr(owner, name)

        def passing(*args: Any, **kwargs: Any) -> Iterator[Any]:
            for value in original(*args, **kwargs):
                self.at(stage)
                yield value

        setattr(owner, name, passing)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def place(killer: Killer) -> None:
    killer.along("retrieval.indexing.changes", "scan", "scan")
    killer.along("retrieval.indexing.backfill", "reread", "backfill")
    killer.around("retrieval.decoding.ring.pool:RingPool", "submit", before="decode")
    killer.around("retrieval.catalog.writing", "record", before="commit")
    killer.around("retrieval.catalog.writing", "remove_files", before="prune")
    killer.around("retrieval.catalog.writing", "sweep", after="prune")
    killer.around("retrieval.catalog.writing", "switch_model", before="switch", after="switched")
    killer.around("retrieval.indexing.run:IndexRun", "_finish", before="finish")
    killer.around("retrieval.vectors.index_file", "refresh", before="finish")
    killer.around("indexes.builder", "write_flat", before="write", after="write")
    killer.around("indexes.builder", "finish_flat", after="write")
    killer.around("tests.torture.library", "step", before="migrate")
    builder = importlib.import_module("indexes.builder")
    builder.os = types.SimpleNamespace(**vars(os))  # its own, for the one call
    killer.around("indexes.builder:os", "replace", before="replace", after="replaced")


def put_small_encoder(log: Path, killer: Killer) -> None:
    """In place of the towers: what it encoded is in the log before anybody knows of it."""
    from retrieval.vectors.hubness import QueryBank
    from tests.retrieval.small import SmallEncoder, small_query_bank

    class Encoder(SmallEncoder):
        def __init__(self, folder: object, **options: object) -> None:
            super().__init__()

        def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            killer.at("encode")
            time.sleep(ENCODING)
            vectors = super().encode(pixels)
            with log.open("a") as file:
                file.write(f"{len(pixels)}\n")
            return vectors

    for name, encoder in (
        ("numpy_backend.image_encoder", "NumpyImageEncoder"),
        ("torch_backend.image_encoder", "ImageEncoder"),
    ):
        sys.modules[f"clipmodel.{name}"] = module = types.ModuleType(name)
        setattr(module, encoder, Encoder)
    QueryBank.of = lambda model: small_query_bank()  # type: ignore[method-assign]


def main() -> None:
    told = json.loads(sys.argv[1])
    from retrieval.cli.main import cli
    from retrieval.models import encoders
    from tests.torture.library import of_the_future

    killer = Killer(told.get("stage", ""), told.get("count", 1), told.get("delay", 0.0))
    put_small_encoder(Path(told["log"]), killer)
    place(killer)
    if told.get("many"):
        encoders.MAX_IN_NUMPY = 0  # no pictures are few
    if told.get("file_size"):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (told["file_size"],) * 2)
    print("ready", flush=True)
    with of_the_future() if told.get("future") else nullcontext():
        cli(sys.argv[2:], prog_name="retrieve")


if __name__ == "__main__":
    main()
