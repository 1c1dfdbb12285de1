"""The encoders: NumPy's towers and the batched image tower against the torch model."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipmodel import shapes
from clipmodel.config import ModelConfig, ResNetConfig, TextConfig, VisionConfig
from clipmodel.errors import CheckpointError, ClipModelError
from clipmodel.model import CLIP
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.numpy_backend.transformer import gelu
from clipmodel.registry import REGISTRY
from clipmodel.tokenizer import token_ids
from clipmodel.torch_backend.image_encoder import ImageEncoder

VISION = VisionConfig(32, 8, 64, 2, 4, 256, "gelu")
CONFIG = ModelConfig(
    embed_dim=48,
    vision=VISION,
    text=TextConfig(77, 49408, 64, 3, 4, 256, "quick_gelu"),
    mean=(0.48, 0.46, 0.41),
    std=(0.27, 0.26, 0.28),
)
RESNET = replace(CONFIG, vision=ResNetConfig(64, 16, (1, 1, 1, 1), 8))
FAMILIES = {
    "vit": CONFIG,
    "vit, quick_gelu, a rest beside the patches": replace(
        CONFIG, vision=VisionConfig(36, 8, 64, 2, 4, 256, "quick_gelu")
    ),
    "resnet": RESNET,
    "deeper resnet": replace(CONFIG, vision=ResNetConfig(96, 8, (1, 3, 2, 2), 4)),
}
TEXTS = ["a red car", "", "two dogs on a beach at night", "x " * 74, "x " * 300, "漢字 🙂"]


def model_of(config: ModelConfig) -> CLIP:
    torch.manual_seed(0)
    model = CLIP(config).eval()
    for parameter in model.parameters():  # beyond the initial values, where many are 0 or 1
        parameter.data += 0.02 * torch.randn_like(parameter)
    for name, statistic in model.named_buffers():
        if "running" in name:
            statistic += 0.3 * torch.rand_like(statistic)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    state = model_of(CONFIG).state_dict()
    return save_folder(tmp_path_factory.mktemp("models") / "m", "m", CONFIG, state)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_text_in_numpy_equals_torch(activation: str, tmp_path: Path) -> None:
    config = replace(CONFIG, text=replace(CONFIG.text, activation=activation))
    model = model_of(config)
    folder = save_folder(tmp_path / "m", "m", config, model.state_dict())
    ids = torch.from_numpy(token_ids(TEXTS, truncate=True))
    with torch.inference_mode():
        theirs = F.normalize(model.encode_text(ids), dim=1).numpy()
    np.testing.assert_allclose(TextEncoder(folder).encode(TEXTS), theirs, atol=1e-5, rtol=0)


def test_float16_weights_lose_little(folder: ModelFolder, tmp_path: Path) -> None:
    state = model_of(CONFIG).state_dict()
    half = save_folder(tmp_path / "half", "half", CONFIG, state, "float16")
    cosines = (TextEncoder(half).encode(TEXTS) * TextEncoder(folder).encode(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.9999
    assert half.text_file.stat().st_size < 0.6 * folder.text_file.stat().st_size


def test_a_text_has_one_vector_in_any_company(folder: ModelFolder) -> None:
    encoder = TextEncoder(folder)
    together = encoder.encode(TEXTS * 40)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together[: len(TEXTS)], alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert encoder.encode([]).shape == (0, 48)


def test_threads_may_share_a_text_encoder(folder: ModelFolder) -> None:
    encoder, wanted = TextEncoder(folder), TextEncoder(folder).encode(TEXTS)
    wrong: list[str] = []

    def work() -> None:
        if not np.allclose(encoder.encode(TEXTS), wanted, atol=1e-6):
            wrong.append("differs")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_gelu_is_exact() -> None:
    x = np.linspace(-12, 12, 10_001, dtype=np.float32)
    np.testing.assert_allclose(gelu(x), F.gelu(torch.from_numpy(x)).numpy(), atol=1e-6)


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


@pytest.mark.parametrize("can", [True, False], ids=["packed", "as in the model"])
def test_a_picture_has_one_vector_in_any_batch(
    can: bool, folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can:  # as on a processor that is no x86
        monkeypatch.setattr("clipmodel.torch_backend.image_encoder.can_pack", lambda dtype: False)
    encoder = ImageEncoder(folder, device="cpu", precision="fp32")
    pixels = np.random.default_rng(0).integers(0, 256, (75, 32, 32, 3), np.uint8)
    together = encoder.encode(pixels)
    np.testing.assert_allclose(together, NumpyImageEncoder(folder).encode(pixels), atol=1e-5)
    for count in (1, 2, 17):
        np.testing.assert_allclose(encoder.encode(pixels[:count]), together[:count], atol=1e-6)


@pytest.mark.parametrize("config", [CONFIG, RESNET], ids=["vit", "resnet"])
def test_bfloat16_stays_near_float32(config: ModelConfig, tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "m", "m", config, model_of(config).state_dict())
    side = config.vision.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), np.uint8)
    single, brain = (
        ImageEncoder(folder, device="cpu", precision=precision).encode(pixels)
        for precision in ("fp32", "bf16")
    )
    assert (single * brain).sum(axis=1).min() > 0.999


def test_weights_that_give_no_numbers_are_refused(tmp_path: Path) -> None:
    state = model_of(CONFIG).state_dict()
    state["visual.proj"][0, 0] = float("nan")
    folder = save_folder(tmp_path / "m", "m", CONFIG, state)
    for encoder in (ImageEncoder(folder, device="cpu"), NumpyImageEncoder(folder)):
        with pytest.raises(ClipModelError, match="no numbers"):
            encoder.encode(np.zeros((1, 32, 32, 3), np.uint8))


def test_a_device_that_is_not_there_is_an_error(folder: ModelFolder) -> None:
    with pytest.raises(ClipModelError, match="cannot use the device 'nonsense'"):
        ImageEncoder(folder, device="nonsense")


@pytest.mark.parametrize(
    "vision",
    [
        RESNET.vision,
        replace(VISION, layers=1),
        replace(VISION, layers=3),
        replace(VISION, mlp_width=128),
        replace(VISION, patch_size=4),
    ],
)
def test_weights_of_another_image_tower_are_refused(
    folder: ModelFolder, vision: VisionConfig | ResNetConfig
) -> None:
    other = replace(folder, config=replace(CONFIG, vision=vision))
    for encoder in (ImageEncoder, NumpyImageEncoder):
        with pytest.raises(CheckpointError, match="is damaged: .*; remove .* to have it made anew"):
            encoder(other)


@pytest.mark.parametrize("change", [{"width": 32}, {"layers": 2}, {"context_length": 76}])
def test_weights_of_another_text_tower_are_refused(
    folder: ModelFolder, change: dict[str, int]
) -> None:
    other = replace(folder, config=replace(CONFIG, text=replace(CONFIG.text, **change)))
    with pytest.raises(CheckpointError, match="is damaged: .*; remove .* to have it made anew"):
        TextEncoder(other)


@pytest.mark.parametrize("name", REGISTRY)
def test_the_shapes_of_weights_are_those_of_the_model(name: str) -> None:
    config = REGISTRY[name].config
    with torch.device("meta"):
        state = CLIP(config).state_dict()
    held = {name: tuple(w.shape) for name, w in state.items() if "batches_tracked" not in name}
    images = {f"visual.{name}": shape for name, shape in shapes.of_image_tower(config).items()}
    scale = {"logit_scale": ()}
    texts = {f"text.{name}": shape for name, shape in shapes.of_text_tower(config).items()}
    del texts["text.logit_scale"]
    assert held == images | texts | scale


def test_what_a_gpu_has_no_memory_for_is_encoded_in_halves(folder: ModelFolder) -> None:
    encoder = ImageEncoder(folder, device="cpu", precision="fp32")
    pixels = np.random.default_rng(0).integers(0, 256, (13, 32, 32, 3), np.uint8)
    whole, forward, tried = encoder.encode(pixels), encoder._forward, list[int]()

    def small(batch: torch.Tensor) -> torch.Tensor:
        tried.append(len(batch))
        if len(batch) > 4:
            raise torch.cuda.OutOfMemoryError
        return forward(batch)

    encoder._forward = small
    np.testing.assert_allclose(encoder.encode(pixels), whole, atol=1e-6)
    assert max(tried) == 13
    tried.clear()
    encoder.encode(pixels)
    assert max(tried) <= 4, "it remembers"


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
    of_a_lane = encoder._threads.submit(torch.get_num_threads).result()
    of_one_picture = encoder._all_cores.submit(torch.get_num_threads).result()
    print(encoder.lanes, of_a_lane, of_one_picture)
"""


def test_every_encoder_of_a_process_has_all_cores(folder: ModelFolder) -> None:
    command = [sys.executable, "-c", ON_TWO_CORES, str(folder.path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("2 1 2\n2 1 2\n", "")
