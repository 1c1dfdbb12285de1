"""Index runs over real files: what is done again, what is not, and what a cut leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from clipmodel.errors import ClipModelError
from clipmodel.pretrained import ModelFolder
from indexes import VectorIndex
from retrieval.catalog.lock import write_lock
from retrieval.catalog.reading import Catalog
from retrieval.collection.check import check
from retrieval.decoding import formats
from retrieval.errors import FailureCode, LibraryBusy, PathNotFound
from retrieval.indexing import changes
from retrieval.indexing.encoding import QuickStart
from retrieval.indexing.run import index
from retrieval.records import Progress, Summary
from retrieval.vectors import index_file
from tests.retrieval.postgres import both_databases
from tests.retrieval.small import (
    SmallEncoder,
    as_counts,
    contents,
    paint,
    paint_many,
    run_index,
    small_model,
)


@pytest.fixture
def photos(base: Path) -> Path:
    paint_many(base / "photos", 10)
    return base / "photos"


def fresh_contents(base: Path, *paths: Path) -> dict[str, tuple[str, bytes] | str | None]:
    """What a library holds that indexes these paths in one go."""
    with closing(Catalog.open(base / "fresh", create=True)) as catalog:
        run_index(catalog, paths)
        return contents(catalog)


def interrupted(run: Generator[Progress | Summary, None, None], encoded: int) -> Summary:
    """The summary of a run that is told to stop when so many pictures, or more, are encoded."""
    for step in run:
        if isinstance(step, Progress) and step.encoded >= encoded:
            break
    summary = run.throw(KeyboardInterrupt())
    assert isinstance(summary, Summary)
    return summary


# -- what changes --------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_all_that_is_there_is_indexed_once(base: Path, photos: Path, workers: int) -> None:
    paint(photos / "sub/deep.jpg", 99)
    with closing(Catalog.open(base / "library", create=True)) as catalog:
        assert as_counts(run_index(catalog, [photos], workers=workers)) == {
            "new": 11,
            "encoded": 11,
        }
        held = contents(catalog)
        encoder = SmallEncoder()
        again = run_index(catalog, [photos], encoder=encoder, workers=workers)
        assert as_counts(again) == {"unchanged": 11} and encoder.pictures == 0
        assert contents(catalog) == held == fresh_contents(base, photos)
        assert catalog.counts().embedded == 11
        current = catalog.current_model()
        assert current and VectorIndex.open(index_file.path_of(catalog, current.digest))


def test_what_is_recorded_of_a_picture(catalog: Catalog, base: Path) -> None:
    path = paint(base / "photos/one.jpg", 1, size=(64, 48))
    run_index(catalog, [path.parent])
    image = catalog.images.by_id([1])[1]
    assert (image.width, image.height, image.format, image.paths) == (64, 48, "JPEG", (path,))
    assert catalog.places.image_of_path(path) == 1


@both_databases
def test_moved_and_copied_files_are_known_by_their_content(catalog: Catalog, photos: Path) -> None:
    run_index(catalog, [photos])
    os.rename(photos / "000.png", photos / "moved.png")
    (photos / "sub").mkdir()
    os.rename(photos / "001.png", photos / "sub/001.png")
    shutil.copy(photos / "002.png", photos / "copy.png")
    (photos / "003.png").unlink()
    summary = run_index(catalog, [photos])
    assert as_counts(summary) == {"moved": 2, "copied": 1, "removed": 1, "unchanged": 7}
    copies = catalog.images.by_id([catalog.places.image_of_path(photos / "002.png") or 0])
    assert [len(image.paths) for image in copies.values()] == [2]
    assert catalog.counts().images == catalog.counts().embedded == 9


def test_copies_that_come_together_are_encoded_once(catalog: Catalog, base: Path) -> None:
    for number in range(5):
        paint(base / f"photos/{number}.bmp", 7)  # one content in five files
        paint(base / f"photos/other{number}.bmp", number)  # of the same size in bytes
    summary = run_index(catalog, [base / "photos"], workers=2)
    assert as_counts(summary) == {"new": 6, "copied": 4, "encoded": 6}
    assert contents(catalog) == fresh_contents(base, base / "photos")


def test_a_touched_file_is_looked_into_but_not_encoded(catalog: Catalog, photos: Path) -> None:
    run_index(catalog, [photos])
    os.utime(photos / "000.png", ns=(1, 1))
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 10}
    assert catalog.places.image_of_path(photos / "000.png") is not None


def test_a_changed_file_is_encoded_again(catalog: Catalog, photos: Path, base: Path) -> None:
    run_index(catalog, [photos])
    paint(photos / "000.png", 500)
    shutil.copy(photos / "002.png", photos / "001.png")
    summary = run_index(catalog, [photos])
    assert as_counts(summary) == {"changed": 2, "unchanged": 8, "encoded": 1}
    assert contents(catalog) == fresh_contents(base, photos)
    assert catalog.counts().images == 9


@both_databases
def test_contents_that_trade_places_are_not_encoded(catalog: Catalog, photos: Path) -> None:
    run_index(catalog, [photos])
    os.rename(photos / "000.png", photos / "third")
    os.rename(photos / "001.png", photos / "000.png")
    os.rename(photos / "third", photos / "001.png")
    assert as_counts(run_index(catalog, [photos])) == {"changed": 2, "unchanged": 8}


def test_excluded_files_leave_the_catalog(catalog: Catalog, photos: Path) -> None:
    paint_many(photos / "raw", 3, first=50)
    run_index(catalog, [photos])
    summary = run_index(catalog, [photos], exclude=["raw"])
    assert as_counts(summary) == {"removed": 3, "unchanged": 10}


# -- bad pictures --------------------------------------------------------------------------------


@both_databases
def test_bad_pictures_are_remembered_until_they_change(catalog: Catalog, photos: Path) -> None:
    (photos / "empty.jpg").touch()
    (photos / "page.jpg").write_text("<html>")
    (photos / "cut.png").write_bytes((photos / "000.png").read_bytes()[:200])
    assert as_counts(run_index(catalog, [photos])) == {"new": 10, "failed": 3, "encoded": 10}
    reasons = {failed.path.name: failed.reason for failed in catalog.files.failures()}
    assert reasons.keys() == {"empty.jpg", "page.jpg", "cut.png"}
    assert reasons["empty.jpg"] == "the file is empty"
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 13}
    paint(photos / "cut.png", 77)
    summary = run_index(catalog, [photos])
    assert as_counts(summary) == {"changed": 1, "unchanged": 12, "encoded": 1}
    assert catalog.counts().failures == 2


def reword(catalog: Catalog, sentence: str) -> None:
    """Say something else about every failure: programs decide by the code beside it."""
    with catalog.transaction() as connection:
        said = text("UPDATE files SET failure = :said WHERE failure IS NOT NULL")
        connection.execute(said, {"said": sentence})


def test_a_failure_is_known_again_by_its_code(catalog: Catalog, photos: Path) -> None:
    bad = photos / "bad.png"
    bad.write_bytes(b"bad")
    assert run_index(catalog, [photos]).failed == 1
    reword(catalog, "it is something else")
    later = bad.stat().st_mtime_ns
    bad.unlink()
    bad.write_bytes(b"bad")  # in another inode, at the same time
    os.utime(bad, ns=(later, later))
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 11}
    bad.write_bytes(b"")
    assert run_index(catalog, [photos]).failed == 1
    assert [failed.code for failed in catalog.files.failures()] == [FailureCode.EMPTY]


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_that_were_too_large_are_tried_when_more_is_allowed(
    catalog: Catalog, photos: Path, workers: int
) -> None:
    paint(photos / "large.png", 77, size=(100, 101))

    def run(max_pixels: int) -> dict[str, int]:
        steps = index(
            catalog, [photos], small_model(), SmallEncoder, workers=workers, max_pixels=max_pixels
        )
        *_, summary = steps
        assert isinstance(summary, Summary)
        return as_counts(summary)

    for bound in (5_000, 5_001, 9_999):
        assert run(bound)["failed"] == 1
        [failed] = catalog.files.failures()
        assert failed.code is FailureCode.TOO_LARGE
        assert run(bound) == {"unchanged": 11}
    reword(catalog, "larger than it should be")
    assert run(4_000) == {"unchanged": 11}
    assert run(10_100)["changed"] == 1 and list(catalog.files.failures()) == []


def test_what_could_not_be_read_is_tried_when_there_are_more_decoders(
    catalog: Catalog, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data in {"bad.jpg": b"\xff\xd8\xff", "text.png": b"text", "empty.png": b""}.items():
        (photos / name).write_bytes(data)
    assert run_index(catalog, [photos]).failed == 3
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 13}
    able = formats.abilities()
    monkeypatch.setattr(changes, "abilities", lambda: able | {"new"})
    assert as_counts(run_index(catalog, [photos])) == {"failed": 2, "unchanged": 11}
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 13}
    monkeypatch.setattr(changes, "abilities", lambda: able)  # another machine, with fewer
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 13}


def test_a_picture_that_turns_bad_loses_its_image(catalog: Catalog, photos: Path) -> None:
    run_index(catalog, [photos])
    (photos / "000.png").write_bytes(b"no longer")
    assert as_counts(run_index(catalog, [photos])) == {"failed": 1, "unchanged": 9}
    assert catalog.counts().images == 9


# -- roots ---------------------------------------------------------------------------------------


def test_part_of_a_root_is_looked_at_alone(catalog: Catalog, photos: Path) -> None:
    paint_many(photos / "a", 2, first=50)
    paint_many(photos / "ab", 2, first=60)
    run_index(catalog, [photos])
    (photos / "a/050.png").unlink()
    (photos / "ab/060.png").unlink()
    paint(photos / "a/new.png", 70)
    summary = run_index(catalog, [photos / "a"])
    assert as_counts(summary) == {"new": 1, "removed": 1, "unchanged": 1, "encoded": 1}
    assert [root.path for root in catalog.roots()] == [photos]
    assert as_counts(run_index(catalog, []))["removed"] == 1


@both_databases
def test_a_folder_above_its_roots_takes_them_in(catalog: Catalog, base: Path) -> None:
    paint_many(base / "p/a", 2)
    paint_many(base / "p/b", 2, first=10)
    paint(base / "p/c.png", 20)
    run_index(catalog, [base / "p/a", base / "p/b"])
    assert as_counts(run_index(catalog, [base / "p"])) == {"new": 1, "unchanged": 4, "encoded": 1}
    assert [root.path for root in catalog.roots()] == [base / "p"]
    assert contents(catalog) == fresh_contents(base, base / "p")


def test_a_file_that_is_named_brings_no_siblings(catalog: Catalog, photos: Path) -> None:
    odd = photos / "no-extension"
    shutil.copy(photos / "000.png", odd)
    summary = run_index(catalog, [photos / "001.png", odd])
    assert as_counts(summary) == {"new": 2, "encoded": 2}
    [root] = catalog.roots()
    assert root.path == photos and not root.entire
    assert as_counts(run_index(catalog, [])) == {"unchanged": 2}
    odd.unlink()
    assert as_counts(run_index(catalog, [])) == {"removed": 1, "unchanged": 1}
    assert as_counts(run_index(catalog, [photos]))["new"] == 9


def test_a_file_that_was_named_stays_though_no_scan_lists_it(
    catalog: Catalog, photos: Path
) -> None:
    odd = Path(shutil.copy(photos / "000.png", photos / "no-extension"))
    hidden = paint(photos / ".hidden/1.png", 50)
    run_index(catalog, [photos])
    run_index(catalog, [odd, hidden])
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 12}
    hidden.unlink()
    assert as_counts(run_index(catalog, [photos])) == {"removed": 1, "unchanged": 11}


def test_what_does_not_exist_is_an_error_and_makes_no_root(catalog: Catalog, base: Path) -> None:
    os.mkfifo(base / "pipe")
    for path in (base / "nowhere", base / "pipe"):
        with pytest.raises(PathNotFound, match=str(path)):
            run_index(catalog, [path])
    assert catalog.roots() == []


@pytest.mark.parametrize("state", ["missing", "empty"])
def test_the_pictures_of_a_disk_that_is_not_there_are_kept(
    catalog: Catalog, photos: Path, base: Path, state: str
) -> None:
    run_index(catalog, [photos])
    held = contents(catalog)
    photos.rename(base / "unmounted")
    if state == "empty":
        photos.mkdir()
    for paths in ([photos], []):
        summary = run_index(catalog, paths)
        assert as_counts(summary) == {} and contents(catalog) == held
        [problem] = summary.problems
        assert str(photos) in problem and "10 known files" in problem
        assert "retrieve forget" in problem
    if state == "empty":
        photos.rmdir()
    (base / "unmounted").rename(photos)
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 10}


def test_a_folder_emptied_by_hand_loses_its_pictures(catalog: Catalog, photos: Path) -> None:
    paint_many(photos / "sub", 3, first=50)
    run_index(catalog, [photos])
    for path in (photos / "sub").iterdir():
        path.unlink()
    assert as_counts(run_index(catalog, [photos])) == {"removed": 3, "unchanged": 10}


def test_what_is_behind_a_broken_link_is_kept(catalog: Catalog, photos: Path, base: Path) -> None:
    paint_many(base / "disk", 3, first=50)
    os.symlink(base / "disk", photos / "link")
    assert as_counts(run_index(catalog, [photos]))["new"] == 13
    (base / "disk").rename(base / "unmounted")
    summary = run_index(catalog, [photos])
    assert as_counts(summary) == {"unchanged": 10} and "3 known files" in summary.problems[0]


NASTY = [b"new\nline.png", b"\xff\xfe.png", b"%_'\".png", b"n" * 251 + b".png"]


@both_databases
def test_names_of_any_bytes(catalog: Catalog, base: Path) -> None:
    for seed, name in enumerate(NASTY):
        path = paint(base / f"{seed}.png", seed)
        (base / "photos").mkdir(exist_ok=True)
        path.rename(base / "photos" / os.fsdecode(name))
    assert as_counts(run_index(catalog, [base / "photos"], workers=1))["new"] == len(NASTY)
    assert as_counts(run_index(catalog, [base / "photos"])) == {"unchanged": len(NASTY)}
    paths = {path for image in catalog.images.by_id(range(9)).values() for path in image.paths}
    assert paths == set((base / "photos").iterdir())


# -- few pictures and many -----------------------------------------------------------------------


class Coarse(SmallEncoder):
    """Of many pictures."""

    precision = "bf16"


def encode_with_both(
    catalog: Catalog, paths: Sequence[Path], model: ModelFolder, most: int = 3
) -> tuple[int, int]:
    """How many pictures the encoder of up to `most` has encoded, and the one of more."""
    few, many = SmallEncoder(), Coarse()
    quick = QuickStart(most, lambda: few)
    for _ in index(catalog, paths, model, lambda: many, workers=0, quick=quick):
        pass
    return few.pictures, many.pictures


def precision(catalog: Catalog) -> str | None:
    model = catalog.current_model()
    return model.precision if model else None


def test_a_few_pictures_have_an_encoder_of_their_own(catalog: Catalog, base: Path) -> None:
    photos, model = base / "photos", small_model()
    paint_many(photos, 3)
    assert encode_with_both(catalog, [photos], model) == (3, 0)
    assert precision(catalog) == "fp32"
    paint_many(photos, 4, first=10)
    assert encode_with_both(catalog, [], model) == (0, 4)
    assert precision(catalog) == "bf16"
    paint(photos / "one more.png", 20)
    assert encode_with_both(catalog, [], model) == (1, 0)
    assert precision(catalog) == "bf16"  # as nearly all
    assert encode_with_both(catalog, [], model) == (0, 0)
    assert contents(catalog) == fresh_contents(base, photos)


def test_copies_are_no_more_pictures(catalog: Catalog, base: Path) -> None:
    paint_many(base / "photos", 3)
    shutil.copytree(base / "photos", base / "photos" / "copies")
    assert encode_with_both(catalog, [base / "photos"], small_model()) == (3, 0)


def test_after_a_few_new_pictures_another_model_may_have_many(
    catalog: Catalog, photos: Path
) -> None:
    other = small_model("other")
    encode_with_both(catalog, [photos], small_model())
    paint(photos / "new.png", 50)
    assert encode_with_both(catalog, [], other) == (1, 10)
    assert catalog.counts().embedded == 11 and precision(catalog) == "bf16"


def test_an_interrupt_keeps_the_few_that_were_encoded(catalog: Catalog, photos: Path) -> None:
    quick = QuickStart(20, SmallEncoder)
    run = index(catalog, [photos], small_model(), SmallEncoder, workers=0, quick=quick)
    summary = interrupted(run, 1)
    assert summary.interrupted
    assert 0 < catalog.counts().embedded == summary.encoded <= 10


def test_the_few_that_were_encoded_are_kept_if_the_encoder_of_many_cannot_be_loaded(
    catalog: Catalog, photos: Path
) -> None:
    other = small_model("other")
    encode_with_both(catalog, [photos], small_model())
    paint(photos / "new.png", 50)

    def broken() -> SmallEncoder:
        raise ClipModelError("no such device")

    with pytest.raises(ClipModelError, match="no such device"):
        list(index(catalog, [], other, broken, workers=0, quick=QuickStart(3, SmallEncoder)))
    assert encode_with_both(catalog, [], other) == (0, 10)


# -- another model -------------------------------------------------------------------------------


def test_another_model_encodes_all_that_is_known_and_takes_over(
    catalog: Catalog, photos: Path
) -> None:
    run_index(catalog, [photos])
    shutil.copy(photos / "000.png", photos / "copy.png")
    paint(photos / "new.png", 50)
    (photos / "001.png").unlink()
    old = catalog.current_model()
    summary = run_index(catalog, [], small_model("other"))
    expected = {"new": 1, "copied": 1, "removed": 1, "unchanged": 9, "encoded": 10}
    assert old and as_counts(summary) == expected
    current = catalog.current_model()
    assert current and current.name == "other" and catalog.counts().embedded == 10
    assert not index_file.path_of(catalog, old.digest).exists()
    assert index_file.path_of(catalog, current.digest).exists()


def test_going_back_to_a_model_encodes_only_what_is_missing(catalog: Catalog, photos: Path) -> None:
    run_index(catalog, [photos])
    old, other = catalog.current_model(), small_model("other")
    run_index(catalog, [], other)
    paint(photos / "new.png", 50)
    (photos / "001.png").unlink()
    run_index(catalog, [], other)
    assert old and catalog.embeddings.count(old.id) == 9
    back = run_index(catalog, [])
    assert back.encoded == 1 and catalog.current_model() == old
    assert catalog.counts().embedded == 10 and check(catalog.place, repair=False) == []
    again = run_index(catalog, [], other)
    assert again.encoded == 0 and check(catalog.place, repair=False) == []
    current = catalog.current_model()
    assert current and current.name == "other" and catalog.counts().embedded == 10


@both_databases
def test_an_interrupted_change_of_model_goes_on_where_it_was(
    catalog: Catalog, photos: Path
) -> None:
    paint_many(photos, 30, first=100)
    run_index(catalog, [photos])
    other, encoder = small_model("other"), SmallEncoder()
    run = index(catalog, [], other, lambda: encoder, workers=0)
    summary = interrupted(run, 1)
    assert summary.interrupted
    current = catalog.current_model()
    assert current and current.name == "small" and catalog.counts().embedded == 40
    rest = run_index(catalog, [], other)
    assert rest.encoded == 40 - summary.encoded > 0
    current = catalog.current_model()
    assert current and current.name == "other" and catalog.counts().embedded == 40


def test_a_model_that_cannot_see_all_pictures_does_not_take_over(
    catalog: Catalog, photos: Path, base: Path
) -> None:
    disk = base / "disk"
    paint_many(disk, 3, first=50)
    run_index(catalog, [photos, disk])
    disk.rename(base / "unmounted")
    summary = run_index(catalog, [], small_model("other"))
    current = catalog.current_model()
    assert current and current.name == "small" and catalog.counts().embedded == 13
    assert any("3 known pictures cannot be read" in problem for problem in summary.problems)
    (base / "unmounted").rename(disk)
    assert run_index(catalog, [], small_model("other")).encoded == 3
    current = catalog.current_model()
    assert current and current.name == "other" and catalog.counts().embedded == 13


# -- the vector index ----------------------------------------------------------------------------


def test_the_index_file_is_made_anew_when_it_is_missing_or_too_much_died(
    catalog: Catalog, photos: Path
) -> None:
    run_index(catalog, [photos])
    current = catalog.current_model()
    assert current
    path = index_file.path_of(catalog, current.digest)
    path.unlink()
    run_index(catalog, [photos])
    assert VectorIndex.open(path).count == 10
    for number in range(4):
        (photos / f"00{number}.png").unlink()
    run_index(catalog, [photos])
    assert VectorIndex.open(path).count == 6
    path.write_bytes(b"damaged")
    paint(photos / "new.png", 50)
    run_index(catalog, [photos])
    found = VectorIndex.open(path)
    vector = catalog.embeddings.vector(current.id, found.last_id)
    assert vector is not None
    scores, ids = found.search(vector[np.newaxis], 1)
    assert ids.tolist() == [[11]] and abs(scores[0, 0] - 1) < 1e-3


# -- cuts ----------------------------------------------------------------------------------------


@both_databases
def test_an_interrupt_keeps_what_is_encoded(catalog: Catalog, photos: Path, base: Path) -> None:
    paint_many(photos, 30, first=100)
    encoder = SmallEncoder()
    run = index(catalog, [photos], small_model(), lambda: encoder, workers=0)
    last = interrupted(run, 8)
    assert last.interrupted and list(run) == []
    assert catalog.counts().embedded == last.encoded >= 8
    rest = run_index(catalog, [photos])
    assert rest.encoded == 40 - last.encoded
    assert contents(catalog) == fresh_contents(base, photos)


def test_who_stops_listening_keeps_what_is_encoded(catalog: Catalog, photos: Path) -> None:
    paint_many(photos, 30, first=100)
    for step in index(catalog, [photos], small_model(), SmallEncoder, workers=2):
        if isinstance(step, Progress) and step.encoded >= 8:
            break
    del step
    kept = catalog.counts().embedded
    assert kept >= 8 and run_index(catalog, [photos]).encoded == 40 - kept


def test_an_encoded_batch_is_committed_while_a_slow_file_is_decoded(
    catalog: Catalog, photos: Path
) -> None:
    side = 1_500  # a second or more of decimal digits, in Pillow's pure Python
    slow = b"P3 %d %d 255\n" % (side, side) + b"7 " * (3 * side * side)
    (photos / "slow.ppm").write_bytes(slow)
    run = index(catalog, [photos], small_model(), SmallEncoder, workers=2)
    done = [step.done for step in run if isinstance(step, Progress)]
    assert any(4 <= count < 11 for count in done) and done[-1] == 11


RUN = textwrap.dedent("""
    import sys
    from pathlib import Path
    from retrieval.catalog.reading import Catalog
    from retrieval.indexing.run import index
    from tests.retrieval.small import SmallEncoder, small_model

    catalog = Catalog.open(Path(sys.argv[1]), create=True)
    run = index(catalog, [Path(sys.argv[2])], small_model(), SmallEncoder, workers=2)
    last = None
    try:
        for last in run:
            print(last.encoded, flush=True)
    except KeyboardInterrupt:  # between two values; else the run itself takes it
        last = run.throw(KeyboardInterrupt())
    print()  # a Ctrl-C may come between a number and the end of its line
    print(last.encoded, "interrupted" if last.interrupted else "done")
""")


def start_run(library: Path, photos: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(library), str(photos)]
    project = Path(__file__).parents[3]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=project)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("after", [1, 20])
def test_a_killed_run_loses_at_most_the_batches_in_flight(base: Path, after: int) -> None:
    photos = base / "photos"
    paint_many(photos, 60)
    with start_run(base / "library", photos) as process:
        assert process.stdout
        for line in process.stdout:
            if int(line) >= after:
                process.kill()
                break
    with closing(Catalog.open(base / "library")) as catalog:
        assert catalog.rows("PRAGMA integrity_check") == [("ok",)]
        assert catalog.counts().embedded == catalog.counts().images >= after
        kept = catalog.counts().embedded
        summary = run_index(catalog, [photos])
        assert summary.encoded == 60 - kept
        assert contents(catalog) == fresh_contents(base, photos)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_with_the_summary(base: Path) -> None:
    paint_many(base / "photos", 60)
    with start_run(base / "library", base / "photos") as process:
        assert process.stdout
        for line in process.stdout:
            if int(line) >= 4:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read().split()
    assert process.returncode == 0 and rest[-1] == "interrupted"
    with closing(Catalog.open(base / "library")) as catalog:
        assert catalog.counts().embedded == int(rest[-2])


def test_a_second_writer_is_refused_at_once(catalog: Catalog, photos: Path) -> None:
    with write_lock(catalog.local_folder), pytest.raises(LibraryBusy, match=str(os.getpid())):
        run_index(catalog, [photos])


def test_an_encoder_that_cannot_be_loaded_ends_the_run(catalog: Catalog, photos: Path) -> None:
    def load() -> SmallEncoder:
        raise RuntimeError("no weights")

    with pytest.raises(RuntimeError, match="no weights"):
        list(index(catalog, [photos], small_model(), load, workers=0))
    assert as_counts(run_index(catalog, [photos]))["new"] == 10


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_full_disk_is_one_clear_error_and_the_next_run_goes_on(base: Path) -> None:
    photos = base / "photos"
    paint_many(photos, 40)
    with closing(Catalog.open(base / "library", create=True)):
        pass
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))\n"
    command = [sys.executable, "-c", limit + RUN, str(base / "library"), str(photos)]
    project = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project)
    assert "retrieval.errors.LibraryReadOnly: cannot" in done.stderr.splitlines()[-1]
    with closing(Catalog.open(base / "library")) as catalog:
        assert catalog.rows("PRAGMA integrity_check") == [("ok",)]
        run_index(catalog, [photos])
        assert contents(catalog) == fresh_contents(base, photos)


def test_a_run_without_news_imports_nothing_heavy(base: Path, photos: Path) -> None:
    with closing(Catalog.open(base / "library", create=True)) as catalog:
        run_index(catalog, [photos])
    check = "\nprint([m for m in ('torch', 'sqlalchemy', 'faiss', 'PIL.PngImagePlugin') "
    script = RUN + check + "if m in sys.modules])"
    command = [sys.executable, "-c", script, str(base / "library"), str(photos)]
    project = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
