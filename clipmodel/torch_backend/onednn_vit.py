"""The vision transformer of model.py in the form that x86 processors compute fastest.

- The weights of each product are packed for oneDNN, which on a Zen 5 is twice as fast in float32,
  and a sixth faster in bfloat16.
- Pixels are bytes: mean and deviation are folded into the weights of the patches.
- The last block computes the class token alone, since nothing else is read.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmodel.model import ResidualAttentionBlock, VisionTransformer, in_dtype
from clipmodel.torch_backend.fusing import fold_pixels, use_silu

OPERATORS = ("_linear_pointwise", "_reorder_linear_weight")  # of torch.ops.mkldnn
GREY = 128  # subtracted from each value; the differences are small, and exact in bfloat16


class OneDnnVit:
    """A tower for inference that any number of threads may call.

    It takes the blocks out of the given tower, which must not be used afterwards.
    """

    def __init__(
        self, tower: VisionTransformer, dtype: torch.dtype, mean: Tensor, std: Tensor
    ) -> None:
        """tower: in float32. mean, std: (3,), of pixels from 0 to 1."""
        self._patches = Patches(tower.conv1, dtype, mean, std)
        places = tower.positional_embedding
        self._first = (tower.class_embedding + places[0]).to(dtype)  # (W,)
        self._places = (places[1:] + self._patches.grey).to(dtype)  # (N, W)
        assert tower.proj is not None  # only other people's programs remove it
        self._before, self._after, self._proj = tower.ln_pre, tower.ln_post, tower.proj.to(dtype)
        self._blocks = list[OneDnnBlock]()
        blocks = tower.transformer.resblocks
        for place, block in enumerate(blocks):
            use_silu(block)
            in_dtype(block, dtype)
            self._blocks.append(OneDnnBlock(block))
            blocks[place] = nn.Identity()  # the next packed block reuses the memory

    def __call__(self, pixels: Tensor) -> Tensor:
        """pixels: (B, S, S, 3) uint8. Returns (B, D), not normalised."""
        x = self._patches(pixels) + self._places  # (B, N, W)
        first = self._first.expand(len(x), 1, -1)
        x = norm(self._before, torch.cat([first, x], dim=1))  # (B, 1 + N, W)
        for block in self._blocks[:-1]:
            x = block(x)
        x = self._blocks[-1](x, 1)  # (B, 1 + N, W) -> (B, 1, W)
        return norm(self._after, x[:, 0]) @ self._proj  # (B, D)


class Patches:
    """The convolution of patches, with mean and deviation of the pixels in its weights.

    It takes differences from grey: `grey`, (W,), is to be added to the places.
    """

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype, mean: Tensor, std: Tensor) -> None:
        self._side = conv.kernel_size[0]  # pixels, of a patch
        self._dtype = dtype
        weight, self.grey = fold_pixels(conv, mean, std, GREY)
        self._product = Product(weight.to(dtype), None)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Map (B, S, S, 3) uint8 to (B, N, W), without a rest beside the last patches."""
        side = self._side
        n = pixels.shape[1] // side
        rows = pixels[:, : n * side, : n * side].reshape(-1, n, side, n, 3 * side)
        patches = rows.transpose(2, 3).reshape(-1, n * n, 3 * side * side)
        return self._product(patches.to(self._dtype).sub_(GREY))


class OneDnnBlock:
    """A ResidualAttentionBlock with packed weights."""

    def __init__(self, block: nn.Module) -> None:
        assert isinstance(block, ResidualAttentionBlock)
        attention = block.attn
        fc, self._activation, proj = block.mlp
        assert isinstance(fc, nn.Linear) and isinstance(proj, nn.Linear)
        self._heads = attention.num_heads
        self._ln_1, self._ln_2 = block.ln_1, block.ln_2
        self._qkv = Product(attention.in_proj_weight, attention.in_proj_bias)
        self._out = Product(attention.out_proj.weight, attention.out_proj.bias)
        self._fc, self._proj = Product(fc.weight, fc.bias), Product(proj.weight, proj.bias)

    def __call__(self, x: Tensor, first: int | None = None) -> Tensor:
        """Map (B, N, W) to the same, or to (B, first, W) for the first places alone."""
        batch, places, width = x.shape
        qkv = self._qkv(norm(self._ln_1, x))  # (B, N, 3W)
        split = qkv.reshape(batch, places, 3, self._heads, width // self._heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)  # each (B, heads, N, W / heads)
        mixed = attend(q[:, :, :first], k, v).transpose(1, 2).flatten(2)  # (B, first, W)
        x = x[:, :first] + self._out(mixed)
        return x + self._proj(self._activation(self._fc(norm(self._ln_2, x))))


class Product:
    """The product x @ weight.T + bias, with a packed weight."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
        self._bias = None if bias is None else bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(  # type: ignore[no-any-return]
            x, self._weight, self._bias, "none", [], ""
        )


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    """Normalise as model.py's LayerNorm does, in float32, but without a copy of x."""
    return F.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend to some hundred places; in bfloat16 torch's own function takes twice as long."""
    if q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v)
    weights = (q * float(q.shape[-1] ** -0.5)) @ k.transpose(-1, -2)  # (B, heads, N, N)
    return weights.softmax(dim=-1) @ v
