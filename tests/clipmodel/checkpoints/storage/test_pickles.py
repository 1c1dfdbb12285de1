"""Pickles that call something: none of it runs."""

import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clipmodel.checkpoints.read import read_checkpoint
from clipmodel.errors import CheckpointError
from tests.clipmodel.checkpoints.storage.gadgets import Gadget, rewritten


def shell(canary: Path) -> str:
    return f"touch {canary}"


def python(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w').close()"


GADGETS: dict[str, Callable[[Path], tuple[str, tuple[Any, ...]]]] = {
    "os.system": lambda canary: ("os system", (shell(canary),)),
    "posix.system": lambda canary: ("posix system", (shell(canary),)),
    "subprocess.call": lambda canary: ("subprocess call", (["touch", str(canary)],)),
    "subprocess.Popen": lambda canary: ("subprocess Popen", (["touch", str(canary)],)),
    "subprocess.getoutput": lambda canary: ("subprocess getoutput", (shell(canary),)),
    "eval": lambda canary: ("builtins eval", (python(canary),)),
    "exec": lambda canary: ("builtins exec", (python(canary),)),
    "open": lambda canary: ("builtins open", (str(canary), "w")),
    "io.open": lambda canary: ("io open", (str(canary), "w")),
    "_io.FileIO": lambda canary: ("_io FileIO", (str(canary), "w")),
    "os.mkdir": lambda canary: ("os mkdir", (str(canary),)),
    "runpy": lambda canary: ("runpy _run_code", (python(canary), {})),
    "timeit": lambda canary: ("timeit timeit", (python(canary), "pass", 1.0, 1)),
    "timeit.main": lambda canary: ("timeit main", (["-n", "1", "-r", "1", python(canary)],)),
    "cProfile": lambda canary: ("cProfile run", (python(canary), str(canary))),
    "pdb": lambda canary: ("pdb run", (f"{python(canary)};quit",)),
    "bdb": lambda canary: ("bdb Bdb", ()),
    "code": lambda canary: ("code InteractiveInterpreter", ()),
    "ctypes": lambda canary: ("ctypes CDLL", (None,)),
    "importlib": lambda canary: ("importlib import_module", ("antigravity_of_nobody",)),
    "getattr": lambda canary: ("builtins getattr", (Path(canary), "touch")),
    "operator.methodcaller": lambda canary: ("operator methodcaller", ("touch",)),
    "functools.partial": lambda canary: ("functools partial", (Path.touch, canary)),
    "shutil.copy": lambda canary: ("shutil copyfile", ("/dev/null", str(canary))),
    "numpy.load": lambda canary: ("numpy load", (str(canary), None, True)),
    "numpy.memmap": lambda canary: ("numpy memmap", (str(canary), "u1", "w+", 0, (1,))),
    "numpy": lambda canary: ("numpy.testing._private.utils runstring", (python(canary), {})),
    "torch.load": lambda canary: ("torch.storage _load_from_bytes", (inner(canary),)),
    "torch.save": lambda canary: ("torch save", ([1], str(canary))),
    "torch.hub": lambda canary: ("torch.hub load", (str(canary.parent), "entry", [], "local")),
    "torch rebuild": lambda canary: (
        "torch._tensor _rebuild_from_type_v2",
        (Path.touch, Path, (canary,), None),
    ),
    "torch subclass": lambda canary: ("torch._utils _rebuild_wrapper_subclass", ()),
    "pickle.loads": lambda canary: ("_pickle loads", (inner(canary),)),
    "marshal": lambda canary: ("marshal loads", (b"N",)),
    "zipimport": lambda canary: ("zipimport zipimporter", (str(canary),)),
    "socket": lambda canary: ("socket create_connection", (("127.0.0.1", 9),)),
    "webbrowser": lambda canary: ("webbrowser open", ("http://127.0.0.1:9",)),
    "pty": lambda canary: ("pty spawn", (["touch", str(canary)],)),
    "multiprocessing": lambda canary: ("multiprocessing.util spawnv_passfds", (b"/bin/true", [])),
    "asyncio": lambda canary: ("asyncio.unix_events _UnixSubprocessTransport", ()),
    "logging": lambda canary: ("logging FileHandler", (str(canary),)),
    "sys.modules": lambda canary: ("sys modules", ()),
    "builtins nested": lambda canary: ("builtins __import__", ("os",)),
}  # fmt: skip
SINGING = [
    "os.system", "subprocess.call", "eval", "exec", "open", "os.mkdir", "runpy", "torch.save",
    "pickle.loads", "shutil.copy", "numpy.memmap", "logging", "torch.load",
]  # fmt: skip


def inner(canary: Path) -> bytes:
    return pickle.dumps(Gadget(canary), protocol=2)


def calling(name: str, arguments: tuple[Any, ...], protocol: int) -> bytes:
    """A pickle that calls module.name with the arguments."""
    module, attribute = name.split(" ")
    held = pickle.dumps(arguments, protocol=protocol)[:-1]  # without its end
    if protocol >= 4:
        # No frame; then two strings and STACK_GLOBAL, before the arguments.
        held = pickle.dumps(arguments, protocol=3)[2:-1]
        named = b"".join(b"\x8c" + bytes([len(s)]) + s.encode() for s in (module, attribute))
        return b"\x80\x04" + named + b"\x93" + held + b"R."
    return b"\x80\x02" + f"c{module}\n{attribute}\n".encode() + held[2:] + b"R."


def in_zip(data: bytes, folder: Path, archive: Path) -> Path:
    return rewritten(archive, folder / "z.pt", lambda n, d: data if n.endswith("data.pkl") else d)


def in_a_dict(data: bytes, folder: Path, archive: Path) -> Path:
    """Deep in what else looks like weights."""
    body = b"\x80\x02}X\x0a\x00\x00\x00state_dict}X\x01\x00\x00\x00w" + data[2:-1] + b"ss."
    return in_zip(body, folder, archive)


def legacy(data: bytes, folder: Path, archive: Path) -> Path:
    """Where torch's older format has its objects: behind a magic number, a version, a machine."""
    path = folder / "legacy.bin"
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001}]
    start = b"".join(pickle.dumps(part, protocol=2) for part in head)
    path.write_bytes(start + data + pickle.dumps([], protocol=2))
    return path


def plain(data: bytes, folder: Path, archive: Path) -> Path:
    path = folder / "plain.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("wrap", [in_zip, in_a_dict, legacy, plain])
def test_no_gadget_runs(
    tmp_path: Path, archive: Path, wrap: Callable[[bytes, Path, Path], Path], protocol: int
) -> None:
    canary = tmp_path / "canary"
    for gadget in GADGETS.values():
        path = wrap(calling(*gadget(canary), protocol), tmp_path, archive)
        with pytest.raises(CheckpointError):
            read_checkpoint(path)
        assert not canary.exists()


@pytest.mark.parametrize("name", SINGING)
@pytest.mark.parametrize("protocol", [2, 4])
def test_the_canary_would_have_sung(tmp_path: Path, name: str, protocol: int) -> None:
    canary = tmp_path / "canary"
    with suppress(Exception):
        held = pickle.loads(calling(*GADGETS[name](canary), protocol))
        getattr(held, "close", int)()
    assert canary.exists()


class Saving(nn.Module):
    """A TorchScript module that writes a file as soon as torch loads it."""

    def __init__(self, canary: str) -> None:
        super().__init__()
        self.canary = canary
        self.proj = nn.Parameter(torch.ones(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, Tensor, bool]:
        return self.canary, self.proj, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, Tensor, bool]) -> None:
        self.canary = state[0]
        self.proj = state[1]
        self.training = state[2]
        torch.save(state[1], state[0])


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore::DeprecationWarning")
def test_torchscript_that_would_run_code(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "script.pt"
    torch.jit.script(Saving(str(canary))).save(str(path))
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    assert not canary.exists()
    torch.jit.load(str(path))
    assert canary.exists()
