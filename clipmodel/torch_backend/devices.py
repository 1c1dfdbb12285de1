"""The devices of this machine, and what each would do: precision, batch size, or why nothing."""

import logging
import os
import platform
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from clipmodel.errors import DeviceFault
from clipmodel.pools import Lock
from clipmodel.torch_backend.device_errors import classify, explained

Held = Literal["fp32", "bf16", "fp16"]  # a precision that was chosen
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CORE_BATCH, GPU_BATCH = 16, 256  # pictures that go through a tower together
LANES = 2  # batches under way on a GPU: one is computed, one arrives
BF16_CAPABILITY = (8, 0)  # Ampere; before, a GPU only imitates bfloat16

_asking = Lock()  # filters of warnings belong to all threads


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """A device of this machine, as `retrieve devices` shows it."""

    name: str  # "cpu", "cuda:0", "mps"
    title: str  # the product's
    memory: int | None  # bytes
    free: int | None  # bytes of it that nothing uses now
    precision: Held | None  # that "auto" means; None: not usable
    batch_size: int | None  # pictures under way at once
    is_default: bool
    fault: DeviceFault | None = None  # why it cannot be used


def canonical(device: str | None) -> str:
    """Return the device meant: the default for None, and "cpu" for "cpu:0", the same device."""
    if device is None:
        return default_device()
    return "cpu" if device.partition(":")[0] == "cpu" else device


def default_device() -> str:
    """Return the first CUDA device if there is one, else the CPU."""
    with _asking:
        return "cuda" if _has_cuda() else "cpu"


@cache
def _has_cuda() -> bool:
    """Ask once, and log why a GPU that is there cannot be used: torch only warns, at length."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        is_usable = torch.cuda.is_available()
    for warning in told:
        if fault := classify(RuntimeError(str(warning.message))):
            logging.getLogger("clipmodel").warning(f"{fault.line('cuda')}; using the CPU")
    return is_usable


def best_precision(device: str) -> Held:
    """Return what "auto" means: fp16 on CUDA, bf16 on a CPU that multiplies it, else fp32."""
    kind = device.partition(":")[0]
    if kind == "cuda":
        return "fp16"
    return "bf16" if kind == "cpu" and has_native_bf16() else "fp32"


def wider_precision(device: str, precision: Held) -> Held | None:
    """Return the next precision with a wider range, or None after float32."""
    if precision == "fp16" and device.partition(":")[0] == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= BF16_CAPABILITY else "fp32"
    return None if precision == "fp32" else "fp32"


def has_native_bf16() -> bool:
    """Return whether the CPU multiplies bfloat16 natively (AVX512-BF16, AMX)."""
    return any(
        bool(getattr(torch.cpu, name, bool)())
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


@cache
def cores() -> int:
    """Return how many threads torch uses, asked once, as any thread may change the answer."""
    return torch.get_num_threads()


def devices() -> list[DeviceReport]:
    """Return what this machine has. Each is tried with a small product, which takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch warns of is among the faults
        default = default_device()
        count = torch.cuda.device_count()
        named = [f"cuda:{number}" for number in range(count)] or ["cuda"]
        named += ["mps"] if sys.platform == "darwin" else []
        if hasattr(torch, "xpu") and (gpus := torch.xpu.device_count()):
            named += [f"xpu:{number}" for number in range(gpus)]
        found = [report(name, name.partition(":")[0] == default) for name in named]
    return [*found, report("cpu", default == "cpu")]


def check_present(name: str) -> None:
    """Raise DeviceError if there is no such device. Nothing is done on it: another process will."""
    kind, _, number = name.partition(":")
    counts: dict[str, Callable[[], int]] = {
        "cuda": torch.cuda.device_count,
        "mps": lambda: int(torch.backends.mps.is_available()),
        "xpu": lambda: torch.xpu.device_count() if hasattr(torch, "xpu") else 0,
    }
    with explained(name):
        if int(number or 0) >= counts[kind]():
            torch.empty(1, device=name)  # says why


def report(
    name: str, is_default: bool, attempt: Callable[[str], None] | None = None
) -> DeviceReport:
    """Return what a device would do. attempt: a call that fails if the device cannot be used."""
    try:
        (attempt or _attempt)(name)
        title, memory, free = _described(name)
    except Exception as error:
        if (fault := classify(error)) is None:
            raise
        return DeviceReport(name, "", None, None, None, None, False, fault)
    is_first = is_default and name.partition(":")[2] in ("", "0")
    batch = CORE_BATCH * cores() if name == "cpu" else GPU_BATCH * LANES
    return DeviceReport(name, title, memory, free, best_precision(name), batch, is_first)


def _attempt(name: str) -> None:
    x = torch.ones(64, 64, dtype=DTYPES[best_precision(name)], device=name)
    (x @ x).sum().item()


def _described(name: str) -> tuple[str, int | None, int | None]:
    """Return the product's name, and the bytes of its memory and of what is free."""
    kind = name.partition(":")[0]
    if kind == "cuda":
        free, total = torch.cuda.mem_get_info(name)
        return torch.cuda.get_device_name(name), total, free
    if kind == "xpu":
        found = torch.xpu.get_device_properties(name)
        return found.name, found.total_memory, None
    if kind == "mps":
        return "Apple GPU", torch.mps.recommended_max_memory(), None
    return _processor(), _memory(), None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    said = names[0] if names else platform.processor() or platform.machine()
    return f"{said}, {cores()} cores"


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
