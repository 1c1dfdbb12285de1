"""The image tower of towers/siglip.py in the form that x86 processors compute fastest.

Its blocks are those of onednn_vit.py.
"""

import torch
from torch import Tensor, nn

from clipmodel.model import in_dtype
from clipmodel.torch_backend.onednn_vit import OneDnnBlock, Patches, Product, attend, norm
from clipmodel.towers.siglip import AttentionPool, SiglipVisionTransformer


class OneDnnSiglip:
    """A tower for inference that any number of threads may call.

    It takes the blocks out of the given tower, which must not be used afterwards.
    """

    def __init__(
        self, tower: SiglipVisionTransformer, dtype: torch.dtype, mean: Tensor, std: Tensor
    ) -> None:
        """tower: in float32. mean, std: (3,), of pixels from 0 to 1."""
        self._patches = Patches(tower.conv1, dtype, mean, std)
        self._places = (tower.positional_embedding + self._patches.grey).to(dtype)  # (N, W)
        self._after = tower.ln_post
        self._blocks = list[OneDnnBlock]()
        blocks = tower.transformer.resblocks
        for place, block in enumerate(blocks):
            in_dtype(block, dtype)
            self._blocks.append(OneDnnBlock(block))
            blocks[place] = nn.Identity()  # the next packed block reuses the memory
        in_dtype(tower.pool, dtype)
        self._pool = OneDnnPool(tower.pool)

    def __call__(self, pixels: Tensor) -> Tensor:
        """pixels: (B, S, S, 3) uint8. Returns (B, D), not normalised."""
        x = self._patches(pixels) + self._places  # (B, N, W)
        for block in self._blocks:
            x = block(x)
        return self._pool(norm(self._after, x))


class OneDnnPool:
    """An AttentionPool with packed weights."""

    def __init__(self, pool: AttentionPool) -> None:
        attention, width = pool.attn, len(pool.probe)
        fc, self._activation, proj = pool.mlp
        assert isinstance(fc, nn.Linear) and isinstance(proj, nn.Linear)
        weight, bias = attention.in_proj_weight.detach(), attention.in_proj_bias.detach()
        query = nn.functional.linear(pool.probe.detach(), weight[:width], bias[:width])
        self._query = query.reshape(1, attention.heads, 1, -1)
        self._kv = Product(weight[width:], bias[width:])
        self._out = Product(attention.out_proj.weight, attention.out_proj.bias)
        self._ln, self._heads = pool.ln, attention.heads
        self._fc, self._proj = Product(fc.weight, fc.bias), Product(proj.weight, proj.bias)

    def __call__(self, x: Tensor) -> Tensor:
        """Map (B, N, W) to (B, W)."""
        batch, places, width = x.shape
        kv = self._kv(x).reshape(batch, places, 2, self._heads, width // self._heads)
        k, v = kv.permute(2, 0, 3, 1, 4)
        seen = attend(self._query.expand(batch, -1, -1, -1), k, v)  # (B, heads, 1, W / heads)
        pooled = self._out(seen.flatten(1))
        return pooled + self._proj(self._activation(self._fc(norm(self._ln, pooled))))
