"""Run by the peers' Python: `onnx_export.py NAME FOLDER` writes an OpenCLIP model with random
weights.

FOLDER gets a checkpoint with its config, and visual.onnx and textual.onnx, float32, for any batch
size.
"""

import json
import sys
import warnings
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn


class Tower(nn.Module):
    """A tower of a model, as a module of its own."""

    def __init__(self, model: nn.Module, method: str) -> None:
        super().__init__()
        self.model = model
        self.method = method

    def forward(self, x: Tensor) -> Tensor:
        vectors: Tensor = getattr(self.model, self.method)(x)
        return vectors


def main(name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = open_clip.create_model(name).eval()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    pixels_of = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": pixels_of}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    sides = model.visual.image_size  # pixels; two of a ViT, one of a ResNet
    size = sides if isinstance(sides, int) else sides[0]
    pixels = torch.zeros(2, 3, size, size)
    tokens = open_clip.get_tokenizer(name)(["a red car", "snow"])
    write(Tower(model, "encode_image"), pixels, folder / "visual.onnx")
    write(Tower(model, "encode_text"), tokens, folder / "textual.onnx")


def write(tower: nn.Module, example: Tensor, file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter by tracing is on its way out
        torch.onnx.export(
            tower,
            (example,),
            str(file),
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            dynamo=False,
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
