"""The public face: what is indexed is found, whoever asks, and what goes wrong is said."""

import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval import (
    CatalogDamaged,
    Interrupted,
    InvalidQuery,
    Library,
    LibraryBusy,
    LibraryEmpty,
    LibraryNotFound,
    Match,
    ModelMismatch,
    ModelUnavailable,
    PathNotFound,
    Progress,
    UnreadablePicture,
)
from retrieval.catalog.lock import write_lock
from retrieval.locate import FILE_NAME, beside
from tests.retrieval.conftest import Models, paint

pytestmark = pytest.mark.usefixtures("home")


def opened(photos: Path) -> Library:
    return Library.open(beside(photos))


def names(matches: list[Match]) -> list[str]:
    return [f"{match.path.parent.name}/{match.path.name}" for match in matches]


def same(one: list[Match], other: list[Match]) -> bool:
    """The same pictures; FAISS and NumPy add up in different orders."""
    scores = ([match.score for match in matches] for matches in (one, other))
    return names(one) == names(other) and bool(np.allclose(*scores, atol=1e-5))


# -- indexing ------------------------------------------------------------------------------------


def test_index_and_index_again(photos: Path, models: Models) -> None:
    steps: list[Progress] = []
    with Library.open() as library:
        assert library.model is None
        first = library.index(photos, workers=0, progress=steps.append)
        assert (first.new, first.copied, first.failed, first.encoded) == (12, 1, 1, 12)
        assert steps[-1].done == steps[-1].total == 14
        assert library.model is not None and library.model.name == str(models.small)
        again = library.index(workers=0)
        assert (again.new, again.unchanged, again.encoded) == (0, 14, 0)
        status = library.status()
        assert (status.counts.files, status.counts.images, status.counts.failures) == (14, 12, 1)
        assert [root.path for root in status.roots] == [photos] and status.roots[0].is_present
        assert status.bytes > 10_000
        [failed] = library.failures()
        assert failed.path == photos / "notes.jpg" and failed.reason


def test_paths_in_every_form(photos: Path) -> None:
    with Library.open("library") as library:
        assert library.index("photos/large", workers=0).new == 6
        assert library.index([photos / "small", "~/photos/large"], workers=0).new == 6
        with pytest.raises(PathNotFound, match="nowhere"):
            library.index([photos, "nowhere"])


def test_nothing_is_made_for_nothing(home: Path) -> None:
    with Library.open("library") as library:
        with pytest.raises(PathNotFound, match="nowhere"):
            library.index("nowhere")
        with pytest.raises(PathNotFound, match="name a folder"):
            library.index()
        with pytest.raises(ModelUnavailable, match="no-such-model"):
            library.index(home, model="no-such-model")
    assert not Path("library").exists()


def test_an_interrupted_run_keeps_what_it_did(photos: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.encoded >= 4:
            raise KeyboardInterrupt

    with Library.open() as library:
        with pytest.raises(Interrupted) as caught:
            library.index(photos, workers=0, batch_size=4, progress=interrupt)
        assert not isinstance(caught.value, Exception)  # no `except Exception` goes on after it
        assert caught.value.summary.interrupted
        kept = caught.value.summary.encoded
        assert kept >= 4
        assert len(library.search("anything", 100)) == library.status().counts.embedded == kept
        assert library.index(workers=0).encoded == 12 - kept


def test_one_writer_at_a_time(indexed: Path) -> None:
    with opened(indexed) as library, write_lock(library.folder):
        for attempt in (library.index, lambda: library.forget(indexed)):
            with pytest.raises(LibraryBusy, match=str(os.getpid())):
                attempt()
        assert library.search("anything")


# -- searching -----------------------------------------------------------------------------------


def test_search_by_words(indexed: Path) -> None:
    with opened(indexed) as library:
        matches = library.search("a red car", 100)
        assert len(matches) == 12
        scores = [match.score for match in library.search("a red car", 100, rank="cosine")]
        assert scores == sorted(scores, reverse=True) and -1 <= min(scores) <= max(scores) <= 1
        assert names(library.search("a red car")) == names(matches[:10])
        assert names(library.search("a red car", 10**9)) == names(matches)
        copied = next(match for match in matches if len(match.image.paths) == 2)
        assert names([copied]) == ["large/red.png"]
        assert (copied.image.width, copied.image.height, copied.image.format) == (48, 36, "PNG")


def test_search_by_a_picture_that_is_known(indexed: Path) -> None:
    with opened(indexed) as library:
        for path in (indexed / "small" / "blue.png", Path("photos/small/../small/blue.png")):
            best = library.search(path)[0]
            assert names([best]) == ["small/blue.png"]
            assert best.score == pytest.approx(1, abs=1e-3)


def test_search_by_a_picture_that_is_not(indexed: Path) -> None:
    copy = Path(shutil.copy(indexed / "small" / "blue.png", "copy"))  # known by its content
    picture = Image.open(copy)
    picture.save("other.bmp")  # the same pixels in other bytes
    with opened(indexed) as library:
        expected = library.search(indexed / "small" / "blue.png")
        for query in (copy, Path("other.bmp"), picture, picture.convert("RGBA")):
            found = library.search(query)
            assert found[0].path == expected[0].path
            assert found[0].score == pytest.approx(1, abs=5e-3)  # bf16, where the machine has it
        assert same(library.search(copy), expected)


def test_a_few_pictures_are_encoded_without_torch(
    indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch  # noqa: F401  # by whoever was here before

    pictures = [Image.open(indexed / "small" / f"{colour}.png") for colour in ("red", "blue")]
    with opened(indexed) as library:
        expected = library.search_many(pictures, 1)
        monkeypatch.delitem(sys.modules, "torch")
        found = library.search_many(pictures, 1)
        assert "torch" not in sys.modules
        for [one], [other] in zip(found, expected, strict=True):
            assert one.path == other.path
            assert one.score == pytest.approx(other.score, abs=5e-3)  # float32 and bf16


def test_search_by_a_vector(indexed: Path) -> None:
    with opened(indexed) as library:
        vector = np.random.default_rng(0).standard_normal(24)
        assert same(library.search(vector, 3), library.search(7 * vector.astype(np.float32), 3))
        with pytest.raises(InvalidQuery, match="has 24"):
            library.search(np.ones(25))


def test_several_queries_at_once(indexed: Path) -> None:
    blue = indexed / "small" / "blue.png"
    queries = ["a dog", blue, np.ones(24), "a cat", Image.open(blue)]
    with opened(indexed) as library:
        together = library.search_many(queries, 5)
        assert len(together) == 5
        for query, matches in zip(queries, together, strict=True):
            alone = library.search(query, 5)
            assert [match.path for match in matches] == [match.path for match in alone]
            assert [match.score for match in matches] == pytest.approx(
                [match.score for match in alone], abs=1e-3
            )
        assert library.search_many([]) == []


def test_search_in_a_folder(indexed: Path) -> None:
    Path("link").symlink_to(indexed)
    with opened(indexed) as library:
        for folder in (indexed / "small", "photos/small", "~/photos/small", "link/small"):
            found = library.search("anything", 100, folder=folder)
            assert len(found) == 7  # the copy in it counts, and is what is shown
            assert all(match.path.parent == indexed / "small" for match in found)
        assert len(library.search("anything", 100, folder=Path.home())) == 12
        (indexed / "empty").mkdir()
        assert library.search("anything", folder=indexed / "empty") == []
        for nowhere in ("/", "photos/nowhere", "elsewhere"):
            if nowhere != "/":
                with pytest.raises(PathNotFound, match=nowhere):
                    library.search("anything", folder=nowhere)


def test_a_least_score(indexed: Path) -> None:
    with opened(indexed) as library:
        matches = library.search("anything", 100)
        scores = sorted((match.score for match in matches), reverse=True)
        least = (scores[4] + scores[5]) / 2
        near = [match for match in matches if match.score >= least]  # in the order of relevance
        assert same(library.search("anything", 100, min_score=least), near) and len(near) == 5
        assert library.search("anything", min_score=1.0) == []


def test_what_cannot_be_asked(indexed: Path) -> None:
    Path("text.png").write_text("not a picture")
    with opened(indexed) as library:
        for limit in (0, -1):
            with pytest.raises(InvalidQuery, match=str(limit)):
                library.search("anything", limit)
        with pytest.raises(InvalidQuery, match="nan"):
            library.search("anything", min_score=float("nan"))
        with pytest.raises(InvalidQuery, match="empty"):
            library.search_many(["a dog", " "])
        with pytest.raises(PathNotFound, match=r"missing\.png"):
            library.search(Path("missing.png"))
        for path in ("text.png", "photos/notes.jpg", "photos"):
            with pytest.raises(UnreadablePicture, match=path):
                library.search(Path(path))


def test_any_words_at_all(indexed: Path) -> None:
    texts = ["word " * 5000, "猫", "a\0b", "caf\udce9", "🐈" * 300, "%_'\";--", "\x1b[31m"]
    with opened(indexed) as library:
        assert all(len(matches) == 3 for matches in library.search_many(texts, 3))


def test_a_text_of_a_megabyte(indexed: Path) -> None:
    texts = ["word " * 200_000, "q" * 1_000_000, "\0" * 1_000_000, "\ud800" * 1_000_000]
    with opened(indexed) as library:
        for text in texts:
            assert len(library.search(text, 3)) == 3


def test_ten_thousand_queries_at_once(indexed: Path) -> None:
    generator = np.random.default_rng(0)
    queries = [f"number {n}" if n % 4 else generator.standard_normal(24) for n in range(10_000)]
    with opened(indexed) as library:
        answers = library.search_many(queries, 2)
        assert len(answers) == 10_000 and all(len(matches) == 2 for matches in answers)
        for number in (0, 1, 9_999):
            assert names(answers[number]) == names(library.search(queries[number], 2))


@pytest.mark.parametrize(
    "folder", ["%", "photos/%", "photos/_mall", "photos/small' OR '1'='1", "*", "photos\n", "a\0b"]
)
def test_wildcards_in_the_name_of_a_folder_mean_nothing(indexed: Path, folder: str) -> None:
    with opened(indexed) as library:
        with pytest.raises(PathNotFound):
            library.search("anything", folder=folder)
        with pytest.raises(PathNotFound):
            library.forget(folder)
        (indexed / "%_").mkdir()
        paint(indexed / "%_" / "odd.png", "red", 99)
        library.index(workers=0)
        assert names(library.search("anything", 10**9, folder=indexed / "%_")) == ["%_/odd.png"]


def test_from_eight_threads(indexed: Path) -> None:
    queries = [f"picture number {i}" for i in range(40)]
    with opened(indexed) as library:
        expected = library.search_many(queries)
    with opened(indexed) as library:  # afresh, so that the threads open everything
        start = threading.Barrier(8)

        def ask(thread: int) -> list[list[Match]]:
            start.wait()
            return [library.search(query) for query in queries[thread::8]]

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(8)))
    for thread, found in enumerate(answers):
        for matches, wanted in zip(found, expected[thread::8], strict=True):
            assert [match.path for match in matches] == [match.path for match in wanted]


def test_searching_while_another_thread_writes(indexed: Path, home: Path) -> None:
    for seed in range(30):
        paint(home / "more" / f"{seed}.png", "orange", 100 + seed)
    found: list[int] = []
    with opened(indexed) as library:

        def search(progress: Progress) -> None:
            with ThreadPoolExecutor(1) as thread:
                found.append(len(thread.submit(library.search, "anything", 100).result()))

        library.index(home / "more", workers=0, batch_size=8, progress=search)
        assert len(library.search("anything", 100)) == 42
    assert found == sorted(found) and found[0] >= 12


# -- models --------------------------------------------------------------------------------------


def test_a_library_holds_one_model(indexed: Path, models: Models) -> None:
    with Library.open(beside(indexed), models.small) as library:
        assert library.search("anything")
    with pytest.raises(ModelMismatch, match="retrieve index --model"):
        Library.open(beside(indexed), models.other)
    with pytest.raises(ModelMismatch, match="'ViT-B/32'"):
        Library.open(beside(indexed), "ViT-B/32")


def test_the_environment_does_not_change_a_library(
    indexed: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRIEVE_MODEL", str(models.other))
    with opened(indexed) as library:
        assert library.index(workers=0).encoded == 0
        assert library.model is not None and library.model.name == str(models.small)


def test_another_model_takes_over(indexed: Path, models: Models) -> None:
    with opened(indexed) as library, opened(indexed) as watching:
        before = watching.search("anything", 20)
        summary = library.index(model=models.other, workers=0)
        assert summary.encoded == 12
        assert library.model is not None and library.model.name == str(models.other)
        after = watching.search("anything", 20)  # open all the while
        assert len(before) == len(after) == 12 and before != after
    with Library.open(beside(indexed), models.other) as library:
        assert same(library.search("anything", 20), after)


def test_weights_that_went_missing(photos: Path, models: Models) -> None:
    shutil.copytree(models.small, "model")
    with Library.open("library", "model") as library:
        library.index(photos, workers=0)
    shutil.rmtree("model")
    with Library.open("library") as library:
        with pytest.raises(ModelUnavailable, match=r"model.*--model NEW"):
            library.search("anything")
        assert library.search(photos / "large" / "red.png")  # what is known needs no weights
    shutil.copytree(models.other, "model")
    with (
        Library.open("library") as library,
        pytest.raises(ModelMismatch, match="different weights"),
    ):
        library.search("anything")


# -- looking after it ----------------------------------------------------------------------------


def test_no_library_yet() -> None:
    with Library.open("nowhere") as library:
        for ask in (library.status, library.failures, lambda: library.search("anything")):
            with pytest.raises(LibraryNotFound, match="retrieve index FOLDER"):
                ask()
    assert not Path("nowhere").exists()


def test_an_empty_library(home: Path) -> None:
    (home / "empty").mkdir()
    with Library.open() as library:
        library.index("empty")
        with pytest.raises(LibraryEmpty, match="no pictures"):
            library.search("anything")


def test_a_library_without_pictures_any_more(indexed: Path) -> None:
    with opened(indexed) as library:
        assert library.forget(indexed) == 14
        with pytest.raises(LibraryEmpty, match="no pictures"):
            library.search("anything")


def test_forget(indexed: Path) -> None:
    with opened(indexed) as library:
        assert library.forget("photos/small") == 7
        assert len(library.search("anything", 100)) == 6
        assert library.forget(indexed / "large" / "red.png") == 1
        assert "large/red.png" not in names(library.search("anything", 100))
        with pytest.raises(PathNotFound):
            library.forget("elsewhere")


def test_a_library_moves_with_its_pictures(indexed: Path) -> None:
    indexed.rename("moved")
    with Library.open("moved") as library:
        best = library.search(Path("moved/small/blue.png"))[0]
        assert best.path == Path("moved/small/blue.png").absolute()
        assert library.index(workers=0).unchanged == 14


def test_relocate(photos: Path) -> None:
    with Library.open() as library:
        library.index(photos, workers=0)
        photos.rename("elsewhere")
        assert not library.status().roots[0].is_present
        assert library.relocate("photos", "elsewhere") == 14
        assert library.search(Path("elsewhere/small/blue.png"))[0].path.exists()
        assert library.index(workers=0).unchanged == 14


def test_a_damaged_catalog(indexed: Path) -> None:
    (beside(indexed) / FILE_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(CatalogDamaged, match=FILE_NAME):
        opened(indexed).search("anything")


def test_closing_is_final_for_files_alone(indexed: Path) -> None:
    library = opened(indexed)
    before = library.search("anything")
    library.close()
    library.close()
    assert same(library.search("anything"), before)  # it opens again
    library.close()
    assert repr(library) == f"Library({str(beside(indexed))!r})"
