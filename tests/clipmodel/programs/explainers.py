"""Explainers: GradCAM, attention rollout, and relevance by gradients (Chefer et al. 2021)."""

from types import MethodType

import clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.clipmodel.programs.weights import picture


def grad_cam(path: str) -> Tensor:
    """Where a ResNet sees what a text says: a map for the picture, by a hook on its last stage."""
    model, _ = clip.load(path, device="cpu", jit=False)
    kept = []

    def keep(module: nn.Module, given: object, output: Tensor) -> None:
        output.requires_grad_(True).retain_grad()
        kept.append(output)

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    handle = model.visual.layer4.register_forward_hook(keep)
    image = picture(1, model.visual.input_resolution)
    text = model.encode_text(clip.tokenize(["a dog in the snow"])).float()
    model.visual(image.type(model.visual.conv1.weight.dtype)).backward(text)
    handle.remove()
    [activation] = kept
    shares = activation.grad.mean(dim=(2, 3), keepdim=True)
    cam = (activation * shares).sum(dim=1, keepdim=True).clamp(min=0).detach()
    return F.interpolate(cam, (4, 4), mode="bicubic", align_corners=False)


def by_hand(path: str) -> Tensor:
    """A ResNet's stem and stages written out, before the attention pool."""
    model, _ = clip.load(path, device="cpu")
    v = model.visual
    x = picture(1, v.input_resolution).type(v.conv1.weight.dtype)
    with torch.no_grad():
        for conv, bn, relu in (
            (v.conv1, v.bn1, v.relu1),
            (v.conv2, v.bn2, v.relu2),
            (v.conv3, v.bn3, v.relu3),
        ):
            x = relu(bn(conv(x)))
        x = v.avgpool(x)
        for stage in (v.layer1, v.layer2, v.layer3, v.layer4):
            x = stage(x)
        dense = v.attnpool.c_proj(v.attnpool.v_proj(x.flatten(2).permute(2, 0, 1)))
        return torch.cat([v.attnpool(x)[0], dense[:, 0].flatten()[:40]])


def rollout(path: str) -> Tensor:
    """How much each patch reaches the class token: the attention of all blocks, multiplied."""
    model, _ = clip.load(path, device="cpu")
    visual = model.visual
    with torch.no_grad():
        x = visual.conv1(picture(2, visual.input_resolution).type(model.dtype))
        x = x.reshape(x.shape[0], x.shape[1], -1).permute(0, 2, 1)
        first = visual.class_embedding.to(x.dtype) + torch.zeros(len(x), 1, x.shape[-1])
        x = torch.cat([first, x], dim=1) + visual.positional_embedding.to(x.dtype)
        x = visual.ln_pre(x).permute(1, 0, 2)
        joined = torch.eye(len(x)).repeat(2, 1, 1)
        for block in visual.transformer.resblocks:
            normed = block.ln_1(x)
            seen, weights = block.attn(
                normed, normed, normed, need_weights=True, attn_mask=block.attn_mask
            )
            joined = (weights + torch.eye(len(x))) / 2 @ joined
            x = x + seen
            x = x + block.mlp(block.ln_2(x))
        features = visual.ln_post(x.permute(1, 0, 2)[:, 0, :]) @ visual.proj
        assert torch.allclose(features, model.encode_image(picture(2, 32)), atol=1e-4)
    return joined[:, 0, 1:]


def _attention(block: nn.Module, x: Tensor) -> Tensor:
    """The attention of a block, written out, so that its weights are part of the graph."""
    mha, (places, batch, width) = block.attn, x.shape
    q, k, v = (
        part.reshape(places, batch * mha.num_heads, mha.head_dim).transpose(0, 1)
        for part in F.linear(x, mha.in_proj_weight, mha.in_proj_bias).chunk(3, dim=-1)
    )
    logits = q @ k.transpose(1, 2) * mha.head_dim**-0.5
    if block.attn_mask is not None:
        logits = logits + block.attn_mask
    block.attn_probs = logits.softmax(dim=-1)
    joined = (block.attn_probs @ v).transpose(0, 1).reshape(places, batch, width)
    return F.linear(joined, mha.out_proj.weight, mha.out_proj.bias)


def relevance(path: str) -> Tensor:
    """What of a picture and of its text makes their logit: attention, weighted by gradients."""
    model, _ = clip.load(path, device="cpu", jit=False)
    towers = [model.visual.transformer.resblocks, model.transformer.resblocks]
    for blocks in towers:
        for block in dict(blocks.named_children()).values():
            block.attention = MethodType(_attention, block)
    tokens = clip.tokenize(["a red car"])
    logits, _ = model(picture(1, model.visual.input_resolution), tokens)
    found = []
    for blocks, place in zip(towers, (0, int(tokens.argmax())), strict=True):
        reached = torch.eye(blocks[0].attn_probs.shape[-1])
        for block in blocks:
            [grad] = torch.autograd.grad(logits[0, 0], [block.attn_probs], retain_graph=True)
            cam = (grad * block.attn_probs.detach()).clamp(min=0).mean(dim=0)
            reached = reached + cam @ reached
        found.append(reached[place, :16])
    return 100 * torch.cat(found)
