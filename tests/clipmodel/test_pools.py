"""A forked child encodes whatever its parent has encoded before, and with whatever."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipmodel.config import ModelConfig, ResNetConfig, TextConfig, VisionConfig
from clipmodel.model import CLIP
from clipmodel.model_folder import save_folder
from tests.clipmodel.small import MEAN, STD, shake

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork")

SECONDS = 60  # for what takes three
TEXT = TextConfig(77, 49408, 256, 1, 4, 1024, "quick_gelu")
VISIONS = {  # large enough that products are shared among threads
    "vit": VisionConfig(64, 8, 512, 2, 8, 2048, "quick_gelu"),
    "resnet": ResNetConfig(64, 16, (1, 1, 1, 1), 8),
}

PROGRAM = """
import multiprocessing, os, sys, threading
from pathlib import Path
import numpy as np
from clipmodel.pretrained import resolve

kind, path = sys.argv[1:]
folder = resolve(Path(path))
side = folder.config.vision.image_size
pixels = np.random.default_rng(0).integers(0, 256, (20, side, side, 3), np.uint8)

if kind == "texts":
    from clipmodel.numpy_backend.text_encoder import TextEncoder
    encode, some = TextEncoder(folder).encode, ["a red car", "two dogs", "a long sentence"] * 8
elif kind == "numpy":
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
    encode, some = NumpyImageEncoder(folder).encode, pixels[:9]
else:
    import torch
    torch.set_num_threads(2)
    from clipmodel.torch_backend.image_encoder import ImageEncoder
    encode, some = ImageEncoder(folder, device="cpu", precision="fp32").encode, pixels

wanted = encode(some)
first = encode(some[:1])
if kind == "torch":  # so that the thread which forks has had the help of OpenMP's
    torch.ones(1000, 1000).exp()

def child():
    assert np.abs(encode(some[:1]) - first).max() < 1e-5
    assert np.abs(encode(some) - wanted).max() < 1e-5

def fork():
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    process.kill()  # or one that hangs would outlive the test
    process.join()
    return process.exitcode

assert fork() == 0
stop = threading.Event()
def busy():  # others encode while this thread forks
    while not stop.is_set():
        encode(some)
threads = [threading.Thread(target=busy) for _ in range(2)]
for thread in threads:
    thread.start()
codes = [fork() for _ in range(2)]
stop.set()
for thread in threads:
    thread.join()
assert codes == [0, 0], codes
assert np.abs(encode(some) - wanted).max() < 1e-5
"""


@pytest.mark.parametrize(
    ("kind", "family"), [("texts", "vit"), ("numpy", "vit"), ("torch", "vit"), ("torch", "resnet")]
)
def test_a_forked_child_encodes(kind: str, family: str, tmp_path: Path) -> None:
    config = ModelConfig(64, VISIONS[family], TEXT, MEAN, STD)
    torch.manual_seed(0)
    folder = save_folder(tmp_path / "m", "m", config, shake(CLIP.of(config)).state_dict())
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, kind, str(folder.path)]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=root)
    assert ran.returncode == 0, ran.stderr
