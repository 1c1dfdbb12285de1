"""Other people's copies of OpenAI's forward: the blocks take places first, (N, B, W), as there."""

import torch
from torch import Tensor

from clipmodel.config import ModelConfig, TextConfig, VisionConfig
from clipmodel.model import CLIP, VisionTransformer
from tests.clipmodel.small import pictures, shake, texts

CONFIG = ModelConfig(
    embed_dim=24,
    vision=VisionConfig(32, 8, 64, 3, 4, 256, "quick_gelu"),
    text=TextConfig(12, 60, 64, 3, 4, 256, "quick_gelu"),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)


def model() -> CLIP:
    torch.manual_seed(0)
    made = shake(CLIP.of(CONFIG))
    assert isinstance(made, CLIP)
    return made


def image_features(clip: CLIP, image: Tensor, *, one_by_one: bool) -> Tensor:
    """The image tower as programs write it out that look into it, or change what is inside."""
    visual = clip.visual
    assert isinstance(visual, VisionTransformer)
    x = visual.conv1(image)
    x = x.reshape(x.shape[0], x.shape[1], -1).permute(0, 2, 1)  # (B, N, W)
    first = visual.class_embedding + x.new_zeros(x.shape[0], 1, x.shape[-1])
    x = visual.ln_pre(torch.cat([first, x], dim=1) + visual.positional_embedding)
    x = x.permute(1, 0, 2)  # (N, B, W)
    if one_by_one:
        for block in visual.transformer.resblocks:
            x = block(x)
    else:
        x = visual.transformer(x)
    return visual.ln_post(x.permute(1, 0, 2)[:, 0, :]) @ visual.proj  # type: ignore[no-any-return]


def text_features(clip: CLIP, ids: Tensor) -> Tensor:
    """The text tower as prompt learners write it out."""
    x = clip.token_embedding(ids) + clip.positional_embedding
    x = clip.transformer(x.permute(1, 0, 2)).permute(1, 0, 2)
    x = clip.ln_final(x)
    return x[torch.arange(x.shape[0]), ids.argmax(dim=-1)] @ clip.text_projection  # type: ignore


@torch.no_grad()
def test_a_copy_of_the_image_forward() -> None:
    clip, image = model(), pictures(CONFIG, count=5)
    whole = image_features(clip, image, one_by_one=False)
    torch.testing.assert_close(whole, clip.encode_image(image), atol=1e-5, rtol=1e-5)
    parts = image_features(clip, image, one_by_one=True)
    torch.testing.assert_close(parts, clip.encode_image(image), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_copy_of_the_text_forward() -> None:
    clip, ids = model(), texts(CONFIG, count=5)
    torch.testing.assert_close(
        text_features(clip, ids), clip.encode_text(ids), atol=1e-5, rtol=1e-5
    )
