"""Files that are hostile: a clear error each, and nothing in them runs."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clipmodel.checkpoints.read import read_checkpoint
from clipmodel.errors import CheckpointError
from tests.clipmodel.checkpoints.storage.gadgets import Gadget, rewritten
from tests.clipmodel.small import write_openclip

Build = Callable[[str], nn.Module]


def gadget_zip(folder: Path, archive: Path, canary: Path) -> Path:
    data = pickle.dumps({"state_dict": Gadget(canary)}, protocol=2)
    return rewritten(
        archive, folder / "a.pt", lambda name, held: data if name.endswith("data.pkl") else held
    )


def gadget_script(folder: Path, archive: Path, canary: Path) -> Path:
    """The same inside what looks like TorchScript."""
    path = gadget_zip(folder, archive, canary)
    with zipfile.ZipFile(path, "a") as held:
        held.writestr("good/constants.pkl", pickle.dumps((), protocol=2))
        held.writestr("good/code/__torch__.py", "import os")
    return path


def gadget_legacy(folder: Path, archive: Path, canary: Path) -> Path:
    path = folder / "a.bin"
    torch.save({"w": Gadget(canary)}, path, _use_new_zipfile_serialization=False)
    return path


def gadget_pickle(folder: Path, archive: Path, canary: Path) -> Path:
    path = folder / "a.bin"
    path.write_bytes(pickle.dumps(Gadget(canary)))
    return path


@pytest.mark.parametrize("make", [gadget_zip, gadget_script, gadget_legacy, gadget_pickle])
def test_no_pickle_is_executed(
    tmp_path: Path, archive: Path, make: Callable[[Path, Path, Path], Path]
) -> None:
    canary = tmp_path / "ran"
    with pytest.raises(CheckpointError):
        read_checkpoint(make(tmp_path, archive, canary))
    assert not canary.exists()
    pickle.loads(pickle.dumps(Gadget(canary)))  # and the canary would have sung
    assert canary.exists()


@pytest.mark.parametrize(
    "global_name",
    ["builtins eval", "os system", "torch.hub load", "torch._utils _rebuild_wrapper_subclass"],
)
def test_other_names_are_refused(tmp_path: Path, archive: Path, global_name: str) -> None:
    module, name = global_name.split()
    data = b"\x80\x02" + f"c{module}\n{name}\n.".encode()
    path = rewritten(archive, tmp_path / "a.pt", lambda n, d: data if n.endswith(".pkl") else d)
    with pytest.raises(CheckpointError, match=f"asks for {module}.{name}"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a memo of two billion places
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"\x80\x02(i__main__\nx\n.",
        b"\x80\x02}",  # ends early
        b"",
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".",  # lists in lists
    ],
)
def test_pickles_that_torch_does_not_write(tmp_path: Path, archive: Path, data: bytes) -> None:
    path = rewritten(archive, tmp_path / "a.pt", lambda n, d: data if n.endswith(".pkl") else d)
    with pytest.raises(CheckpointError):
        read_checkpoint(path)


def test_a_legacy_pickle_may_not_ask_for_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85R."
    )
    with pytest.raises(CheckpointError, match="bytearray"):
        read_checkpoint(path)


def test_tensors_larger_than_the_file(tmp_path: Path) -> None:
    weights = {"visual.proj": torch.zeros(1).expand(2**40)}
    for path, zipped in ((tmp_path / "a.pt", True), (tmp_path / "a.bin", False)):
        torch.save(weights, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match="claims tensors larger than itself"):
            read_checkpoint(path)


def test_a_zip_bomb(tmp_path: Path, archive: Path) -> None:
    path = tmp_path / "a.pt"
    big = bytes(5_000_000)
    rewritten(archive, path, lambda n, d: big if n.endswith("/data/0") else d, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed, which torch never does"):
        read_checkpoint(path)


def test_an_entry_that_claims_more_than_the_file(tmp_path: Path, archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as held:
        info = next(i for i in held.infolist() if i.filename.endswith("/data/0"))
    header = data.rindex(info.filename.encode()) - 46  # its entry in the central directory
    data[header + 20 : header + 28] = struct.pack("<II", 2**31, 2**31)
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "a.pt")


def test_a_tensor_beyond_its_storage(tmp_path: Path, archive: Path) -> None:
    path = rewritten(archive, tmp_path / "a.pt", lambda n, d: d[:4] if "/data/" in n else d)
    with pytest.raises(CheckpointError, match="truncated|larger than itself"):
        read_checkpoint(path)


def test_files_cut_anywhere(tmp_path: Path, archive: Path, weights: dict[str, Tensor]) -> None:
    whole = [archive, write_openclip(tmp_path, weights), tmp_path / "legacy.bin"]
    torch.save(weights, whole[2], _use_new_zipfile_serialization=False)
    for path in whole:
        data = path.read_bytes()
        for size in (0, 1, 8, 100, len(data) // 2, len(data) - 1):
            cut = tmp_path / f"cut{path.suffix}"
            cut.write_bytes(data[:size])
            with pytest.raises(CheckpointError):
                read_checkpoint(cut)


def test_bytes_of_anything(tmp_path: Path) -> None:
    random = torch.randint(0, 256, (5000,), generator=torch.Generator().manual_seed(0))
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for data in (
        bytes(random.tolist()),
        b"<!DOCTYPE html><title>404</title>",
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02" + bytes(random.tolist()),
        empty.getvalue(),
        bytes(9),
    ):
        for suffix in (".pt", ".bin", ".safetensors"):
            path = tmp_path / f"a{suffix}"
            path.write_bytes(data)
            with pytest.raises(CheckpointError, match=f"a{suffix}"):
                read_checkpoint(path)


@pytest.mark.parametrize(
    "header",
    [
        {"a": ([4], [0, 16]), "b": ([4], [8, 24])},  # overlapping
        {"a": ([2**40], [0, 16])},
        {"a": ([4], [0, 2**50])},
    ],
)
def test_hostile_safetensors(
    tmp_path: Path, header: dict[str, tuple[list[int], list[int]]]
) -> None:
    entries = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        for name, (shape, offsets) in header.items()
    }
    held = json.dumps(entries).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(held)) + held + bytes(24))
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(path)


def test_a_training_checkpoint_holds_more(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    """What OpenCLIP's training saves: the optimizer's state lies beside and is left there."""
    path = write_openclip(tmp_path, weights).with_name("epoch_1.pt")
    state = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(3)}}, "lr": 0.1}
    torch.save({"epoch": 1, "name": "run", "state_dict": weights, "optimizer": state}, path)
    assert read_checkpoint(path)[1] == read_checkpoint(tmp_path / "model.safetensors")[1]


def test_weights_that_were_saved_before_torch_used_zip(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    path = write_openclip(tmp_path, weights)
    legacy = tmp_path / "legacy.bin"
    torch.save(weights, legacy, _use_new_zipfile_serialization=False)
    ours, theirs = read_checkpoint(path)[0], read_checkpoint(legacy)[0]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_nan_in_every_layout(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    path = write_openclip(tmp_path, weights)
    weights["visual.proj"][0, 0] = float("nan")
    save_file(weights, path)
    torch.save(weights, tmp_path / "zip.pt")
    torch.save(weights, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    for name in ("model.safetensors", "zip.pt", "old.bin"):
        with pytest.raises(CheckpointError, match=f"{name}: visual.proj holds values that are not"):
            read_checkpoint(tmp_path / name)


def test_a_zip_of_many_entries_that_overlap(tmp_path: Path, archive: Path) -> None:
    """Each entry of the directory names the same bytes: of a few kilobytes, gigabytes are made."""
    data = archive.read_bytes()
    with zipfile.ZipFile(archive) as held:
        first = next(info for info in held.infolist() if info.filename.endswith("/data/0"))
        places = [data.rindex(info.filename.encode()) - 46 for info in held.infolist()
                  if "/data/" in info.filename]  # fmt: skip
    altered = bytearray(data)
    for place in places:
        altered[place + 42 : place + 46] = struct.pack("<I", first.header_offset)
    (tmp_path / "a.pt").write_bytes(altered)
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "a.pt")
