"""CLIP with the interface of OpenAI's package: pictures and texts in one embedding space.

    import clipmodel as clip

    model, preprocess = clip.load("ViT-B/32")
    image_features = model.encode_image(preprocess(picture).unsqueeze(0))
    text_features = model.encode_text(clip.tokenize(["a diagram", "a dog", "a cat"]))

Programs written for OpenAI's package run unchanged after `sys.modules["clip"] = clipmodel`
(docs/clip.md): clip.py, model.py and simple_tokenizer.py have its names, aliases.py makes them
importable. torch is imported by the first call that needs it, not by `import clipmodel`.

pretrained.py turns a name into a model folder: hub/ lists and downloads OpenAI's models,
checkpoints/ reads other files, and model_folder.py saves the result with its config (config.py),
some matrices as integers (quantised.py). families.py lists the families of towers: OpenAI's are in
model.py, the others and the parts of all in towers/. preprocess.py (with bicubic.py) and
tokenizer.py turn pictures and texts into a tower's input, vocabularies.py lists whose tokens a
tower may take; torch_backend/ and numpy_backend/ compute the vectors, in threads of pools.py.
scenes/ paints pictures, and training/ makes the bundled model. errors.py has all errors.
"""

from importlib import import_module
from types import ModuleType

from clipmodel import aliases
from clipmodel.clip import available_models, load, tokenize

__all__ = ["available_models", "load", "tokenize"]

aliases.install()


def __getattr__(name: str) -> ModuleType:
    """Import the modules that OpenAI's package has, too, when they are first used."""
    if name in ("model", "simple_tokenizer"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
