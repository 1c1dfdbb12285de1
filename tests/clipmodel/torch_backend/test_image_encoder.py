"""The batched image tower: any batch, any precision, any number of cores."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clipmodel.config import ModelConfig
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
from clipmodel.torch_backend.image_encoder import ImageEncoder
from tests.clipmodel.small import RESNET_CONFIG, VIT_CONFIG, model_of


@pytest.mark.parametrize("can", [True, False], ids=["packed", "as in the model"])
def test_a_picture_has_one_vector_in_any_batch(
    can: bool, folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can:  # as on a processor that is no x86
        monkeypatch.setattr("clipmodel.torch_backend.inference.can_pack", lambda *_: False)
    encoder = ImageEncoder(folder, device="cpu", precision="fp32")
    pixels = np.random.default_rng(0).integers(0, 256, (75, 32, 32, 3), np.uint8)
    together = encoder.encode(pixels)
    np.testing.assert_allclose(together, NumpyImageEncoder(folder).encode(pixels), atol=1e-5)
    for count in (1, 2, 17):
        np.testing.assert_allclose(encoder.encode(pixels[:count]), together[:count], atol=1e-6)


@pytest.mark.parametrize("config", [VIT_CONFIG, RESNET_CONFIG], ids=["vit", "resnet"])
def test_bfloat16_stays_near_float32(config: ModelConfig, tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "m", "m", config, model_of(config).state_dict())
    side = config.vision.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), np.uint8)
    single, brain = (
        ImageEncoder(folder, device="cpu", precision=precision).encode(pixels)
        for precision in ("fp32", "bf16")
    )
    assert (single * brain).sum(axis=1).min() > 0.999


ON_TWO_CORES = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
import torch
from clipmodel.torch_backend.image_encoder import ImageEncoder
from clipmodel.pretrained import resolve

torch.set_num_threads(2)
folder = resolve(Path(sys.argv[1]))
side = folder.config.vision.image_size
pixels = np.random.default_rng(0).integers(0, 256, (20, side, side, 3), np.uint8)

def fresh(call, *given):
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call, *given).result()

for _ in range(2):
    encoder = fresh(ImageEncoder, folder)
    alone = np.concatenate([fresh(encoder.encode, one[None]) for one in pixels])
    together = fresh(encoder.encode, pixels)
    with ThreadPoolExecutor(8) as threads:
        at_once = np.concatenate([*threads.map(lambda one: encoder.encode(one[None]), pixels)])
    assert np.abs(alone - together).max() < 0.02 and np.abs(at_once - together).max() < 0.02
    of_a_slot = encoder._threads.submit(torch.get_num_threads).result()
    of_one_picture = encoder._all_cores.submit(torch.get_num_threads).result()
    print(encoder.slots, of_a_slot, of_one_picture)
"""


def test_every_encoder_of_a_process_has_all_cores(folder: ModelFolder) -> None:
    command = [sys.executable, "-c", ON_TWO_CORES, str(folder.path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("2 1 2\n2 1 2\n", "")
