"""The names and shapes of all weights of a tower, computed from its config without torch.

The names are those of the modules; CLIP's own are those of OpenAI's checkpoints.
"""

from itertools import pairwise
from pathlib import Path

from clipmodel.config import (
    BertConfig,
    CocaTextConfig,
    EfficientNetConfig,
    ResNetConfig,
    SiglipVisionConfig,
    T5Config,
    TextConfig,
    VisionConfig,
)
from clipmodel.errors import CheckpointError

Shapes = dict[str, tuple[int, ...]]
COUNTER = ".num_batches_tracked"  # of batches in training; a model folder may lack it
OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")  # beside weights, in archives


def filed(name: str) -> str:
    """Return the name in model folders of a weight of a model.

    There, those of every text tower start with `text.`; those of OpenAI's own have no prefix.
    """
    return name if name.startswith(("visual.", "text.", "logit_")) else f"text.{name}"


def check(held: Shapes, wanted: Shapes, folder: Path) -> None:
    """Raise CheckpointError unless a folder holds exactly these weights in these shapes."""
    different = dict(held.items() ^ wanted.items())
    if names := sorted(name for name in different if not name.endswith(COUNTER)):
        raise damaged(folder, f"{names[0]} does not match its config")


def damaged(folder: Path, why: object) -> CheckpointError:
    """Return the error for a model folder whose files do not fit together."""
    return CheckpointError(f"{folder} is damaged: {why}; remove it to create it again")


def of_text_transformer(text: TextConfig, dim: int) -> Shapes:
    """Return the shapes of CLIP's text transformer."""
    return {
        "token_embedding.weight": (text.vocab_size, text.width),
        "positional_embedding": (text.context_length, text.width),
        **_norm("ln_final", text.width),
        **_blocks(text),
        **({"text_projection": (text.width, dim)} if text.projects else {}),
        **({"text_bias": (dim,)} if text.biased else {}),
    }


def of_coca_text(text: CocaTextConfig, dim: int) -> Shapes:
    """Return the shapes of CoCa's text tower."""
    return {
        "token_embedding.weight": (text.vocab_size, text.width),
        "cls_emb": (text.width,),
        "positional_embedding": (text.context_length + 1, text.width),
        "text_projection": (text.width, dim),
        **_norm("ln_final", text.width),
        **_blocks(text),
    }


def of_vision_transformer(vision: VisionConfig, dim: int) -> Shapes:
    """Return the shapes of CLIP's vision transformer."""
    places = (vision.image_size // vision.patch_size) ** 2 + 1
    return {
        "conv1.weight": (vision.width, 3, vision.patch_size, vision.patch_size),
        "class_embedding": (vision.width,),
        "positional_embedding": (places, vision.width),
        "proj": (vision.width, dim),
        **_norm("ln_pre", vision.width),
        **_norm("ln_post", vision.width),
        **_blocks(vision),
    }


def of_siglip_vision(vision: SiglipVisionConfig, dim: int) -> Shapes:
    """Return the shapes of SigLIP's vision transformer."""
    vision.check(dim)
    width, patch = vision.width, vision.patch_size
    return {
        "conv1.weight": (width, 3, patch, patch),
        "conv1.bias": (width,),
        "positional_embedding": (vision.places, width),
        **_norm("ln_post", width),
        **_blocks(vision),
        "pool.probe": (width,),
        "pool.attn.in_proj_weight": (3 * width, width),
        "pool.attn.in_proj_bias": (3 * width,),
        **_linear("pool.attn.out_proj", width, width),
        **_norm("pool.ln", width),
        **_linear("pool.mlp.c_fc", width, vision.mlp_width),
        **_linear("pool.mlp.c_proj", vision.mlp_width, width),
    }


def _blocks(tower: VisionConfig | SiglipVisionConfig | TextConfig | CocaTextConfig) -> Shapes:
    width, shapes = tower.width, Shapes()
    for layer in range(tower.layers):
        block = f"transformer.resblocks.{layer}"
        shapes[f"{block}.attn.in_proj_weight"] = (3 * width, width)
        shapes[f"{block}.attn.in_proj_bias"] = (3 * width,)
        shapes |= _linear(f"{block}.attn.out_proj", width, width)
        shapes |= _linear(f"{block}.mlp.c_fc", width, tower.mlp_width)
        shapes |= _linear(f"{block}.mlp.c_proj", tower.mlp_width, width)
        shapes |= _norm(f"{block}.ln_1", width) | _norm(f"{block}.ln_2", width)
    return shapes


def of_resnet(vision: ResNetConfig, dim: int) -> Shapes:
    """Return the shapes of CLIP's ResNet."""
    width, last = vision.width, 32 * vision.width
    shapes: Shapes = {
        "attnpool.positional_embedding": ((vision.image_size // 32) ** 2 + 1, last),
        **_linear("attnpool.c_proj", last, dim),
    }
    for name in ("q", "k", "v"):
        shapes |= _linear(f"attnpool.{name}_proj", last, last)
    for number, (inside, outside) in enumerate(
        ((3, width // 2), (width // 2, width // 2), (width // 2, width)), start=1
    ):
        shapes |= _convolution(f"conv{number}", f"bn{number}", inside, outside, 3)
    inside = width
    for stage, blocks in enumerate(vision.layers):
        planes = width << stage
        for number in range(blocks):
            block = f"layer{stage + 1}.{number}"
            shapes |= _convolution(f"{block}.conv1", f"{block}.bn1", inside, planes, 1)
            shapes |= _convolution(f"{block}.conv2", f"{block}.bn2", planes, planes, 3)
            shapes |= _convolution(f"{block}.conv3", f"{block}.bn3", planes, 4 * planes, 1)
            if number == 0:
                down = f"{block}.downsample"
                shapes |= _convolution(f"{down}.0", f"{down}.1", inside, 4 * planes, 1)
            inside = 4 * planes
    return shapes


def of_efficientnet(vision: EfficientNetConfig, dim: int) -> Shapes:
    shapes, inside, number = _unit("stem", 3, vision.stem, 3), vision.stem, 0
    for stage in vision.stages:
        for _ in range(stage.blocks):
            block, wide = f"blocks.{number}", inside * stage.expansion
            if stage.expansion > 1:
                shapes |= _unit(f"{block}.expand", inside, wide)
            shapes |= _unit(f"{block}.depthwise", 1, wide, stage.kernel)
            shapes |= _unit(f"{block}.project", wide, stage.channels)
            inside, number = stage.channels, number + 1
    shapes |= _unit("last", inside, vision.head_width)
    widths = (vision.features, *vision.projection)
    for layer, (before, after) in enumerate(pairwise(widths)):
        shapes |= _linear(f"projection.fc_{layer}", before, after)
        shapes |= _norm(f"projection.ln_{layer}", after)
    shapes |= _linear("projection.out", widths[-1], dim)
    if vision.classes:
        shapes |= _linear("classes.score", vision.head_width, vision.classes)
        shapes["classes.embedding"] = (vision.classes, dim)
    return shapes


def of_bert(text: BertConfig, dim: int) -> Shapes:
    text.check(dim)
    width = text.width
    shapes: Shapes = {
        "word_embedding.weight": (text.vocab_size, width),
        "positional_embedding": (text.context_length, width),
        **_norm("ln_final" if text.norm_first else "ln_embedding", width),
    }
    for layer in range(text.layers):
        block = f"blocks.{layer}"
        shapes |= _linear(f"{block}.attn.in_proj", width, 3 * width)
        shapes |= _linear(f"{block}.attn.out_proj", width, width)
        shapes |= _linear(f"{block}.mlp.c_fc", width, text.mlp_width)
        shapes |= _linear(f"{block}.mlp.c_proj", text.mlp_width, width)
        shapes |= _norm(f"{block}.ln_1", width) | _norm(f"{block}.ln_2", width)
    if text.biased:
        shapes["text_bias"] = (dim,)
    return shapes | _projection(text, dim)


def of_t5(text: T5Config, dim: int) -> Shapes:
    """Return the shapes of T5's encoder."""
    text.check(dim)
    width, inside = text.width, text.heads * text.head_width
    shapes: Shapes = {
        "word_embedding.weight": (text.vocab_size, width),
        "relative_bias.weight": (text.buckets, text.heads),
        "ln_final.weight": (width,),
    }
    for layer in range(text.layers):
        block = f"blocks.{layer}"
        shapes[f"{block}.attn.in_proj.weight"] = (3 * inside, width)
        shapes[f"{block}.attn.out_proj.weight"] = (width, inside)
        shapes[f"{block}.mlp.c_gate.weight"] = (text.mlp_width, width)
        shapes[f"{block}.mlp.c_fc.weight"] = (text.mlp_width, width)
        shapes[f"{block}.mlp.c_proj.weight"] = (width, text.mlp_width)
        shapes |= {f"{block}.ln_{number}.weight": (width,) for number in (1, 2)}
    return shapes | _projection(text, dim)


def _projection(text: BertConfig | T5Config, dim: int) -> Shapes:
    hidden: Shapes = {"text_hidden": (text.width, text.hidden)} if text.hidden else {}
    before = text.hidden or text.width
    return hidden | ({"text_projection": (before, dim)} if text.projects else {})


def _unit(name: str, inside: int, outside: int, side: int = 1) -> Shapes:
    return _convolution(f"{name}.conv", f"{name}.bn", inside, outside, side)


def _linear(name: str, inside: int, outside: int) -> Shapes:
    return {f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _convolution(name: str, norm: str, inside: int, outside: int, side: int) -> Shapes:
    """Return the shapes of a convolution and of the batch norm after it."""
    return {
        f"{name}.weight": (outside, inside, side, side),
        **_norm(norm, outside),
        f"{norm}.running_mean": (outside,),
        f"{norm}.running_var": (outside,),
    }
