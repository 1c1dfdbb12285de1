"""A writer in a process of its own, from outside: this one spends little on a transaction."""

import pickle
import subprocess

from retrieval.catalog.reading import Catalog
from retrieval.decoding.ring import messages
from retrieval.decoding.worker import PIPE_ERRORS, Processes, WorkersFailed, end, handshake
from retrieval.indexing.recorder import Commit
from retrieval.indexing.recording.writer_process import packed

PROGRAM = "retrieval.indexing.recording.writer_process"
ATTEMPTS = 2  # to write a commit: writing it again changes nothing


class RemoteWriter:
    """Writes each commit at once, in another process, started for the first one."""

    def __init__(self, catalog: Catalog) -> None:
        self._place = catalog.database.place
        self._processes = Processes()
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, commit: Commit) -> None:
        """Raises what the catalog raises, and WorkersFailed if the process keeps ending."""
        data = pickle.dumps(packed(commit), pickle.HIGHEST_PROTOCOL)
        for _ in range(ATTEMPTS):
            try:
                error = self._answer(data)
            except PIPE_ERRORS:
                how = self._end()
            else:
                if error:
                    raise error
                return
        raise WorkersFailed(f"the process that writes to the library ended ({how}); try again")

    def close(self) -> None:
        self._processes.kill_all()
        self._end()

    def _answer(self, data: bytes) -> Exception | None:
        if self._process is None:
            self._process = self._processes.start(PROGRAM)
            data = handshake(self._place) + data
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(data)
        self._process.stdin.flush()
        answer: Exception | None = messages.read(self._process.stdout)
        return answer

    def _end(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return ""
        how = end(process)
        self._processes.ended(process)
        return how
