"""The command line as people and programs use it: what it prints, where, and how it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from retrieval.cli.main import cli
from retrieval.locate import FILE_NAME
from tests.retrieval.conftest import Models, paint

pytestmark = pytest.mark.usefixtures("home")

ROOT = Path(__file__).parents[3]


def retrieve(*arguments: object) -> Result:
    return CliRunner().invoke(
        cli, [os.fspath(a) if isinstance(a, Path) else str(a) for a in arguments]
    )


def ok(*arguments: object) -> str:
    result = retrieve(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def refused(*arguments: object, code: int = 1) -> str:
    """The one line that says why."""
    result = retrieve(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def program(*arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "retrieval.cli.main", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


# -- help ----------------------------------------------------------------------------------------


def test_help() -> None:
    assert ok() == ok("--help") == ok("-h")
    assert 'retrieve search "a red car"' in ok("--help")
    for command in cli.commands:
        assert command in ok("--help")
        assert "--library DIR" in ok(command, "--help")
    assert ok("--version").startswith("retrieve 0.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--frobnicate"], "--frobnicate"),
        (["frobnicate"], "frobnicate"),
        (["search"], "QUERY"),
        (["search", "x", "--limit", "0"], "0 is not in the range"),
        (["search", "x", "-n", "-1"], "-1 is not in the range"),
        (["search", "x", "-n", "many"], "many"),
        (["search", "x", "--min-score", "high"], "high"),
        (["index", ".", "--workers", "-1"], "-1"),
        (["index", ".", "--precision", "int8"], "int8"),
        (["index", "--here"], "one folder"),
        (["index", ".", "..", "--here"], "one folder"),
        (["--library", "x", "index", ".", "--here"], "two libraries"),
        (["relocate", "only-one"], "NEW"),
    ],
)
def test_wrong_use(arguments: list[str], said: str) -> None:
    line = refused(*arguments, code=2)
    assert said in line and "--help" in line


# -- from nothing to an answer -------------------------------------------------------------------


def test_index_then_search(photos: Path) -> None:
    summary = ok("index", photos, "--workers", 0)
    assert "encoded 12 pictures" in summary
    assert "files: 12 new, 1 copied, 1 failed" in summary
    assert "1 file could not be read; see `retrieve status --failures`" in summary
    lines = ok("search", "a", "red", "car", "-n", 3).splitlines()
    assert len(lines) == 3
    for line in lines:
        score, word, size, date, path = line.split("\t")
        assert word == "-"  # a model that claims no relevance
        assert -1 <= float(score) <= 1 and size == "48x36" and date == "-"
        assert Path(path).is_relative_to(photos)
    assert "12 pictures in 14 files" in ok("status")


def test_the_forms_of_an_answer(indexed: Path) -> None:
    library = ("--library", indexed)
    blue = indexed / "small" / "blue.png"
    matches = json.loads(ok("search", blue, "--json", *library))
    assert len(matches) == 10
    assert matches[0]["path"] == str(blue) and matches[0]["score"] == pytest.approx(1, abs=1e-3)
    assert list(matches[0])[:5] == ["id", "path", "name", "score", "relevance"]
    red = json.loads(ok("search", indexed / "large" / "red.png", "--json", "-n", 1, *library))
    assert red[0]["copies"] == [str(indexed / "small" / "red again.png")]
    paths = [match["path"] for match in matches]
    assert ok("search", blue, "--paths", *library).splitlines() == paths
    assert ok("search", blue, "-0", *library).split("\0") == [*paths, ""]
    assert ok("search", blue, "--paths", "-0", *library).split("\0") == [*paths, ""]


def test_narrower(indexed: Path) -> None:
    library = ("--library", indexed)
    inside = ok("search", "x", "--in", "photos/small", "--paths", "-n", 1_000_000_000, *library)
    assert len(inside.splitlines()) == 7
    assert "not in the library" in refused("search", "x", "--in", "elsewhere", *library)


def test_nothing_found_is_no_error(indexed: Path) -> None:
    for form, nothing in (("--json", "[]\n"), ("--paths", "")):
        result = retrieve("--library", indexed, "search", "x", "--min-score", 1, form)
        assert result.exit_code == 0 and result.stdout == nothing
        assert result.stderr.startswith("no match: the best score is ")


def test_options_before_and_after_the_command(
    indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ok("--library", indexed, "search", "x")
    assert before == ok("search", "x", "--library", indexed)
    monkeypatch.setenv("RETRIEVE_LIBRARY", str(indexed))
    assert before == ok("search", "x")
    monkeypatch.setenv("RETRIEVE_LIBRARY", "elsewhere")
    assert before == ok("search", "x", "--library", indexed)
    monkeypatch.delenv("RETRIEVE_LIBRARY")
    monkeypatch.chdir(indexed / "small")
    assert before == ok("search", "x")


def test_a_library_among_its_pictures(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ok("index", photos, "--here", "--workers", 0)
    assert (photos / ".retrieve" / FILE_NAME).is_file()
    result = retrieve("index", photos, "--workers", 0)
    assert "note: " in result.stderr and "--here" in result.stderr
    moved = photos.rename(photos.with_name("moved"))
    monkeypatch.chdir(moved / "small")
    assert (
        ok("search", moved / "small" / "blue.png", "--paths", "-n", 1)
        == f"{moved}/small/blue.png\n"
    )
    assert "14 unchanged" in ok("index", "--workers", 0)


# -- looking after it ----------------------------------------------------------------------------


def test_status(indexed: Path, models: Models) -> None:
    text = ok("status", "--library", indexed)
    for said in (
        str(models.small),
        "24 dimensions",
        "1; see `retrieve status --failures`",
        "index",
    ):
        assert said in text
    held = json.loads(ok("status", "--json", "--library", indexed))
    assert held["images"] == held["embedded"] == 12 and held["files"] == 14
    root = {"path": str(indexed), "files": 14, "entire": True, "present": True, "excluded": []}
    assert held["roots"] == [root | {"left_out": []}]
    assert held["companions"] == 0 and held["left_out"] == []
    assert held["model"] == str(models.small) and held["dim"] == 24 and held["bytes"] > 0
    path, reason = ok("status", "--failures", "--library", indexed).rstrip("\n").split("\t")
    assert path == str(indexed / "notes.jpg") and reason
    [failure] = json.loads(ok("status", "--failures", "--json", "--library", indexed))
    assert failure == {"path": path, "reason": reason, "code": "not_a_picture"}


def test_forget_and_relocate(photos: Path) -> None:
    ok("index", photos, "--workers", 0)
    assert ok("forget", photos / "small" / "red.png") == "removed 1 file from the library\n"
    photos.rename("elsewhere")
    assert "missing" in ok("status")
    assert ok("relocate", photos, "elsewhere") == "relocated 13 files\n"
    assert "missing" not in ok("status")
    assert "does not exist" in refused("relocate", "elsewhere", "nowhere")
    assert "not in the library" in refused("forget", "nowhere")


def test_a_former_model_is_kept_until_it_is_forgotten(
    indexed: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRIEVE_LIBRARY", str(indexed))
    ok("index", "--model", models.other, "--workers", 0)
    assert f"{models.small} (12 pictures encoded, " in ok("status")
    [other] = json.loads(ok("status", "--json"))["other_models"]
    held = {"model": str(models.small), "embedded": 12, "bytes": 12 * 24 * 2}
    assert other == {**held, "keeps_up": False}
    assert "switch to another model first" in refused("forget", "--model", models.other)
    assert "no embeddings of" in refused("forget", "--model", "tiny")
    assert "0 pictures" in ok("index", "--model", models.small, "--workers", 0)
    assert ok("search", "red", "-n", 1)
    assert ok("forget", "--model", models.other) == f"removed 12 vectors of {models.other}\n"
    assert json.loads(ok("status", "--json"))["other_models"] == []
    assert ok("check") == f"nothing is wrong with {json.loads(ok('status', '--json'))['library']}\n"


def test_forget_takes_a_path_or_a_model(indexed: Path) -> None:
    for arguments in ((), (indexed, "--model", "tiny")):
        assert "either a PATH or --model NAME" in refused("forget", *arguments, code=2)


# -- mistakes ------------------------------------------------------------------------------------


def test_mistakes_before_there_is_a_library(home: Path) -> None:
    (home / "picture.png").write_text("none")
    assert "retrieve index FOLDER" in refused("search", "a red car")
    assert "retrieve index FOLDER" in refused("status")
    assert "name a folder" in refused("index")
    assert "no such file or folder: nowhere" in refused("index", "nowhere")
    assert "no such folder: nowhere" in refused("index", "nowhere", "--here")
    assert "no-such-model" in refused("index", home, "--model", "no-such-model")
    assert "no such folder: nowhere" in refused("demo", "nowhere")


def test_mistakes_with_a_library(indexed: Path) -> None:
    library = ("--library", indexed)
    assert "empty" in refused("search", " ", *library, code=2)
    assert "no such picture: missing.jpg" in refused("search", "missing.jpg", *library)
    assert "cannot use photos/notes.jpg" in refused("search", "photos/notes.jpg", *library)
    (indexed / ".retrieve" / FILE_NAME).write_bytes(b"no database" * 1000)
    assert "damaged" in refused("search", "a red car", *library)


def test_damaged_weights_are_named_and_nothing_is_lost(home: Path, models: Models) -> None:
    model, photos = shutil.copytree(models.small, home / "model"), home / "photos"
    paint(photos / "one.png", "red", seed=1)
    ok("index", photos, "--here", "--model", model)
    os.truncate(model / "vision.safetensors", 100_000)
    paint(photos / "two.png", "red", seed=2)
    library = ("--library", photos)
    for options in ((), ("--device", "cpu")):
        said = refused("index", *library, *options)
        assert f"{model}" in said and "is damaged" in said and "to create it again" in said
    shutil.rmtree(model)
    shutil.copytree(models.small, model)
    assert "1 new, 1 unchanged" in ok("index", *library)


def test_debug_shows_where() -> None:
    result = retrieve("--debug", "search", "a red car")
    assert result.exit_code == 1 and "LibraryNotFound" in repr(result.exception)
    with program("search", "x", "--debug") as search:
        assert b"Traceback" in search.communicate()[1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_disk_that_cannot_be_written_to(photos: Path, home: Path) -> None:
    home.chmod(0o500)
    assert "cannot" in refused("index", photos)
    home.chmod(0o700)


# -- odd names -----------------------------------------------------------------------------------

ODD = b"two\nlines \xff \x1b[31m'\".png"


def test_odd_names(home: Path) -> None:
    odd = home / "odd" / os.fsdecode(ODD)
    paint(home / "plain.png", "red", 1).rename(paint(odd, "red", 1))
    ok("index", "odd", "--workers", 0)
    result = retrieve("search", "x", "-0")
    assert result.stdout_bytes == os.fsencode(odd) + b"\0"
    assert ok("search", "x").splitlines()[0].endswith("two\\nlines \\xff \\x1b[31m'\".png")
    [match] = json.loads(retrieve("search", "x", "--json").stdout_bytes.decode("utf-8"))
    assert match["path"] == str(odd)
    assert json.loads(ok("search", odd, "--json"))[0]["score"] == pytest.approx(1, abs=1e-3)
    assert ok("forget", odd) == "removed 1 file from the library\n"


# -- as a process --------------------------------------------------------------------------------


def modules_of(*arguments: object) -> set[str]:
    """What a command has imported when it is done."""
    code = "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    code += "from retrieval.cli.main import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert run.stdout.strip()
    return set(run.stderr.decode().split())


def test_a_search_in_words_imports_little(indexed: Path) -> None:
    modules = modules_of("search", "a red car", "--library", indexed)
    assert not modules & {"torch", "torchvision", "sqlalchemy", "PIL", "tqdm", "importlib.metadata"}
    assert "huggingface_hub" not in modules


def test_a_search_by_a_known_picture_imports_no_torch(indexed: Path) -> None:
    assert "torch" not in modules_of("search", indexed / "large/red.png", "--library", indexed)


def test_nor_does_one_by_a_picture_that_is_new(home: Path, indexed: Path) -> None:
    new = paint(home / "new.png", "red", seed=100)
    modules = modules_of("search", new, "--library", indexed)
    assert not modules & {"torch", "torchvision", "safetensors", "sqlalchemy", "tqdm"}


def test_nor_does_a_run_that_finds_a_few_new_pictures(indexed: Path) -> None:
    paint(indexed / "new.png", "red", seed=100)
    assert "torch" not in modules_of("index", "--library", indexed)
    paint(indexed / "newer.png", "red", seed=101)
    assert "torch" in modules_of("index", "--library", indexed, "--precision", "fp32")


def test_a_closed_pipe_is_no_error(indexed: Path) -> None:
    with program("search", indexed / "large/red.png", "--library", indexed) as search:
        assert search.stdout and search.stderr
        search.stdout.close()
        assert search.stderr.read() == b""


def test_ctrl_c_ends_with_the_summary(home: Path) -> None:
    for seed in range(60):
        paint(home / "many" / f"{seed}.png", "red", seed)
    with program("index", "many", "--workers", 0, "--batch-size", 2) as index:
        catalog = home / "data" / "retrieve" / FILE_NAME
        while not catalog.exists() and index.poll() is None:
            pass
        index.send_signal(signal.SIGINT)
        out, err = index.communicate()
    assert index.returncode == 130, err
    assert b"interrupted" in out + err and b"Traceback" not in err
    assert "done in" in ok("index", "many", "--workers", 0)
