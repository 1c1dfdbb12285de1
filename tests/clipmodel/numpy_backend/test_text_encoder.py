"""The text tower in NumPy against the one of the model."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipmodel.errors import CheckpointError
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.numpy_backend.transformer import gelu
from clipmodel.tokenizer import token_ids
from tests.clipmodel.small import VIT_CONFIG, model_of

TEXTS = ["a red car", "", "two dogs on a beach at night", "x " * 74, "x " * 300, "漢字 🙂"]


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_text_in_numpy_equals_torch(activation: str, tmp_path: Path) -> None:
    config = replace(VIT_CONFIG, text=replace(VIT_CONFIG.text, activation=activation))
    model = model_of(config)
    folder = save_folder(tmp_path / "m", "m", config, model.state_dict())
    ids = torch.from_numpy(token_ids(TEXTS, truncate=True))
    with torch.inference_mode():
        theirs = F.normalize(model.encode_text(ids), dim=1).numpy()
    np.testing.assert_allclose(TextEncoder(folder).encode(TEXTS), theirs, atol=1e-5, rtol=0)


def test_float16_weights_lose_little(folder: ModelFolder, tmp_path: Path) -> None:
    state = model_of(VIT_CONFIG).state_dict()
    half = save_folder(tmp_path / "half", "half", VIT_CONFIG, state, "float16")
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


@pytest.mark.parametrize("change", [{"width": 32}, {"layers": 2}, {"context_length": 76}])
def test_weights_of_another_text_tower_are_refused(
    folder: ModelFolder, change: dict[str, int]
) -> None:
    other = replace(folder, config=replace(VIT_CONFIG, text=replace(VIT_CONFIG.text, **change)))
    with pytest.raises(CheckpointError, match="is damaged: .*; remove .* to create it again"):
        TextEncoder(other)
