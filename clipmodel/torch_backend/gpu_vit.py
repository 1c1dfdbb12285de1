"""The vision transformers of model.py and towers/siglip.py in the form that GPUs compute fastest.

Between two products a GPU waits for its memory, so what counts is bytes, not operations:

- Pixels arrive as bytes. One pass centres them, in half precision and in the order of the patches;
  mean and deviation are in the weights of their product.
- Norms read and write half precision and add up in float32, as torch's layer_norm does if its
  weights have the dtype of its input.
- Attention reads queries, keys and values where their product wrote them, and SDPA's flash kernel
  writes them as the next product reads them; no scores reach the memory.
- Sums and activations overwrite what they read.
- The last block computes the class token alone, since nothing else is read.

`Block.of` and the constructors are the only places that read the modules' weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmodel.model import QuickGELU, ResidualAttentionBlock, VisionTransformer
from clipmodel.torch_backend.fusing import fold_pixels, use_silu
from clipmodel.towers.siglip import SiglipVisionTransformer

Place = Callable[[Tensor], Tensor]  # a weight -> the same on the device, in the tower's dtype
ALIGNED = 8  # values of half precision, 16 bytes: rows for the tensor cores begin at multiples
# Pixels become (pixel - 128) / 64: exact in half precision, and weights that take them are as large
# as those for normalised pixels. Divided by 255, small ones would lose bits in float16.
GREY, UNIT = 128, 64


class GpuVit:
    """A tower for inference, made of a VisionTransformer, which must not be used afterwards."""

    def __init__(
        self, tower: VisionTransformer, device: str, dtype: torch.dtype, mean: Tensor, std: Tensor
    ) -> None:
        """tower: in float32. mean, std: (3,), of pixels from 0 to 1."""
        place = partial(_placed, device=device, dtype=dtype)
        self._patches = Patches(tower.conv1, place, mean, std)
        places = tower.positional_embedding.detach()
        self._first = place(tower.class_embedding.detach() + places[0])  # (W,)
        self._places = place(places[1:] + self._patches.grey)  # (N, W)
        self._before, self._after = Norm.of(tower.ln_pre, place), Norm.of(tower.ln_post, place)
        assert tower.proj is not None  # as in every model that was read from a checkpoint
        self._proj = Product(place(tower.proj.detach().T.contiguous()), None)
        self._blocks = _blocks(tower.transformer.resblocks, place)

    def __call__(self, pixels: Tensor) -> Tensor:
        """pixels: (B, S, S, 3) uint8, on the device. Returns (B, D), not normalised."""
        patches = self._patches(pixels)  # (B, N, W)
        batch, count, width = patches.shape
        x = patches.new_empty(batch, 1 + count, width)
        x[:, 0] = self._first
        torch.add(patches, self._places, out=x[:, 1:])
        x = self._before(x)  # (B, 1 + N, W)
        for block in self._blocks[:-1]:
            block(x)
        return self._proj(self._after(self._blocks[-1].of_first(x)))  # (B, W) -> (B, D)


class GpuSiglip:
    """A tower for inference, made of SigLIP's, which must not be used afterwards."""

    def __init__(
        self,
        tower: SiglipVisionTransformer,
        device: str,
        dtype: torch.dtype,
        mean: Tensor,
        std: Tensor,
    ) -> None:
        """tower: in float32. mean, std: (3,), of pixels from 0 to 1."""
        place = partial(_placed, device=device, dtype=dtype)
        self._patches = Patches(tower.conv1, place, mean, std)
        self._places = place(tower.positional_embedding.detach() + self._patches.grey)  # (N, W)
        self._after = Norm.of(tower.ln_post, place)
        self._blocks = _blocks(tower.transformer.resblocks, place)
        pool, width = tower.pool, len(tower.pool.probe)
        whole = Product(pool.attn.in_proj_weight.detach(), pool.attn.in_proj_bias.detach())
        query, self._kv = whole.rows(0, width), whole.rows(width, 3 * width).on(place)
        self._query = place(query(pool.probe.detach())).view(1, pool.attn.heads, 1, -1)
        self._out, self._ln = Product.of(pool.attn.out_proj, place), Norm.of(pool.ln, place)
        self._mlp = Perceptron.of(pool.mlp, place)

    def __call__(self, pixels: Tensor) -> Tensor:
        """pixels: (B, S, S, 3) uint8, on the device. Returns (B, D), not normalised."""
        x = self._patches(pixels)  # (B, N, W)
        x += self._places
        for block in self._blocks:
            block(x)
        k, v = _heads(self._kv(self._after(x)), 2, self._query.shape[1])
        seen = F.scaled_dot_product_attention(self._query.expand(len(x), -1, -1, -1), k, v)
        pooled = self._out(seen.transpose(1, 2).flatten(1))  # (B, heads, 1, W / heads) -> (B, W)
        pooled += self._mlp(self._ln(pooled))
        return pooled


@dataclass(frozen=True)
class Product:
    """The product x @ weight.T + bias."""

    weight: Tensor  # (outputs, inputs)
    bias: Tensor | None  # (outputs,)

    @classmethod
    def of(cls, linear: nn.Module, place: Place) -> "Product":
        assert isinstance(linear, nn.Linear)
        return cls(linear.weight, linear.bias).on(place)

    def on(self, place: Place) -> "Product":
        return Product(place(self.weight), None if self.bias is None else place(self.bias))

    def rows(self, start: int, end: int) -> "Product":
        """Return the product that computes these outputs alone; it shares the weights."""
        return Product(self.weight[start:end], None if self.bias is None else self.bias[start:end])

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class Norm:
    """A layer normalisation: input, weights and output of one dtype, sums in float32."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    @classmethod
    def of(cls, norm: nn.LayerNorm, place: Place) -> "Norm":
        return cls(place(norm.weight), place(norm.bias), norm.eps)

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


class Patches:
    """The convolution of patches as one product of bytes.

    It takes differences from grey: `grey`, (W,), is to be added to the places.
    """

    def __init__(self, conv: nn.Conv2d, place: Place, mean: Tensor, std: Tensor) -> None:
        self._side = conv.kernel_size[0]  # pixels, of a patch
        weight, self.grey = fold_pixels(conv, mean, std, GREY)  # (W, P · P · 3) of a grey level
        self._values = weight.shape[1]
        spare = -self._values % ALIGNED
        self._product = Product(place(F.pad(weight * UNIT, (0, spare))), None)
        self._centre = place(torch.tensor(-GREY / UNIT)).float()

    def __call__(self, pixels: Tensor) -> Tensor:
        """Map (B, S, S, 3) uint8 to (B, N, W), without a rest beside the last patches."""
        batch, side, n = len(pixels), self._side, pixels.shape[1] // self._side
        whole = pixels[:, : n * side, : n * side]
        rows = whole.reshape(batch, n, side, n, 3 * side).transpose(2, 3)  # (B, n, n, P, 3 P)
        weight = self._product.weight
        patches = weight.new_empty(batch, n, n, weight.shape[1])
        patches[..., self._values :].zero_()
        torch.add(
            self._centre,
            rows,
            alpha=1 / UNIT,
            out=patches[..., : self._values].view(rows.shape),
        )
        return self._product(patches.flatten(1, 2))


@dataclass(frozen=True)
class Perceptron:
    """Two products with an activation between."""

    fc: Product
    activation: Callable[[Tensor], Tensor]
    proj: Product

    @classmethod
    def of(cls, mlp: nn.Module, place: Place) -> "Perceptron":
        assert isinstance(mlp, nn.Sequential)
        fc, activation, proj = mlp
        assert not isinstance(activation, QuickGELU), "SiLU takes its place"
        return cls(Product.of(fc, place), activation, Product.of(proj, place))

    def __call__(self, x: Tensor) -> Tensor:
        return self.proj(self.activation(self.fc(x)))


@dataclass(frozen=True)
class Block:
    """A ResidualAttentionBlock that adds to its input in place."""

    heads: int
    ln_1: Norm
    qkv: Product
    out: Product
    ln_2: Norm
    mlp: Perceptron

    @classmethod
    def of(cls, block: nn.Module, place: Place) -> "Block":
        assert isinstance(block, ResidualAttentionBlock)
        use_silu(block)
        attention = block.attn
        return cls(
            attention.num_heads,
            Norm.of(block.ln_1, place),
            Product(attention.in_proj_weight, attention.in_proj_bias).on(place),
            Product.of(attention.out_proj, place),
            Norm.of(block.ln_2, place),
            Perceptron.of(block.mlp, place),
        )

    def __call__(self, x: Tensor) -> None:
        """x: (B, N, W), changed in place."""
        q, k, v = _heads(self.qkv(self.ln_1(x)), 3, self.heads)
        seen = F.scaled_dot_product_attention(q, k, v)
        x += self.out(seen.transpose(1, 2).flatten(2))  # (B, heads, N, W / heads) -> (B, N, W)
        x += self.mlp(self.ln_2(x))

    def of_first(self, x: Tensor) -> Tensor:
        """Map (B, N, W) to (B, W): the first place alone, which sees all others."""
        batch, _, width = x.shape
        seen = self.ln_1(x)
        q = self.qkv.rows(0, width)(seen[:, 0]).view(batch, self.heads, 1, -1)
        k, v = _heads(self.qkv.rows(width, 3 * width)(seen), 2, self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, heads, 1, W / heads)
        first = x[:, 0] + self.out(mixed.flatten(1))
        first += self.mlp(self.ln_2(first))
        return first


def _placed(weight: Tensor, device: str, dtype: torch.dtype) -> Tensor:
    return weight.detach().to(device, dtype)


def _blocks(blocks: nn.Sequential, place: Place) -> list[Block]:
    """Take the blocks out of their module, one by one, so that none is there twice for long."""
    taken = list[Block]()
    for number, block in enumerate(blocks):
        taken.append(Block.of(block, place))
        blocks[number] = nn.Identity()
    return taken


def _heads(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Return views of (B, N, parts · W), each (B, heads, N, W / heads)."""
    batch, places, _ = x.shape
    return x.view(batch, places, parts, heads, -1).permute(2, 0, 3, 1, 4).unbind()
