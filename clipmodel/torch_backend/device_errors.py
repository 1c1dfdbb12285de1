"""Errors of devices, by what helps against each: a table, and `classify`, which looks errors up.

Frameworks report most of them as a RuntimeError, so their messages decide. torch is not imported:
a process without a device may ask, too.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from clipmodel.errors import DeviceError, DeviceFault, DeviceFaultKind

Kind = DeviceFaultKind
ON_CPU = "use --device cpu"


class Row(NamedTuple):
    """A line of the table: what messages look like, what they mean, and what to do."""

    kind: Kind
    said: str  # a pattern for the message, in any case
    reason: str  # empty: the message's own
    remedy: str


TABLE = (  # the first line that fits counts
    Row(
        Kind.OUT_OF_MEMORY,
        # CUDA's, HIP's and MPS's allocators; cuBLAS, cuDNN; Level Zero; the CPU's allocator
        r"out of memory|STATUS_ALLOC_FAILED|ALLOCATION_FAILED|NOT_INITIALIZED.*cublasCreate"
        r"|OUT_OF_(DEVICE|HOST)_MEMORY|can't allocate memory|cudaErrorMemoryAllocation",
        "out of memory, even for one picture",
        f"end other programs that use it, choose a smaller --model, or {ON_CPU}",
    ),
    Row(
        Kind.OLD_DRIVER,
        r"driver on your system is too old|driver version is insufficient|unsupported toolchain"
        r"|unsupported display driver|forward compatibility was attempted",
        "its driver is too old for this version of torch",
        f"update the driver, install a torch built for an older CUDA, or {ON_CPU}",
    ),
    Row(
        Kind.UNSUPPORTED,
        r"no kernel image|invalid device function|not compatible with the current PyTorch",
        "this build of torch has no code for its architecture",
        f"install a torch built for it, or {ON_CPU}",
    ),
    Row(
        Kind.BUSY,
        r"devices? (are|is) busy|busy or unavailable",
        "another program has exclusive use of it",
        f"wait for that program, or {ON_CPU}",
    ),
    Row(
        Kind.MISSING,
        r"found no nvidia driver",
        "no NVIDIA driver is installed",
        f"install one, or {ON_CPU}",
    ),
    Row(
        Kind.MISSING,
        r"not compiled with|not linked with support|could not run 'aten::.*backend"
        r"|mps backend is supported|expected one of cpu",
        "this build of torch does not support it",
        "see `retrieve devices`",
    ),
    Row(
        Kind.MISSING,
        r"no (cuda|hip|xpu) (gpus|devices) are available|invalid device (ordinal|id)"
        r"|device id out of range|device index .*out of range",
        "there is no such device",
        "see `retrieve devices`",
    ),
    Row(
        Kind.LOST,
        r"(CUDA|HIP|XPU|cuDNN|MIOpen) error|CUBLAS_STATUS_|CUDNN_STATUS_|GPU is lost"
        r"|fallen off the bus|command ?buffer.*(fail|error|abort)|DEVICE_LOST|MPS.*internal error",
        "",
        f"try again, or {ON_CPU}",
    ),
)
# Of a program, not of a device: such an error is ours, and needs its traceback.
MISTAKES = r"invalid (argument|value|configuration|resource handle)|STATUS_INVALID|not permitted"
LONGEST = 80  # characters of a message


def classify(error: BaseException) -> DeviceFault | None:
    """Return what is wrong with a device, or None for an error that has nothing to do with one.

    The error's causes count, too: a capture that fails says only that it failed.
    """
    for each in _chain(error):
        if isinstance(each, DeviceError):
            return each.fault
        if isinstance(each, MemoryError) or _is_torch(each, "OutOfMemoryError"):
            return _fault(TABLE[0], each)
        if isinstance(each, (RuntimeError, AssertionError)):
            for row in TABLE:
                if re.search(row.said, str(each), re.IGNORECASE | re.DOTALL):
                    is_ours = row.kind is Kind.LOST and re.search(MISTAKES, str(each))
                    return None if is_ours else _fault(row, each)
            if _is_torch(each, "AcceleratorError"):
                return _fault(TABLE[-1], each)
    return None


@contextmanager
def explained(device: str) -> Iterator[None]:
    """Raise DeviceError in place of an error that means a fault of the device."""
    try:
        yield
    except (RuntimeError, AssertionError, MemoryError) as error:
        if fault := classify(error):
            raise DeviceError(device, fault) from error
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def _is_torch(error: BaseException, name: str) -> bool:
    """Return whether an error is of torch's class of that name, which older versions may lack."""
    return any(c.__name__ == name and c.__module__ == "torch" for c in type(error).__mro__)


def _fault(row: Row, error: BaseException) -> DeviceFault:
    return DeviceFault(row.kind, row.reason or _first_line(error), row.remedy)


def _first_line(error: BaseException) -> str:
    """Return what a driver said, without torch's advice for developers."""
    said = (str(error).splitlines() or [""])[0].strip().rstrip(".") or type(error).__name__
    said = re.sub(r"^(CUDA|HIP|XPU) error: ", "", said)
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
