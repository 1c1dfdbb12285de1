"""A file comes into memory, and whatever it is, nothing fails."""

import errno
import os
from pathlib import Path

import pytest

from indexes.read_ahead import in_memory, read_ahead

SIZE = 8 << 20  # bytes


def is_there(path: Path) -> bool:
    with path.open("rb") as file:
        return in_memory(file.fileno())


@pytest.fixture
def dropped(tmp_path: Path) -> Path:
    """A file whose pages the system was asked to forget; skips where it does not."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE))
    if not is_there(path):
        pytest.skip("the system does not tell what is in memory")
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if is_there(path):
        pytest.skip("the system keeps what it was asked to forget")
    return path


def test_it_is_in_memory_when_the_thread_ends(dropped: Path) -> None:
    read_ahead(dropped).join()
    assert is_there(dropped)


def test_a_part_and_a_file_too_large_to_be_swept(
    dropped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexes.read_ahead.MAX_SWEPT_BYTES", SIZE // 4)
    read_ahead(dropped).join()
    assert not is_there(dropped)
    read_ahead(dropped, SIZE - SIZE // 4).join()
    with dropped.open("rb") as file:
        assert in_memory(file.fileno(), SIZE - SIZE // 4)
        assert not in_memory(file.fileno())


def test_so_it_is_where_the_system_cannot_pass_it_on(
    dropped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "sendfile", refuses, raising=False)
    read_ahead(dropped).join()
    assert is_there(dropped)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("name", ["gone", "folder", "pipe", "zeros"])
def test_what_is_no_file_is_no_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "zeros").symlink_to("/dev/zero")
    thread = read_ahead(tmp_path / name)
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_a_file_that_is_being_read_is_not_read_twice(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    with path.open("wb") as file:
        file.truncate(1 << 29)  # a hole, which takes a while
    link.symlink_to(path)
    first = read_ahead(path)
    again = read_ahead(link)
    assert again is first or not first.is_alive()
    first.join()
