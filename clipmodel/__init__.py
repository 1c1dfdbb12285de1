"""CLIP with the interface of OpenAI's package: pictures and texts in one embedding space.

    import clipmodel as clip

    model, preprocess = clip.load("ViT-B/32")
    image_features = model.encode_image(preprocess(picture).unsqueeze(0))
    text_features = model.encode_text(clip.tokenize(["a diagram", "a dog", "a cat"]))

torch is imported by the first call that needs it, not by `import clipmodel`.

pretrained.py turns a name into a model folder: hub/ lists and fetches published models,
checkpoints/ reads files, and converted.py keeps what was read in a folder, which model_folder.py
saves with its config (config.py), some matrices as integers (quantised.py). families.py lists the
families of towers: those of CLIP's transformers are in model.py, the others in towers/.
preprocess.py (with bicubic.py) and tokenizer.py turn pictures and texts into a tower's input,
vocabularies.py lists whose tokens a tower may take; torch_backend/ and numpy_backend/ compute the
vectors, in threads of pools.py. scenes/ paints pictures, and training/ makes the bundled model.
errors.py has all errors.
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
    """Return the names of OpenAI's nine models, which `load` downloads; "tiny" is bundled."""
    from clipmodel.pretrained import available_models

    return available_models()


def load(
    name: str | Path,
    device: "str | torch.device | None" = None,
    jit: bool = False,
    download_root: str | Path | None = None,
) -> "tuple[CLIP, Callable[[Image.Image], torch.Tensor]]":
    """Return a model in evaluation mode, and its transform.

    The transform maps a PIL image to (3, H, W) float32, normalised.

    name: one of `available_models()`, "tiny", another published name (`retrieve models`),
    "hf:ORG/NAME", "open_clip:ARCH/TAG", or the path of a checkpoint. device: by default the
    first CUDA device, else the CPU. The weights are float16 on CUDA, as OpenAI's are, and float32
    elsewhere. download_root: the folder for models, by default $RETRIEVE_MODELS or the platform's
    cache folder.

    Raises a ClipModelError (see clipmodel.errors), and ValueError for `jit=True`: that would run
    code from the file.
    """
    if jit:
        raise ValueError("jit=True is not supported, as it runs code from the checkpoint; omit it")
    from clipmodel.preprocess import transform
    from clipmodel.pretrained import resolve
    from clipmodel.torch_backend.loading import default_device, load_model

    folder = resolve(name, download_root=download_root)
    return load_model(folder, device or default_device()), transform(folder.config)


def tokenize(
    texts: str | list[str], context_length: int = 77, truncate: bool = False
) -> "torch.Tensor":
    """Return a row of token ids for each text: (B, context_length) int64, zeros after the end.

    For CLIP's own text tower; for others see `ModelFolder.tokenizer`. Raises ValueError for a text
    that is too long, unless `truncate` cuts off its end.
    """
    import torch

    from clipmodel.tokenizer import token_ids

    batch = [texts] if isinstance(texts, str) else texts
    return torch.from_numpy(token_ids(batch, context_length, truncate))
