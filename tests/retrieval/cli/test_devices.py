"""The choice of a device: for every command that encodes pictures, in every way to give it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from clipmodel.errors import DeviceError
from retrieval import DeviceChoice, IndexOptions, InvalidValue, Library
from retrieval.decoding.pool import MAX_WORKERS, _quota
from retrieval.indexing.start import _encoders
from tests.retrieval.cli.test_cli import ok, refused
from tests.retrieval.conftest import paint

pytestmark = pytest.mark.usefixtures("home")

NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
ENCODING = [
    ["index", "photos"],
    ["watch", "photos"],
    ["search", "new.png"],
    ["similar", "new.png"],
    ["tag", "new.png", "--labels", "labels.txt"],
    ["eval", "captions.csv", "--models", "{other}"],
]


@pytest.fixture
def new(indexed: Path) -> Path:
    """A picture that the library does not know, and one in its folder that it does not know yet."""
    paint(indexed / "news.png", "red", 98)
    (indexed.parent / "captions.csv").write_text("path,caption\nphotos/large/red.png,a red spot\n")
    (indexed.parent / "labels.txt").write_text("red\nblue\n")
    return paint(indexed.parent / "new.png", "red", 99)


@NO_CUDA
@pytest.mark.parametrize("command", ENCODING, ids=lambda command: command[0])
def test_every_command_that_encodes_takes_a_device(
    command: list[str], new: Path, models: object
) -> None:
    library = ["--library", new.parent / "photos" / ".retrieve"]
    named = [word.format(other=models.other) for word in command]  # type: ignore[attr-defined]
    said = refused(*named, "--device", "cuda:0", "--precision", "fp16", *library)
    assert said.startswith("error: cannot use cuda:0 (no NVIDIA driver is installed); ") or (
        said.startswith("error: cannot use cuda:0 (this build of torch does not support it); ")
    )
    wrong = refused(*named, "--device", "gpu", *library, code=2)
    assert "'gpu' is not a valid device" in wrong


def test_a_picture_has_the_same_answers_on_the_device_asked_for(new: Path) -> None:
    library = ["--library", new.parent / "photos" / ".retrieve", "--json"]
    plain, exact = (
        json.loads(ok("search", new, *how, *library))
        for how in (["--precision", "fp32"], ["--device", "cpu:0", "--precision", "fp32"])
    )
    assert [match["path"] for match in exact] == [match["path"] for match in plain]
    for one, other in zip(exact, plain, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


@NO_CUDA
def test_the_device_of_the_environment(new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new.parent / "photos"
    library = ["--library", folder / ".retrieve"]
    monkeypatch.setenv("RETRIEVE_DEVICE", "cuda:1")
    assert "cannot use cuda:1" in refused("index", folder, "--precision", "fp32", *library)
    ok("index", folder, "--device", "cpu", *library)  # what is named counts more
    monkeypatch.setenv("RETRIEVE_DEVICE", "gpu")
    said = refused("devices", code=2)
    assert said.startswith("error: $RETRIEVE_DEVICE: 'gpu' is not a valid device")


@NO_CUDA
def test_a_library_is_opened_on_a_device(new: Path) -> None:
    folder = new.parent / "photos"
    with Library.open(folder / ".retrieve", on=DeviceChoice("cuda")) as library:
        for encode in (lambda: library.index(folder, workers=0), lambda: library.search(new)):
            with pytest.raises(DeviceError, match="cannot use cuda"):
                encode()
        assert library.status().counts.embedded == 12, "what was committed is kept"
        library.index(folder, workers=0, device="cpu")
        assert library.status().counts.embedded == 13
        assert library.search("red")  # words need no device


def test_several_devices() -> None:
    assert IndexOptions().devices == ()
    assert IndexOptions(devices="cuda:0, cuda:1").devices == ("cuda:0", "cuda:1")
    assert IndexOptions(devices=["cpu", "cuda"]).on(DeviceChoice("cuda")).device is None
    assert IndexOptions(device="cpu").on(DeviceChoice("cuda", "bf16")) == IndexOptions(
        device="cpu", precision="bf16"
    )
    for wrong, said in (
        ({"devices": "cuda:0,gpu"}, "'gpu' is not a valid device"),
        ({"devices": "cuda:0", "device": "cpu"}, "cannot be combined"),
        ({"devices": "cuda:0", "ray": "local"}, "Ray chooses the GPUs"),
        ({"devices": ""}, "'' is not a valid device"),
        ({"devices": "cpu,cuda,"}, "'' is not a valid device"),
        ({"devices": "cpu,cpu"}, "'cpu' and 'cpu' are one device; name each device once"),
        ({"devices": "cuda,cuda:0"}, "'cuda' and 'cuda:0' are one device"),
    ):
        with pytest.raises(InvalidValue, match=said):
            IndexOptions(**wrong)  # type: ignore[arg-type]
    assert "cannot be combined" in refused(
        "index", ".", "--device", "cpu", "--devices", "cpu,cuda", code=2
    )


@NO_CUDA
@pytest.mark.parametrize("command", ["serve", "watch"])
def test_what_runs_for_long_does_not_start_without_its_device(command: str, new: Path) -> None:
    library = ["--library", new.parent / "photos" / ".retrieve"]
    assert "cannot use cuda:9 (" in refused(command, "--device", "cuda:9", *library)


def test_an_empty_name_is_no_device(new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new.parent / "photos"
    for command in (["index", folder], ["search", "red"], ["similar", new], ["serve"], ["watch"]):
        said = refused(*command, "--device", "", "--library", folder, code=2)
        assert said.startswith("error: '' is not a valid device; use cpu, ")
    refused("index", folder, "--devices", "", "--library", folder, code=2)
    monkeypatch.setenv("RETRIEVE_DEVICE", "gpu")
    for command in (["index", folder], ["search", "red"], ["similar", new], ["serve"], ["watch"]):
        said = refused(*command, "--library", folder, code=2)
        assert said.startswith("error: $RETRIEVE_DEVICE: 'gpu' is not a valid device")
    ok("status", "--library", folder)


def test_cpu_0_is_encoded_where_the_cpu_is() -> None:
    model: Any = None
    for device in ("cpu", "cpu:0"):
        assert callable(_encoders(model, IndexOptions(device=device), device))
        assert callable(_encoders(model, IndexOptions(devices=device), None))
    assert not callable(_encoders(model, IndexOptions(device="cuda:0"), "cuda:0"))


def test_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ok("devices").splitlines()
    listed = json.loads(ok("devices", "--json"))
    assert [line.split()[0] for line in lines] == [each["name"] for each in listed]
    cpu = listed[-1]
    assert cpu["name"] == "cpu" and cpu["precision"] in ("fp32", "bf16") and cpu["memory"] > 1e9
    assert lines[-1].startswith("cpu") and f"{cpu['precision']}, " in lines[-1]
    for each, line in zip(listed, lines, strict=True):
        if each["reason"]:
            assert line.endswith(f"not usable: {each['reason']}; {each['remedy']}")
    monkeypatch.setenv("RETRIEVE_DEVICE", "cpu")
    assert ok("devices").splitlines()[-1].endswith("(the default)")


def test_a_container_has_as_many_workers_as_cores(tmp_path: Path) -> None:
    limits = {"400000 100000\n": 4, "150000 100000\n": 2, "max 100000\n": MAX_WORKERS}
    for held, cores in limits.items():
        (tmp_path / "cpu.max").write_text(held)
        assert _quota(str(tmp_path / "cpu.max")) == cores
    assert _quota(str(tmp_path / "none")) == MAX_WORKERS
