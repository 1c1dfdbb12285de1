"""Adapters: what Tip-Adapter (Zhang et al. 2022) and CLIP-LoRA (Zanella et al. 2024) do."""

import clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.clipmodel.programs.weights import noise, picture

CLASSES = ["hot_dog", "bicycle", "lighthouse"]
TEMPLATES = ["a photo of a {}.", "a drawing of the {}, in pencil."]


def tip_adapter(path: str) -> Tensor:
    """Logits of CLIP's classifier, and of a cache of a few labelled pictures."""
    model, _ = clip.load(path, device="cpu")
    model.eval()
    size = model.visual.input_resolution
    with torch.no_grad():
        weights = []
        for name in CLASSES:
            texts = [template.format(name.replace("_", " ")) for template in TEMPLATES]
            embedded = model.encode_text(clip.tokenize(texts))
            embedded /= embedded.norm(dim=-1, keepdim=True)
            mean = embedded.mean(dim=0)
            mean /= mean.norm()
            weights.append(mean)
        classifier = torch.stack(weights, dim=1)
        keys = model.encode_image(picture(6, size, "shots"))
        keys /= keys.norm(dim=-1, keepdim=True)
        features = model.encode_image(picture(2, size))
        features /= features.norm(dim=-1, keepdim=True)
    labels = F.one_hot(torch.arange(6) % 3).to(features.dtype)
    affinity = features @ keys.t()
    return 100.0 * features @ classifier + (5.5 * (affinity - 1)).exp() @ labels


class LowRank(nn.Module):
    """A linear layer, and the product of two thin matrices."""

    def __init__(self, weight: Tensor, bias: Tensor, seed: str, rank: int = 2) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.lora_a = nn.Parameter(noise((rank, weight.shape[1]), seed) / 8)
        self.lora_b = nn.Parameter(noise((weight.shape[0], rank), f"{seed}'") / 8)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + x @ self.lora_a.T @ self.lora_b.T


class LowRankAttention(nn.Module):
    """Stands for an `nn.MultiheadAttention`, whose weights and settings it takes over."""

    def __init__(self, mha: nn.MultiheadAttention, seed: str) -> None:
        super().__init__()
        assert not mha.batch_first and mha._qkv_same_embed_dim and mha.kdim == mha.vdim
        self.width, self.heads, self.head_dim = mha.embed_dim, mha.num_heads, mha.head_dim
        weights, biases = mha.in_proj_weight.data.chunk(3), mha.in_proj_bias.data.chunk(3)
        named = zip("qkv", weights, biases, strict=True)
        self.parts = nn.ModuleList(LowRank(w, b, f"{seed} {name}") for name, w, b in named)
        self.proj = mha.out_proj

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        places, batch, _ = query.shape
        inputs = zip(self.parts, (query, key, value), strict=True)
        q, k, v = (
            part(x).reshape(places, batch * self.heads, self.head_dim).transpose(0, 1)
            for part, x in inputs
        )
        mask = None if attn_mask is None else attn_mask.unsqueeze(0)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(out.transpose(0, 1).reshape(places, batch, self.width)), None


def clip_lora(path: str) -> Tensor:
    """Both embeddings after one step of training the low-rank parts alone."""
    model, _ = clip.load(path, device="cpu")
    for tower, seed in ((model.transformer, "text"), (model.visual.transformer, "vision")):
        for number, block in enumerate(tower.resblocks):
            for name, child in block.named_children():
                if isinstance(child, nn.MultiheadAttention):
                    setattr(block, name, LowRankAttention(child, f"{seed} {number}"))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(trained) == 6 * (model.transformer.layers + model.visual.transformer.layers)
    optimizer = torch.optim.SGD(trained, lr=0.5)
    pixels = picture(3, model.visual.input_resolution)
    tokens = clip.tokenize(["a hot dog", "a bicycle", "a lighthouse by the sea"])
    logits, _ = model(pixels, tokens)
    F.cross_entropy(logits, torch.arange(3)).backward()
    optimizer.step()
    with torch.no_grad():
        return torch.cat([model.encode_image(pixels)[:, :10], model.encode_text(tokens)[:, :10]])
