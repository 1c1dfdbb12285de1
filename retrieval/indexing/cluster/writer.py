"""The writer of a catalog that many processes may write to: transactions on the nodes.

This machine sends the rows of a commit to a process on a node, and goes on. A commit that was lost
with its process is written again, which changes nothing if it had arrived.
"""

from typing import Any

from retrieval.catalog.reading import Catalog
from retrieval.errors import ClusterUnavailable
from retrieval.indexing.cluster.crew import raise_cause
from retrieval.indexing.cluster.placement import nodes_of
from retrieval.indexing.cluster.pool import ClusterPool
from retrieval.indexing.cluster.session import RaySession
from retrieval.indexing.recorder import CatalogWriter, Commit

MAX_PROCESSES = 4  # that write at a time, one on a node
COMMITS_EACH = 2  # that one has in hand: one in its transaction, one to go on with
MAX_LOSSES = 5  # of processes in a row, until the run gives up


class RowWriter:
    """Writes commits, on a node."""

    def __init__(self, place: Any) -> None:
        """place: of the catalog, as `Catalog.open` takes it."""
        self._place = place
        self._writer: CatalogWriter | None = None

    def write(self, commit: Commit) -> None:
        if self._writer is None:
            self._writer = CatalogWriter(Catalog.open(self._place))
        self._writer.write(commit)
        self._writer.written()


class ClusterWriter:
    """Writes through processes on the nodes once the pool is connected to them."""

    def __init__(self, pool: ClusterPool, catalog: Catalog) -> None:
        self._pool = pool
        self._place = catalog.database.place
        self._here = CatalogWriter(catalog)
        self._processes: list[Any] = []
        self._sent: dict[Any, tuple[Commit, Any]] = {}  # by Ray's reference; and the process
        self._written: list[Commit] = []
        self._losses = 0
        pool.at_close(self._dismiss)

    def write(self, commit: Commit) -> None:
        if (session := self._pool.session) is None:  # nothing had to be decoded
            self._here.write(commit)
            return
        if not self._processes:
            count = min(MAX_PROCESSES, len(nodes_of(session.ray.nodes())))
            self._processes = [self._start(session) for _ in range(count)]
        while len(self._sent) >= COMMITS_EACH * len(self._processes):
            self._wait(session, None)
        self._send(commit)

    def wait(self) -> None:
        if session := self._pool.session:
            while self._sent:
                self._wait(session, None)

    def written(self) -> list[Commit]:
        if session := self._pool.session:
            while self._sent and self._wait(session, 0.0):
                pass
        written, self._written = self._written, []
        return written + self._here.written()

    def close(self) -> None:
        """Do nothing: the session ends the processes."""

    def _start(self, session: RaySession) -> Any:
        options = {"num_cpus": 0, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        return session.ray.remote(RowWriter).options(**options).remote(self._place)

    def _dismiss(self) -> None:
        """End the processes, which would outlive a run on a connection that was there before."""
        if session := self._pool.session:
            for process in self._processes:
                session.ray.kill(process)
        self._processes, self._sent = [], {}

    def _send(self, commit: Commit) -> None:
        busy = [process for _, process in self._sent.values()]
        process = min(self._processes, key=busy.count)
        self._sent[process.write.remote(commit)] = commit, process

    def _wait(self, session: RaySession, seconds: float | None) -> bool:
        """Take what is written; return whether anything came. seconds: None: wait until it does."""
        ray = session.ray
        done, _ = ray.wait(list(self._sent), num_returns=1, timeout=seconds)
        for reference in done:
            commit, process = self._sent.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise_cause(error)
            except ray.exceptions.RayError as error:
                self._replace(session, process, error)
                self._send(commit)
            else:
                self._losses = 0
                self._written.append(commit)
        return bool(done)

    def _replace(self, session: RaySession, process: Any, error: Exception) -> None:
        """Start a process in place of one that died, unless that has been done."""
        if process not in self._processes:
            return
        self._losses += 1
        if self._losses > MAX_LOSSES:
            raise ClusterUnavailable(
                "the processes that write to the library keep dying"
            ) from error
        self._processes[self._processes.index(process)] = self._start(session)
