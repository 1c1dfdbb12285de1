"""Small models with random weights of the reference implementations, made once for all tests."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from clipmodel.model_folder import ModelFolder, save_folder
from tests.clipmodel.small import CONTEXT, VIT_CONFIG, VOCABULARY, model_cfg, model_of, shake

torch.set_num_threads(1)  # for models this small, threads would only wait for one another


@pytest.fixture(scope="session")
def openclip() -> Callable[[str], nn.Module]:
    """family -> OpenCLIP's model of it, always the same."""
    from open_clip.model import CLIP as Reference  # seconds: imported once

    made: dict[str, nn.Module] = {}

    def build(family: str) -> nn.Module:
        if family not in made:
            torch.manual_seed(0)
            made[family] = shake(Reference(**model_cfg(family)))
        return made[family]

    return build


@pytest.fixture(scope="session")
def huggingface() -> Callable[[str], nn.Module]:
    """activation -> Hugging Face's CLIPModel with it."""
    from transformers import CLIPConfig, CLIPModel

    def build(activation: str) -> nn.Module:
        text = {
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": CONTEXT,
            "hidden_act": activation,
            "bos_token_id": VOCABULARY - 2,
            "eos_token_id": VOCABULARY - 1,
        }
        vision = {
            "hidden_size": 80,
            "intermediate_size": 160,
            "num_hidden_layers": 3,
            "num_attention_heads": 5,
            "image_size": 24,
            "patch_size": 8,
            "hidden_act": activation,
        }
        torch.manual_seed(0)
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
        return shake(CLIPModel(config))

    return build


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A vision transformer of ours, always the same."""
    state = model_of(VIT_CONFIG).state_dict()
    return save_folder(tmp_path_factory.mktemp("models") / "m", "m", VIT_CONFIG, state)
