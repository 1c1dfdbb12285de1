"""From what was learnt to a model folder: both towers whole, in few bytes."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from clipmodel.config import EfficientNetConfig, ModelConfig
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.towers.lite import MEAN, STD
from clipmodel.training.course import CONTEXT_LENGTH
from clipmodel.training.learner import Learner
from clipmodel.training.packages import VOCABULARY, lite0, minilm, minilm_folder

SMALL = ("text.positional_embedding", "text.text_projection")  # matrices that stay in halves


def export(
    learner: Learner, config: EfficientNetConfig, temperature: float, path: Path, name: str
) -> ModelFolder:
    """Write the model folder: matrices of the text tower and of the classes as 8-bit integers."""
    sentences, text = minilm(CONTEXT_LENGTH)
    dim = text.width
    weights = {f"visual.{key}": held for key, held in (lite0()[0] | projections(learner)).items()}
    weights |= {f"text.{key}": held for key, held in sentences.items()}
    weights["text.text_projection"] = learner.words.detach()
    weights["logit_scale"] = torch.tensor(math.log(1 / temperature))
    model = ModelConfig(dim, config, replace(text, projects=True), MEAN, STD)
    return save_folder(
        path,
        name,
        model,
        weights,
        "float16",
        int8=[key for key, held in weights.items() if _is_wide(key, held)],
        files={VOCABULARY: (minilm_folder() / VOCABULARY).read_bytes()},
    )


def projections(learner: Learner) -> dict[str, Tensor]:
    """Return the image tower's projections; mean and deviation are in the first one's weights."""
    state = {f"projection.{k}": v for k, v in learner.projection.state_dict().items()}
    first = "projection.fc_0" if "projection.fc_0.weight" in state else "projection.out"
    scaled = (state[f"{first}.weight"] / learner.deviation).half().float()  # as it is stored
    state[f"{first}.bias"] = state[f"{first}.bias"] - scaled @ learner.mean
    state[f"{first}.weight"] = scaled
    temper = learner.temper.detach()
    state |= {
        f"classes.score.{k}": v * temper for k, v in learner.classes.score.state_dict().items()
    }
    state["classes.embedding"] = learner.classes.embedding.detach()
    return state


def _is_wide(name: str, weight: Tensor) -> bool:
    """Return whether a weight is a large matrix, whose rounding hardly matters."""
    is_text = name.startswith("text.") and name not in SMALL
    return weight.ndim == 2 and (is_text or name == "visual.classes.score.weight")
