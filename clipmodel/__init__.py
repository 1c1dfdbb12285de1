"""CLIP with the interface of OpenAI's package: pictures and texts in one embedding space.

    import clipmodel as clip

    model, preprocess = clip.load("ViT-B/32")
    image_features = model.encode_image(preprocess(picture).unsqueeze(0))
    text_features = model.encode_text(clip.tokenize(["a diagram", "a dog", "a cat"]))

Programs written for OpenAI's package run unchanged after `sys.modules["clip"] = clipmodel`
(docs/clip.md): clip.py, model.py and simple_tokenizer.py have its names. torch is imported by the
first call that needs it, not by `import clipmodel`.

pretrained.py turns a name into a model folder: hub/ lists and fetches published models,
checkpoints/ reads files, and converted.py keeps what was read in a folder, which model_folder.py
saves with its config (config.py), some matrices as integers (quantised.py). families.py lists the
families of towers: OpenAI's are in model.py, the others and the parts of all in towers/.
preprocess.py (with bicubic.py) and tokenizer.py turn pictures and texts into a tower's input,
vocabularies.py lists whose tokens a tower may take; torch_backend/ and numpy_backend/ compute the
vectors, in threads of pools.py. scenes/ paints pictures, and training/ makes the bundled model.
errors.py has all errors.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from clipmodel.clip import available_models, load, tokenize

__all__ = ["available_models", "load", "tokenize"]


def __getattr__(name: str) -> ModuleType:
    """Import the other modules that OpenAI's package has when they are first used."""
    if name in ("model", "simple_tokenizer"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Aliases:
    """Finds `clipmodel.model` as `clip.model` after `sys.modules["clip"] = clipmodel`.

    Otherwise Python would run each file a second time under the other name, and no model would be
    an instance of `clip.model.CLIP`.
    """

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        is_alias = package != __name__ and sys.modules.get(package) is sys.modules[__name__]
        if not rest or not is_alias:
            return None
        loader: Any = self
        return ModuleSpec(fullname, loader, loader_state=f"{__name__}.{rest}")

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(str(spec.loader_state))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec again, which Python has replaced; it has run already."""
        assert module.__spec__
        module.__spec__ = module.__spec__.loader_state


sys.meta_path.insert(0, _Aliases())  # before the finder that reads the package's folder
