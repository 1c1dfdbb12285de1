"""The choice of a device: the one asked for, $RETRIEVE_DEVICE, or the machine's best."""

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from retrieval.errors import InvalidValue
from retrieval.values import texts

if TYPE_CHECKING:
    from clipmodel.torch_backend.image_encoder import Precision

VARIABLE = "RETRIEVE_DEVICE"
DEVICE = r"(cpu|cuda|mps|xpu)(:\d{1,3})?"
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """Where to encode, and how exactly. Raises InvalidValue for an invalid value."""

    device: str | None = None  # "cpu", "cuda", "cuda:1", "mps"; None: not asked for
    precision: "Precision" = "auto"

    def __post_init__(self) -> None:
        check_device(self.device)
        check_precision(self.precision)

    @property
    def needs_torch(self) -> bool:
        """Return whether the encoder must be torch's, even for a few pictures."""
        return self.device is not None or self.precision != "auto"


def device_or_default(device: str | None) -> str | None:
    """Return the device asked for, else $RETRIEVE_DEVICE; None: the machine's best. Raises
    InvalidValue.
    """
    if device is not None or not (held := os.environ.get(VARIABLE)):
        return device
    try:
        check_device(held)
    except InvalidValue as error:
        raise InvalidValue(f"${VARIABLE}: {error}") from error
    return held


def check_device(device: str | None) -> None:
    if device is not None and not re.fullmatch(DEVICE, str(device)):
        raise InvalidValue(f"{device!r} is not a valid device; use cpu, cuda, cuda:1, mps or xpu")


def check_precision(precision: str) -> None:
    if precision not in PRECISIONS:
        raise InvalidValue(
            f"the precision must be one of {', '.join(PRECISIONS)}, not {precision!r}"
        )


ANY = DeviceChoice()


def several_devices(devices: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names in "cuda:0,cuda:1", or in a list of names. Raises InvalidValue."""
    listed = devices.split(",") if isinstance(devices, str) else devices
    found = tuple(name.strip() for name in texts("devices", listed or ()))
    named = dict[str, str]()
    for name in found:
        check_device(name)
        if other := named.get(_only_name(name)):
            raise InvalidValue(f"{other!r} and {name!r} are one device; name each device once")
        named[_only_name(name)] = name
    return found


def is_cpu(device: str | None) -> bool:
    """Return whether the CPU is meant: by "cpu", and by "cpu:0", which is the same."""
    return device is not None and device.partition(":")[0] == "cpu"


def _only_name(device: str) -> str:
    """Return the same name for all names of a device."""
    kind, _, number = device.partition(":")
    return kind if is_cpu(device) else f"{kind}:{int(number or 0)}"


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device of this machine, as `retrieve devices` shows it."""

    name: str  # "cpu", "cuda:0", "mps"
    title: str  # the product's; empty if the device cannot be used
    memory: int | None  # bytes
    free: int | None  # bytes of it that nothing uses now
    precision: str | None  # that "auto" means
    batch_size: int | None  # pictures under way at once
    is_default: bool
    reason: str | None  # why it cannot be used
    remedy: str | None


def check_present(device: str | None) -> None:
    """Raise DeviceError if there is no such device, for what encodes later. Imports torch unless
    it is the CPU.
    """
    named = device_or_default(device)
    if named and not is_cpu(named):
        from clipmodel.torch_backend import devices

        devices.check_present(named)


def known_devices() -> list[KnownDevice]:
    """Return the devices of this machine, each tried with a small product. Imports torch."""
    from clipmodel.torch_backend.devices import devices

    chosen = device_or_default(None)
    found = list[KnownDevice]()
    for each in devices():
        held = asdict(each)
        fault = held.pop("fault") or {"reason": None, "remedy": None}
        if chosen:
            held["is_default"] = each.fault is None and each.name in (chosen, f"{chosen}:0")
        found.append(KnownDevice(**held, reason=fault["reason"], remedy=fault["remedy"]))
    return found
