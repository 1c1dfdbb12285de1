"""What the programs print with OpenAI's own package: `python -m tests.clipmodel.programs.golden`.

The package must be importable as `clip` (openai-clip 1.0.1 was; it needs setuptools before 82).
"""

import json
import tempfile
from importlib import import_module
from pathlib import Path

import torch

FILE = Path(__file__).with_name("golden.json")
# program -> the family of its model
PROGRAMS = {
    "prompts.coop": "vit",
    "prompts.cocoop": "resnet",
    "prompts.tokenizer": "vit",
    "adapters.tip_adapter": "vit",
    "adapters.clip_lora": "vit",
    "explainers.grad_cam": "resnet",
    "explainers.by_hand": "resnet",
    "explainers.rollout": "vit",
    "explainers.relevance": "vit",
    "users.interrogator": "vit",
    "users.dalle2": "vit",
    "users.clip_retrieval": "resnet",
    "users.vqgan": "vit",
}


def run(program: str, path: str) -> list[float]:
    """Run a program on a checkpoint. Returns all its numbers."""
    module, _, name = program.partition(".")
    found = getattr(import_module(f"tests.clipmodel.programs.{module}"), name)(path)
    return [round(float(number), 6) for number in torch.as_tensor(found).detach().flatten()]


def names(family: str) -> list[str]:
    """The names of a model's weights, and of all its modules, in their order."""
    from clip.model import CLIP

    from tests.clipmodel.programs.weights import SIZES, TEXT

    model = CLIP(*SIZES[family], *TEXT)
    return [*model.state_dict(), *(name for name, _ in model.named_modules())]


def main() -> None:
    """Write the file."""
    from tests.clipmodel.programs.weights import checkpoint

    with tempfile.TemporaryDirectory() as folder:
        paths = {family: checkpoint(Path(folder), family) for family in ("vit", "resnet")}
        held = {name: run(name, paths[family]) for name, family in PROGRAMS.items()}
    named = {f"names {family}": names(family) for family in paths}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in (held | named).items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
