"""The families of towers: an entry holds everything that the rest of this package needs of one.

A model has an image tower of one family and a text tower of another. To add a family, write its
config (in config.py) and its towers, and an entry here; no other module asks which family a model
has.

The functions of an entry are imported when they are called: a search by words loads neither torch
nor an image tower.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from clipmodel.config import (
    BertConfig,
    CocaTextConfig,
    EfficientNetConfig,
    ImageTowerConfig,
    ModelConfig,
    OpenClipVisionConfig,
    Resize,
    ResNetConfig,
    SiglipVisionConfig,
    T5Config,
    TextConfig,
    TextTowerConfig,
    VisionConfig,
)
from clipmodel.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from clipmodel.checkpoints.configs import Settings
    from clipmodel.numpy_backend.weights import Floats, Weights
    from clipmodel.torch_backend.inference import Setup
    from clipmodel.towers.shapes import Shapes

    Tensors = Mapping[str, torch.Tensor]

Config = TypeVar("Config", bound=ImageTowerConfig | TextTowerConfig)


@dataclass(frozen=True)
class Family(Generic[Config]):
    """The parts of an entry that both kinds of towers have. D is the dimension that they share."""

    name: str  # in config.json
    config: type[Config]  # its fields, but for tuples, are what JSON holds
    sign: str  # a weight, by our name, that no checkpoint of an earlier family holds
    needed: tuple[str, ...]  # the fields of Settings that are part of its config
    read_config: "Callable[[Tensors, Settings], Config]"  # from weights under our names
    shapes: "Callable[[Config, int], Shapes]"  # (config, D) -> names and shapes of its weights


@dataclass(frozen=True)
class ImageFamily(Family[ImageTowerConfig]):
    """A kind of image tower. Its module takes (B, 3, S, S) normalised pixels and returns (B, D)."""

    # (config, D) -> the tower, its weights unset
    module: "Callable[[ImageTowerConfig, int], nn.Module]"
    # (filled module, setup) -> a function from (B, S, S, 3) uint8 pixels to (B, D), for inference
    # alone; it may take the module apart
    quick: "Callable[[nn.Module, Setup], Callable[[torch.Tensor], torch.Tensor]]"
    # (weights, config) -> a function from (B, S, S, 3) normalised pixels to (B, D)
    numpy: "Callable[[Weights, Any], Callable[[Floats], Floats]]"


@dataclass(frozen=True)
class TextFamily(Family[TextTowerConfig]):
    """A kind of text tower. Its module takes (B, L) token ids and returns (B, D)."""

    # (config, D) -> the tower, its weights unset; None for CLIP's own, whose parts are the model's
    module: "Callable[[TextTowerConfig, int], nn.Module] | None"
    # (weights, config) -> a function from (B, L) ids, none of them padding, to (B, D)
    numpy: "Callable[[Weights, Any], Callable[[NDArray[np.int64]], Floats]]"
    embed_dim: "Callable[[Tensors], int]"  # D, from weights under our names


@dataclass(frozen=True)
class Later:
    """A function, given as `module:name` (or `module:Class.name`), imported when it is called."""

    path: str

    def __call__(self, *given: object) -> Any:
        return self.function(*given)

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself, imported now."""
        module, _, name = self.path.partition(":")
        found: Callable[..., Any] = attrgetter(name)(import_module(module))
        return found


IMAGE_FAMILIES = (
    ImageFamily(
        name="vit",
        config=VisionConfig,
        sign="visual.class_embedding",
        needed=("vision_activation", "vision_head_width"),
        read_config=Later("clipmodel.checkpoints.towers:vision_transformer"),
        shapes=Later("clipmodel.towers.shapes:of_vision_transformer"),
        module=Later("clipmodel.model:VisionTransformer.of"),
        quick=Later("clipmodel.torch_backend.inference:quick_vit"),
        numpy=Later("clipmodel.numpy_backend.vision:VisionTransformer"),
    ),
    ImageFamily(
        name="resnet",
        config=ResNetConfig,
        sign="visual.layer1.0.conv1.weight",
        needed=("vision_head_width",),
        read_config=Later("clipmodel.checkpoints.towers:resnet"),
        shapes=Later("clipmodel.towers.shapes:of_resnet"),
        module=Later("clipmodel.towers.resnet:ModifiedResNet.of"),
        quick=Later("clipmodel.torch_backend.inference:quick_convolutions"),
        numpy=Later("clipmodel.numpy_backend.vision:ModifiedResNet"),
    ),
    ImageFamily(
        name="efficientnet",
        config=EfficientNetConfig,
        sign="visual.stem.conv.weight",
        needed=(),
        read_config=Later("clipmodel.checkpoints.towers:efficientnet"),
        shapes=Later("clipmodel.towers.shapes:of_efficientnet"),
        module=Later("clipmodel.towers.efficientnet:EfficientNet"),
        quick=Later("clipmodel.torch_backend.inference:quick_efficientnet"),
        numpy=Later("clipmodel.numpy_backend.efficientnet:EfficientNet"),
    ),
    ImageFamily(
        name="siglip",
        config=SiglipVisionConfig,
        sign="visual.pool.probe",
        needed=("vision_activation", "vision_head_width", "resize"),
        read_config=Later("clipmodel.checkpoints.towers:siglip_vision"),
        shapes=Later("clipmodel.towers.shapes:of_siglip_vision"),
        module=Later("clipmodel.towers.siglip:SiglipVisionTransformer"),
        quick=Later("clipmodel.torch_backend.inference:quick_siglip"),
        numpy=Later("clipmodel.numpy_backend.vision:SiglipVisionTransformer"),
    ),
    ImageFamily(
        name="openclip",
        config=OpenClipVisionConfig,
        sign="",  # none: OpenCLIP's config says it
        needed=(),
        read_config=Later("clipmodel.checkpoints.towers:openclip"),
        shapes=Later("clipmodel.towers.openclip:shapes"),
        module=Later("clipmodel.towers.openclip:build"),
        quick=Later("clipmodel.torch_backend.inference:Normalised"),
        numpy=Later("clipmodel.towers.openclip:through_torch"),
    ),
)

TEXT_FAMILIES = (
    TextFamily(
        name="clip",
        config=TextConfig,
        sign="text.token_embedding.weight",
        needed=("text_activation", "text_head_width"),
        read_config=Later("clipmodel.checkpoints.towers:text_transformer"),
        shapes=Later("clipmodel.towers.shapes:of_text_transformer"),
        module=None,
        numpy=Later("clipmodel.numpy_backend.text_tower:TextTransformer"),
        embed_dim=Later("clipmodel.checkpoints.towers:dim_of_text_transformer"),
    ),
    TextFamily(
        name="coca",
        config=CocaTextConfig,
        sign="text.cls_emb",
        needed=("text_activation", "text_head_width"),
        read_config=Later("clipmodel.checkpoints.towers:coca_text"),
        shapes=Later("clipmodel.towers.shapes:of_coca_text"),
        module=Later("clipmodel.towers.coca:CocaText"),
        numpy=Later("clipmodel.numpy_backend.coca:CocaText"),
        embed_dim=Later("clipmodel.checkpoints.towers:dim_of_text_transformer"),
    ),
    TextFamily(
        name="bert",
        config=BertConfig,
        sign="text.word_embedding.weight",
        needed=("text_head_width",),
        read_config=Later("clipmodel.checkpoints.towers:bert"),
        shapes=Later("clipmodel.towers.shapes:of_bert"),
        module=Later("clipmodel.towers.bert:Bert"),
        numpy=Later("clipmodel.numpy_backend.bert:Bert"),
        embed_dim=Later("clipmodel.checkpoints.towers:dim_of_bert"),
    ),
    TextFamily(
        name="t5",
        config=T5Config,
        sign="text.relative_bias.weight",
        needed=(),
        read_config=Later("clipmodel.checkpoints.towers:t5"),
        shapes=Later("clipmodel.towers.shapes:of_t5"),
        module=Later("clipmodel.towers.t5:T5"),
        numpy=Later("clipmodel.numpy_backend.t5:T5"),
        embed_dim=Later("clipmodel.checkpoints.towers:dim_of_bert"),
    ),
)

AnyFamily = TypeVar("AnyFamily", ImageFamily, TextFamily)


def image_family(config: ImageTowerConfig) -> ImageFamily:
    """Return the family whose config this is."""
    return next(family for family in IMAGE_FAMILIES if type(config) is family.config)


def text_family(config: TextTowerConfig) -> TextFamily:
    """Return the family whose config this is."""
    return next(family for family in TEXT_FAMILIES if type(config) is family.config)


def family_of_weights(families: Sequence[AnyFamily], names: Mapping[str, object]) -> AnyFamily:
    """Return the family whose sign is among the names of the weights. Raises CheckpointError.

    A later family may be a special case of an earlier one.
    """
    for family in reversed(families):
        if family.sign in names:
            return family
    signs = " or ".join(family.sign for family in families if family.sign)
    raise CheckpointError(f"layout not supported: the weights lack {signs}")


# --- a model's config as config.json holds it ---


def as_json(config: ModelConfig) -> dict[str, Any]:
    """Return the JSON object that `from_json` reads."""
    families = {
        "image_family": image_family(config.vision).name,
        "text_family": text_family(config.text).name,
    }
    return families | asdict(config)


def from_json(held: Mapping[str, Any]) -> ModelConfig:
    """Return the config that a JSON object holds.

    Raises TypeError or KeyError for a missing or unknown field, and CheckpointError for an unknown
    family.
    """
    image = _named(IMAGE_FAMILIES, held.get("image_family"), held["vision"])
    text = _named(TEXT_FAMILIES, held.get("text_family"), held["text"])
    return ModelConfig(
        embed_dim=held["embed_dim"],
        vision=image.config(**_with_tuples(held["vision"])),
        text=text.config(**_with_tuples(held["text"])),
        mean=tuple(held["mean"]),
        std=tuple(held["std"]),
        resize=Resize(**held["resize"]) if held.get("resize") else None,
        logit_bias=held.get("logit_bias", False),
    )


def _named(
    families: Sequence[AnyFamily], name: str | None, held: Mapping[str, object]
) -> AnyFamily:
    """Return the family of that name; without a name, as older versions wrote, by the fields."""
    for family in families:
        of_now = {field.name for field in fields(family.config)}
        always = {field.name for field in fields(family.config) if field.default is MISSING}
        if family.name == name or (name is None and always <= held.keys() <= of_now):
            return family
    if name is None:
        raise TypeError(f"no family of towers has the fields {', '.join(held)}")
    raise CheckpointError(
        f"its tower is of the family {name!r}, which this version does not know; update retrieve"
    )


def _with_tuples(held: Mapping[str, object]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in held.items()}
