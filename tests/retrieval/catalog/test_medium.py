"""Libraries on file systems that lack something: locks, or memory that processes share."""

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.catalog.lock import HOLDER, LOCK, write_lock
from retrieval.locate import FILE_NAME
from tests.retrieval.conftest import Models, paint

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and FUSE")


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (gcc := shutil.which("gcc")):
        pytest.skip("no gcc")
    library = tmp_path_factory.mktemp("shim") / "no_locks.so"
    source = Path(__file__).with_name("no_locks.c")
    subprocess.run([gcc, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


class Mount:
    """A folder on a file system that answers so when a file is to be locked."""

    def __init__(self, folder: Path, shim: Path, **answers: int) -> None:
        numbers = {f"{name.upper()}_ERRNO": str(number) for name, number in answers.items()}
        self.folder = folder
        self.environment = {"LD_PRELOAD": str(shim), "NO_LOCKS_IN": str(folder), **numbers}

    def retrieve(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        return retrieve("--library", self.folder, *arguments, more=self.environment)


def retrieve(
    *arguments: object, more: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "retrieval.cli.main", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(more or {})},
        capture_output=True,
        text=True,
    )


NO_FLOCK = [{"flock": errno.ENOSYS}, {"flock": errno.ENOLCK}, {"flock": errno.EOPNOTSUPP}]
NO_LOCKS = [
    {"flock": errno.ENOSYS, "fcntl": errno.ENOLCK},
    {"flock": errno.ENOLCK, "fcntl": errno.ENOLCK},
    {"fcntl": errno.ENOSYS},
    {"flock": errno.EOPNOTSUPP, "fcntl": errno.EOPNOTSUPP},
]


@pytest.mark.parametrize("answers", NO_FLOCK, ids=str)
def test_without_flock_a_file_stands_for_the_lock(
    photos: Path, tmp_path: Path, shim: Path, answers: dict[str, int]
) -> None:
    mount = Mount(tmp_path / "library", shim, **answers)
    done = mount.retrieve("index", photos)
    assert "12 new" in done.stdout and done.stderr == ""
    assert mount.retrieve("search", "red", "--paths").stdout.count("\n") == 10
    (mount.folder / LOCK).write_text("")  # left from better days
    assert mount.retrieve("index").returncode == 0
    assert mount.retrieve("forget", photos).stdout == "removed 14 files from the library\n"


HOLDING = """
import sys, time
from pathlib import Path
from retrieval.catalog.lock import write_lock
with write_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def holding(folder: Path, more: Mapping[str, str]) -> "subprocess.Popen[str]":
    """A process that writes, in no hurry."""
    command = [sys.executable, "-c", HOLDING, str(folder)]
    environment = {**os.environ, **more}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("has_locks", [False, True], ids=["same mount", "another with locks"])
def test_one_writes_at_a_time_and_who_is_dead_is_succeeded(
    indexed: Path, shim: Path, has_locks: bool
) -> None:
    """Whichever of the mounts of a folder they use."""
    mount = Mount(indexed / ".retrieve", shim, flock=errno.ENOSYS)
    with holding(mount.folder, {} if has_locks else mount.environment) as holder:
        refused = mount.retrieve("index")
        assert refused.returncode == 1 and f"by process {holder.pid}" in refused.stderr
        if not has_locks:
            also = retrieve("--library", mount.folder, "index")
            assert also.returncode == 1 and f"by process {holder.pid}" in also.stderr
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert mount.retrieve("index").returncode == 0
    assert retrieve("--library", mount.folder, "index").returncode == 0
    left = {path.name for path in mount.folder.iterdir()}
    assert not {name for name in left if ".mark" in name or HOLDER in name}


def test_a_writer_on_another_machine_is_named_with_what_to_do(indexed: Path, shim: Path) -> None:
    mount = Mount(indexed / ".retrieve", shim, flock=errno.ENOSYS)
    mark = mount.folder / "write.mark"
    mark.write_text("123\nelsewhere\n")
    for refused in (mount.retrieve("index"), retrieve("--library", mount.folder, "index")):
        said = f"by process 123 on elsewhere; if that process is gone, remove {mark}"
        assert said in refused.stderr
    mark.unlink()
    holder = {"pid": 123, "host": "elsewhere", "since": "yesterday", "brief": False}
    (mount.folder / HOLDER).write_text(json.dumps(holder))
    refused = mount.retrieve("index")
    assert "process 123 on elsewhere since yesterday" in refused.stderr
    assert f"remove {mount.folder / HOLDER}" in refused.stderr
    with write_lock(mount.folder):  # where there are locks, nobody can hold it any more
        pass


@pytest.mark.parametrize("answers", NO_LOCKS, ids=str)
def test_without_any_locks_a_library_is_refused_but_one_that_is_there_is_read(
    indexed: Path, tmp_path: Path, shim: Path, answers: dict[str, int]
) -> None:
    told = "no locks, so it cannot hold a library; keep the library elsewhere: --library DIR"
    mount = Mount(tmp_path / "new", shim, **answers)
    refused = mount.retrieve("index", indexed)
    assert refused.returncode == 1 and told in refused.stderr
    assert not (mount.folder / FILE_NAME).exists()
    mount = Mount(indexed / ".retrieve", shim, **answers)
    assert mount.retrieve("search", "red", "--paths").stdout.count("\n") == 10
    paint(tmp_path / "more" / "new.png", "red", 99)
    for command in (["index", tmp_path / "more"], ["forget", indexed]):
        refused = mount.retrieve(*command)
        assert refused.returncode == 1 and told in refused.stderr


@pytest.fixture
def no_shared_memory(tmp_path: Path) -> Iterator[Path]:
    """A real mount, on which no file can be mapped for several processes."""
    (below := tmp_path / "below").mkdir()
    (mount := tmp_path / "mount").mkdir()
    tools = [shutil.which(name) for name in ("bindfs", "fusermount")]
    if not all(tools):
        pytest.skip("no bindfs")
    if subprocess.run(["bindfs", "-o", "direct_io", below, mount], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield mount
    finally:
        subprocess.run(["fusermount", "-uz", mount], check=True)


def journal_of(folder: Path) -> str:
    with closing(sqlite3.connect(f"file:{folder / FILE_NAME}?immutable=1", uri=True)) as held:
        return str(held.execute("PRAGMA journal_mode").fetchone()[0])


def test_without_shared_memory_there_is_another_journal(
    photos: Path, no_shared_memory: Path
) -> None:
    new = no_shared_memory / "new"
    assert "12 new" in retrieve("--library", new, "index", photos).stdout
    assert retrieve("--library", new, "search", "red", "--paths").stdout.count("\n") == 10
    assert retrieve("--library", new, "check").returncode == 0
    with closing(sqlite3.connect(new / FILE_NAME)) as held:
        assert held.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    home = shutil.copytree(new, photos.parent / "back")
    assert retrieve("--library", home, "status").returncode == 0
    with closing(sqlite3.connect(home / FILE_NAME)) as held:
        assert held.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_library_with_a_wal_can_be_carried_there(indexed: Path, no_shared_memory: Path) -> None:
    killed = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
        c.execute('UPDATE images SET width = 7'); c.commit(); os._exit(0)"
    catalog = indexed / ".retrieve" / FILE_NAME
    subprocess.run([sys.executable, "-c", killed, catalog], check=True)
    carried = shutil.copytree(indexed / ".retrieve", no_shared_memory / "carried")
    found = retrieve("--library", carried, "search", "red", "--json")
    assert {match["width"] for match in json.loads(found.stdout)} == {7}, found.stderr


def test_weights_need_no_shared_memory(
    photos: Path, models: Models, no_shared_memory: Path
) -> None:
    """NumPy's towers, and torch's."""
    weights = shutil.copytree(models.small, no_shared_memory / "small")
    library = no_shared_memory / "library"
    index = ["--library", library, "index", photos, "--model", weights, "--device", "cpu"]
    done = retrieve(*index)
    assert "12 new" in done.stdout, done.stderr
    assert retrieve("--library", library, "search", "red", "--paths").stdout.count("\n") == 10


LOCKING = """
import sys
from pathlib import Path
from filelock import Timeout
from clipmodel.hub.file_lock import acquired
try:
    lock = acquired(Path(sys.argv[1]), 0)
except Timeout:
    sys.exit("held")
print("acquired", flush=True)
sys.stdin.readline()
lock.release()
"""


def test_models_are_made_by_one_process_at_a_time_there_too(tmp_path: Path, shim: Path) -> None:
    mount = Mount(tmp_path, shim, flock=errno.ENOLCK)
    environment, pipe = {**os.environ, **mount.environment}, subprocess.PIPE
    command = [sys.executable, "-c", LOCKING, str(tmp_path / "model.lock")]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "acquired\n"
        other = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert (other.returncode, other.stderr) == (1, "held\n")
        holder.kill()
    after = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, input=b"\n")
    assert after.stdout == b"acquired\n"
    assert not (tmp_path / "model.mark").exists()
