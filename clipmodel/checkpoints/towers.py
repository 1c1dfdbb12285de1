"""Configs of towers, from the shapes of their weights and the settings that shapes do not reveal.

Each family has one function, which families.py names.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import cast

from torch import Tensor

from clipmodel.checkpoints.configs import Settings
from clipmodel.checkpoints.shapes import layers, shape, side
from clipmodel.config import (
    Activation,
    BertConfig,
    CocaTextConfig,
    EfficientNetConfig,
    OpenClipVisionConfig,
    ResNetConfig,
    SiglipVisionConfig,
    T5Config,
    TextConfig,
    VisionConfig,
)
from clipmodel.errors import CheckpointError
from clipmodel.towers.lite import efficientnet_lite, lite_sizes
from clipmodel.towers.shapes import COUNTER, of_efficientnet

Weights = Mapping[str, Tensor]


def vision_transformer(weights: Weights, settings: Settings) -> VisionConfig:
    """Return the config of CLIP's vision transformer."""
    width, _, patch, _ = shape(weights, "visual.conv1.weight", 4)
    return VisionConfig(
        image_size=patch * side(weights, "visual.positional_embedding"),
        patch_size=patch,
        width=width,
        layers=layers(weights, "visual.transformer.resblocks."),
        heads=_heads("image", width, settings.vision_head_width),
        mlp_width=shape(weights, "visual.transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        activation=cast(Activation, settings.vision_activation),
    )


def siglip_vision(weights: Weights, settings: Settings) -> SiglipVisionConfig:
    """Return the config of SigLIP's vision transformer."""
    width, _, patch, _ = shape(weights, "visual.conv1.weight", 4)
    assert settings.resize  # as the family needs it
    places, _ = shape(weights, "visual.positional_embedding", 2)
    config = SiglipVisionConfig(
        image_size=settings.resize.size,  # patches may leave a rest, which weights do not reveal
        patch_size=patch,
        width=width,
        layers=layers(weights, "visual.transformer.resblocks."),
        heads=_heads("image", width, settings.vision_head_width),
        mlp_width=shape(weights, "visual.transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        activation=cast(Activation, settings.vision_activation),
    )
    if config.places != places:
        raise CheckpointError(
            f"layout not supported: pictures of {config.image_size} pixels a side have "
            f"{config.places} patches, and the weights are for {places}"
        )
    return config


def openclip(weights: Weights, settings: Settings) -> OpenClipVisionConfig:
    """Return the config that OpenCLIP's own file says."""
    if settings.vision is None:
        raise CheckpointError("its image tower needs the open_clip_config.json of its author")
    return settings.vision


def resnet(weights: Weights, settings: Settings) -> ResNetConfig:
    """Return the config of CLIP's ResNet."""
    width = shape(weights, "visual.layer1.0.conv1.weight", 4)[0]
    first, second, third, fourth = (
        layers(weights, f"visual.layer{number}.") for number in (1, 2, 3, 4)
    )
    return ResNetConfig(
        image_size=32 * side(weights, "visual.attnpool.positional_embedding"),
        width=width,
        layers=(first, second, third, fourth),
        heads=_heads("image", 32 * width, settings.vision_head_width),
    )


def text_transformer(weights: Weights, settings: Settings) -> TextConfig:
    """Return the config of CLIP's text transformer."""
    vocab_size, width = shape(weights, "text.token_embedding.weight", 2)
    return TextConfig(
        context_length=shape(weights, "text.positional_embedding", 2)[0],
        vocab_size=vocab_size,
        width=width,
        layers=layers(weights, "text.transformer.resblocks."),
        heads=_heads("text", width, settings.text_head_width),
        mlp_width=shape(weights, "text.transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        activation=cast(Activation, settings.text_activation),
        biased="text.text_bias" in weights,
        projects="text.text_projection" in weights,
        **settings.text,
    )


def dim_of_text_transformer(weights: Weights) -> int:
    """Return the dimension that CLIP's text transformer projects to."""
    if "text.text_projection" not in weights:
        return shape(weights, "text.token_embedding.weight", 2)[1]
    return shape(weights, "text.text_projection", 2)[1]


def coca_text(weights: Weights, settings: Settings) -> CocaTextConfig:
    """Return the config of CoCa's text tower."""
    vocab_size, width = shape(weights, "text.token_embedding.weight", 2)
    return CocaTextConfig(
        context_length=shape(weights, "text.positional_embedding", 2)[0] - 1,
        vocab_size=vocab_size,
        width=width,
        layers=layers(weights, "text.transformer.resblocks."),
        heads=_heads("text", width, settings.text_head_width),
        mlp_width=shape(weights, "text.transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        activation=cast(Activation, settings.text_activation),
    )


def efficientnet(weights: Weights, settings: Settings) -> EfficientNetConfig:
    """Return the config of the size whose weights have these shapes: strides leave no trace."""
    hidden = layers(weights, "visual.projection.fc_")
    projection = tuple(
        shape(weights, f"visual.projection.fc_{number}.weight", 2)[0] for number in range(hidden)
    )
    dim = shape(weights, "visual.projection.out.weight", 2)[0]
    known = "visual.classes.embedding"
    classes = shape(weights, known, 2)[0] if known in weights else 0
    held = {
        name.removeprefix("visual."): tuple(weight.shape)
        for name, weight in weights.items()
        if name.startswith("visual.") and not name.endswith(COUNTER)
    }
    size = settings.resize.size if settings.resize else None
    for number, all_stages in product(lite_sizes(), (False, True)):
        config = efficientnet_lite(number, image_size=size)
        config = replace(config, projection=projection, all_stages=all_stages, classes=classes)
        if of_efficientnet(config, dim) == held:
            return config
    raise CheckpointError("layout not supported: its tower has none of EfficientNet-Lite's sizes")


def bert(weights: Weights, settings: Settings) -> BertConfig:
    vocab_size, width = shape(weights, "text.word_embedding.weight", 2)
    return BertConfig(
        context_length=shape(weights, "text.positional_embedding", 2)[0],
        vocab_size=vocab_size,
        width=width,
        layers=layers(weights, "text.blocks."),
        heads=_heads("text", width, settings.text_head_width),
        mlp_width=shape(weights, "text.blocks.0.mlp.c_fc.weight", 2)[0],
        projects="text.text_projection" in weights,
        hidden=_hidden(weights),
        biased="text.text_bias" in weights,
        **settings.text,
    )


def t5(weights: Weights, settings: Settings) -> T5Config:
    """Return the config of T5's encoder."""
    vocab_size, width = shape(weights, "text.word_embedding.weight", 2)
    buckets, heads = shape(weights, "text.relative_bias.weight", 2)
    return T5Config(
        context_length=settings.context_length,
        vocab_size=vocab_size,
        width=width,
        layers=layers(weights, "text.blocks."),
        heads=heads,
        head_width=shape(weights, "text.blocks.0.attn.out_proj.weight", 2)[1] // heads,
        mlp_width=shape(weights, "text.blocks.0.mlp.c_fc.weight", 2)[0],
        buckets=buckets,
        hidden=_hidden(weights),
        projects="text.text_projection" in weights,
        **settings.text,
    )


def _hidden(weights: Weights) -> int:
    """Return the width of the layer before the projection; 0 without one."""
    name = "text.text_hidden"
    return shape(weights, name, 2)[1] if name in weights else 0


def dim_of_bert(weights: Weights) -> int:
    if "text.text_projection" in weights:
        return dim_of_text_transformer(weights)
    return shape(weights, "text.word_embedding.weight", 2)[1]


def _heads(tower: str, width: int, head_width: int | None) -> int:
    if not head_width or width % head_width:
        raise CheckpointError(
            f"the {tower} tower's width {width} does not divide into heads of {head_width}"
        )
    return width // head_width
