"""What a device may say when it fails, and what becomes of it. The messages are frameworks' own."""

import logging
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipmodel.errors import ClipModelError, DeviceError, DeviceFaultKind
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.torch_backend.device_errors import classify
from clipmodel.torch_backend.devices import (
    Held,
    _has_cuda,
    canonical,
    check_present,
    default_device,
    devices,
    report,
    wider_precision,
)
from clipmodel.torch_backend.fitting import PATIENCE, Fitting
from clipmodel.torch_backend.image_encoder import Forward, ImageEncoder
from tests.clipmodel.small import VIT_CONFIG, model_of

Kind = DeviceFaultKind
Accelerator = getattr(torch, "AcceleratorError", RuntimeError)  # since torch 2.8
ADVICE = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
    "stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1."
)
MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total …"),
    Accelerator("CUDA error: out of memory" + ADVICE),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB, max allowed: 9.07 GB)."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]
TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
    "driver by downloading and installing a new version from the URL: http://www.nvidia.com/"
)
FAULTS: list[tuple[Exception, Kind, str]] = [
    *((error, Kind.OUT_OF_MEMORY, "out of memory") for error in MEMORY),
    (
        Accelerator(
            "CUDA error: no kernel image is available for execution on the device" + ADVICE
        ),
        Kind.UNSUPPORTED,
        "no code for its architecture",
    ),
    (RuntimeError(TOO_OLD), Kind.OLD_DRIVER, "update the driver"),
    (
        RuntimeError("CUDA error: the provided PTX was compiled with an unsupported toolchain."),
        Kind.OLD_DRIVER,
        "update the driver",
    ),
    (
        Accelerator("CUDA error: CUDA-capable device(s) is/are busy or unavailable" + ADVICE),
        Kind.BUSY,
        "another program",
    ),
    (
        RuntimeError("Found no NVIDIA driver on your system. Please check that you have an …"),
        Kind.MISSING,
        "no NVIDIA driver is installed",
    ),
    (AssertionError("Torch not compiled with CUDA enabled"), Kind.MISSING, "does not support it"),
    (
        NotImplementedError("Could not run 'aten::empty' with arguments from the 'MPS' backend."),
        Kind.MISSING,
        "does not support it",
    ),
    (Accelerator("CUDA error: invalid device ordinal" + ADVICE), Kind.MISSING, "retrieve devices"),
    (Accelerator("CUDA error: unspecified launch failure" + ADVICE), Kind.LOST, "unspecified"),
    (RuntimeError("CUDA error: uncorrectable ECC error encountered"), Kind.LOST, "ECC"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when …"), Kind.LOST, "EXECUTION"),
]


@pytest.mark.parametrize(("error", "kind", "said"), FAULTS)
def test_an_error_has_one_line_with_its_remedy(error: Exception, kind: Kind, said: str) -> None:
    fault = classify(error)
    assert fault and fault.kind is kind
    line = fault.line("cuda:0")
    assert line.startswith("cannot use cuda:0 (") and said in line and "\n" not in line
    assert "--device cpu" in line or "retrieve devices" in line
    assert len(line) < 170 and "LAUNCH_BLOCKING" not in line
    assert fault.may_pass == (kind in (Kind.LOST, Kind.BUSY))
    sent = pickle.loads(pickle.dumps(DeviceError("cuda:0", fault)))  # from an encoder's process
    assert str(sent) == line and classify(sent) == fault


def test_other_errors_are_none_of_a_device() -> None:
    for error in (
        ValueError("CUDA error"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasGemmEx`"),
        RuntimeError("CUDA error: operation not permitted when stream is capturing"),
        KeyError("visual"),
    ):
        assert classify(error) is None, error


def test_the_cause_of_an_error_counts() -> None:
    with pytest.raises(RuntimeError) as raised:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")
    fault = classify(raised.value)
    assert fault and fault.kind is Kind.OUT_OF_MEMORY


# -- a small encoder whose device fails ----------------------------------------------------------


class Failing(ImageEncoder):
    """Encodes as any encoder does, until `fails` returns an error for a batch."""

    fails: Callable[[int], Exception | None] = staticmethod(lambda count: None)

    def prepared(self, precision: Held) -> Forward:
        forward = super().prepared(precision)

        def call(pixels: Tensor) -> Tensor:
            if error := self.fails(len(pixels)):
                raise error
            return forward(pixels)

        return call


def pictures(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_batches_are_halved_until_they_fit(error: Exception, folder: ModelFolder) -> None:
    encoder = Failing(folder, device="cpu", precision="fp32")
    pixels, tried = pictures(13), list[int]()
    whole = encoder.encode(pixels)

    def fails(count: int) -> Exception | None:
        tried.append(count)
        return error if count > 4 else None

    encoder.fails = fails
    np.testing.assert_allclose(encoder.encode(pixels), whole, atol=1e-6)
    assert max(tried) > 4
    tried.clear()
    encoder.encode(pixels)
    assert max(tried) <= 4, "it remembers"
    encoder.fails = lambda _: error
    with pytest.raises(DeviceError, match=r"cannot use cpu \(out of memory, even for one picture"):
        encoder.encode(pixels)


def test_a_size_that_fits_again_is_found_again() -> None:
    room, tried = 4, list[int]()

    def forward(batch: Tensor) -> Tensor:
        tried.append(len(batch))
        if len(batch) > room:
            raise torch.OutOfMemoryError
        return batch

    fitting = Fitting(forward, 16)
    fitting(torch.zeros(16, 1))
    assert fitting.together == 4
    room = 16  # another program has ended
    for _ in range(100 * PATIENCE):
        fitting(torch.zeros(fitting.together, 1))
    assert fitting.together == 16 and tried.count(16) > 1


@pytest.mark.parametrize(
    ("error", "kind", "said"), [each for each in FAULTS if each[1] is not Kind.OUT_OF_MEMORY]
)
def test_a_device_that_fails_while_it_encodes(
    error: Exception, kind: Kind, said: str, folder: ModelFolder
) -> None:
    encoder = Failing(folder, device="cpu", precision="fp32")
    encoder.fails = lambda _: error
    with pytest.raises(DeviceError, match="cannot use cpu") as raised:
        encoder.encode(pictures(2))
    assert said in str(raised.value) and raised.value.fault.kind is kind


def test_a_device_that_fails_while_the_tower_is_loaded(folder: ModelFolder) -> None:
    class Lacking(ImageEncoder):
        def prepared(self, precision: Held) -> Forward:
            raise RuntimeError("CUDA error: no kernel image is available for execution")

    with pytest.raises(DeviceError, match=r"cannot use cuda:7 \(this build of torch has no code"):
        Lacking(folder, device="cuda:7", precision="fp16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(folder: ModelFolder) -> None:
    for name in ("cuda", "cuda:3", "nonsense"):
        with pytest.raises(DeviceError, match=f"cannot use {name} \\("):
            ImageEncoder(folder, device=name, precision="fp16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_known_without_an_encoder() -> None:
    for name in ("cuda", "cuda:3", "mps:1", "xpu:9"):
        with pytest.raises(DeviceError, match=rf"cannot use {name} \(.*\); "):
            check_present(name)


def test_our_own_mistakes_stay_what_they_are(folder: ModelFolder) -> None:
    encoder = Failing(folder, device="cpu", precision="fp32")
    encoder.fails = lambda _: RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="mat1"):
        encoder.encode(pictures(1))


# -- precision -----------------------------------------------------------------------------------


def test_an_overflow_is_encoded_in_a_wider_precision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = model_of(VIT_CONFIG).state_dict()
    for name in ("c_fc.weight", "c_proj.weight"):  # activations of some millions, and small again
        scale = 1e7 if name.startswith("c_fc") else 1e-7
        state[f"visual.transformer.resblocks.0.mlp.{name}"] *= scale
    folder = save_folder(tmp_path / "m", "m", VIT_CONFIG, state, "float32")
    single, half = (
        ImageEncoder(folder, device="cpu", precision=precision) for precision in ("fp32", "fp16")
    )
    with caplog.at_level(logging.WARNING, "clipmodel"):
        vectors = half.encode(pictures(40))
    assert half.precision == "fp32"  # as the catalog will say; bf16 on a GPU that has it
    np.testing.assert_allclose(vectors, single.encode(pictures(40)), atol=1e-5)
    [record] = caplog.records
    assert record.getMessage() == "m overflows in fp16 on cpu; using fp32"


@pytest.mark.parametrize(
    ("device", "capability", "wider"),
    [
        ("cuda:0", (9, 0), {"fp16": "bf16", "bf16": "fp32", "fp32": None}),
        ("cuda", (7, 5), {"fp16": "fp32", "fp32": None}),
        ("cpu", None, {"fp16": "fp32", "bf16": "fp32", "fp32": None}),
        ("mps", None, {"fp16": "fp32", "fp32": None}),
    ],
)
def test_which_precision_is_the_next_wider(
    device: str,
    capability: tuple[int, int] | None,
    wider: dict[Held, Held | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: capability)
    assert {each: wider_precision(device, each) for each in wider} == wider


def test_weights_that_are_not_numbers_are_to_blame_in_any_precision(tmp_path: Path) -> None:
    state = model_of(VIT_CONFIG).state_dict()
    state["visual.proj"][0, 0] = torch.nan
    folder = save_folder(tmp_path / "m", "m", VIT_CONFIG, state, "float32")
    with pytest.raises(ClipModelError, match="weights give vectors that are not numbers"):
        ImageEncoder(folder, device="cpu", precision="bf16").encode(pictures(1))


# -- devices -------------------------------------------------------------------------------------


def test_cpu_0_is_the_cpu(folder: ModelFolder) -> None:
    assert [canonical(name) for name in ("cpu", "cpu:0", "cuda:1")] == ["cpu", "cpu", "cuda:1"]
    named, plain = (ImageEncoder(folder, device=name) for name in ("cpu:0", "cpu"))
    assert (named.device, named.precision) == ("cpu", plain.precision)
    assert (named.slots, named.batch_size) == (plain.slots, plain.batch_size)


def test_what_each_device_would_do() -> None:
    *others, cpu = devices()
    assert cpu.name == "cpu" and cpu.precision in ("fp32", "bf16") and cpu.memory
    assert [each.name for each in (*others, cpu) if each.is_default] == [
        "cuda:0" if torch.cuda.is_available() else "cpu"
    ]
    for each in others:
        assert (each.fault is None) == (each.precision is not None)


def test_a_gpu_that_cannot_be_used_is_mentioned_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_available() -> bool:
        warnings.warn(f"CUDA initialization: {TOO_OLD}", UserWarning, stacklevel=2)  # as torch does
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    _has_cuda.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "clipmodel"):
            assert [default_device(), canonical(None)] == ["cpu", "cpu"]
    finally:
        _has_cuda.cache_clear()
    [record] = caplog.records
    assert record.getMessage().startswith("cannot use cuda (its driver is too old for this version")
    assert record.getMessage().endswith("; using the CPU")


def test_why_a_device_cannot_be_used() -> None:
    def attempt(name: str) -> None:
        raise RuntimeError(TOO_OLD)

    found = report("cuda:0", True, attempt)
    assert found.fault and found.fault.kind is Kind.OLD_DRIVER
    assert not found.is_default and found.precision is None
