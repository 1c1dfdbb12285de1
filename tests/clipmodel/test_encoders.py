"""The encoders: NumPy's towers and the batched image tower against the torch model."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipmodel.config import ModelConfig, ResNetConfig, VisionConfig
from clipmodel.errors import CheckpointError, ClipModelError
from clipmodel.families import image_family, text_family
from clipmodel.hub.registry import REGISTRY
from clipmodel.model import CLIP
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
from clipmodel.torch_backend.image_encoder import ImageEncoder
from clipmodel.towers.lite import efficientnet_lite, lite_sizes
from clipmodel.towers.shapes import COUNTER, filed
from tests.clipmodel.small import (
    BERT_CONFIG,
    EFFICIENTNET_CONFIG,
    RESNET_CONFIG,
    SIGLIP_CONFIG,
    VIT_CONFIG,
    model_of,
)

FAMILIES = {
    "vit": VIT_CONFIG,
    "vit, quick_gelu, a rest beside the patches": replace(
        VIT_CONFIG, vision=VisionConfig(36, 8, 64, 2, 4, 256, "quick_gelu")
    ),
    "resnet": RESNET_CONFIG,
    "efficientnet": EFFICIENTNET_CONFIG,
    "efficientnet, odd sides, no hidden layer": replace(
        VIT_CONFIG,
        vision=replace(
            EFFICIENTNET_CONFIG.vision, image_size=75, projection=(), all_stages=False, classes=0
        ),
    ),
    "efficientnet-lite2": replace(
        VIT_CONFIG, vision=efficientnet_lite(2, image_size=65, projection=(64, 32))
    ),
    "deeper resnet": replace(VIT_CONFIG, vision=ResNetConfig(96, 8, (1, 3, 2, 2), 4)),
}


def test_text_and_a_picture_need_no_torch(folder: ModelFolder) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "import clipmodel, numpy\n"
        "from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder\n"
        "from clipmodel.pretrained import resolve\n"
        "from clipmodel.numpy_backend.text_encoder import TextEncoder\n"
        f"TextEncoder(resolve({str(folder.path)!r})).encode(['a red car'])\n"
        "pixels = numpy.zeros((1, 32, 32, 3), numpy.uint8)\n"
        f"NumpyImageEncoder(resolve({str(folder.path)!r})).encode(pixels)\n"
        "assert not {'torch', 'torchvision', 'safetensors'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_batches_of_pictures_equal_the_model(config: ModelConfig, tmp_path: Path) -> None:
    model = model_of(config)
    folder = save_folder(tmp_path / "m", "m", config, model.state_dict())
    side = config.vision.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (5, side, side, 3), np.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
    batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.inference_mode():
        theirs = F.normalize(model.encode_image(batch), dim=1).numpy()
    for encoder in (
        ImageEncoder(folder, device="cpu", precision="fp32"),
        NumpyImageEncoder(folder),
    ):
        np.testing.assert_allclose(encoder.encode(pixels), theirs, atol=1e-5, rtol=0)
        assert encoder.encode(pixels[:0]).shape == (0, 48)
        with pytest.raises(ValueError, match="pixels of shape"):
            encoder.encode(pixels[:, :-1])


def test_weights_that_give_no_numbers_are_refused(tmp_path: Path) -> None:
    state = model_of(VIT_CONFIG).state_dict()
    state["visual.proj"][0, 0] = float("nan")
    folder = save_folder(tmp_path / "m", "m", VIT_CONFIG, state)
    for encoder in (ImageEncoder(folder, device="cpu"), NumpyImageEncoder(folder)):
        with pytest.raises(ClipModelError, match="not numbers"):
            encoder.encode(np.zeros((1, 32, 32, 3), np.uint8))


@pytest.mark.parametrize(
    "vision",
    [
        RESNET_CONFIG.vision,
        replace(VIT_CONFIG.vision, layers=1),
        replace(VIT_CONFIG.vision, layers=3),
        replace(VIT_CONFIG.vision, mlp_width=128),
        replace(VIT_CONFIG.vision, patch_size=4),
    ],
)
def test_weights_of_another_image_tower_are_refused(
    folder: ModelFolder, vision: VisionConfig | ResNetConfig
) -> None:
    other = replace(folder, config=replace(VIT_CONFIG, vision=vision))
    for encoder in (ImageEncoder, NumpyImageEncoder):
        with pytest.raises(CheckpointError, match="is damaged: .*; remove .* to create it again"):
            encoder(other)


CONFIGS = {name: entry.config for name, entry in REGISTRY.items()}
CONFIGS |= {f"lite{n}": replace(VIT_CONFIG, vision=efficientnet_lite(n)) for n in lite_sizes()}
CONFIGS |= {"efficientnet": EFFICIENTNET_CONFIG, "bert": BERT_CONFIG, "siglip": SIGLIP_CONFIG}
CONFIGS["bert without projection"] = replace(
    BERT_CONFIG, embed_dim=64, text=replace(BERT_CONFIG.text, projects=False)
)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_shapes_of_weights_are_those_of_the_model(name: str) -> None:
    config = CONFIGS[name]
    with torch.device("meta"):
        state = CLIP.of(config).state_dict()
    held = {filed(name): tuple(w.shape) for name, w in state.items() if COUNTER not in name}
    image = image_family(config.vision).shapes(config.vision, config.embed_dim)
    text = text_family(config.text).shapes(config.text, config.embed_dim)
    images = {f"visual.{name}": shape for name, shape in image.items()}
    texts = {f"text.{name}": shape for name, shape in text.items()}
    logits = {"logit_scale": ()} | ({"logit_bias": ()} if config.logit_bias else {})
    assert held == images | texts | logits
