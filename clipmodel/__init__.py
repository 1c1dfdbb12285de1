"""CLIP: pictures and texts into one space, with the interface of OpenAI's package.

    import clipmodel as clip

    model, preprocess = clip.load("ViT-B/32")
    image_features = model.encode_image(preprocess(picture).unsqueeze(0))
    text_features = model.encode_text(clip.tokenize(["a diagram", "a dog", "a cat"]))

torch is imported by the first call that needs it, not by `import clipmodel`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from clipmodel.model import CLIP

__all__ = ["available_models", "load", "tokenize"]


def available_models() -> list[str]:
    """The names of the models that `load` fetches: OpenAI's nine. "tiny" needs no fetching."""
    from clipmodel.pretrained import available_models

    return available_models()


def load(
    name: str | Path,
    device: "str | torch.device | None" = None,
    jit: bool = False,
    download_root: str | Path | None = None,
) -> "tuple[CLIP, Callable[[Image.Image], torch.Tensor]]":
    """A model in evaluation mode, and the transform that makes its pictures: PIL image -> (3, H, W)
    float32, normalised.

    name: one of `available_models()`, "tiny", or the path of a checkpoint. device: by default the
    first CUDA device, else the CPU. The weights are float16 on CUDA, as OpenAI's are, and float32
    elsewhere. download_root: where models are kept, by default $RETRIEVE_MODELS or the platform's
    cache folder.

    Raises a ClipModelError (see clipmodel.errors), and ValueError for `jit=True`: compiled code
    comes from the file, and none is run here.
    """
    if jit:
        raise ValueError("jit=True is not supported: no code of a checkpoint is run; leave it out")
    from clipmodel.families import image_family
    from clipmodel.pretrained import resolve
    from clipmodel.torch_backend.loading import default_device, load_model

    folder = resolve(name, download_root=download_root)
    transform = image_family(folder.config.vision).transform(folder.config)
    return load_model(folder, device or default_device()), transform


def tokenize(
    texts: str | list[str], context_length: int = 77, truncate: bool = False
) -> "torch.Tensor":
    """Token ids, (B, context_length) int64, zeros behind the end-of-text token; one text makes one
    row.

    Raises ValueError for a text that is too long, unless `truncate`: then its end is cut off.
    """
    import torch

    from clipmodel.tokenizer import token_ids

    batch = [texts] if isinstance(texts, str) else texts
    return torch.from_numpy(token_ids(batch, context_length, truncate))
