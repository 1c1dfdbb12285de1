"""What CLIP interrogator, DALLE2-pytorch, clip-retrieval and VQGAN-CLIP do with a whole model."""

import warnings

import clip
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from tests.clipmodel.programs.weights import noise, picture

LABELS = ["oil painting", "by Hokusai", "trending on flickr", "impressionism", "a sketch of a cat"]


def painted() -> Image.Image:
    pixels = (noise((60, 90, 3), "painted").numpy() * 127 + 128).astype(np.uint8)
    return Image.fromarray(pixels)


def interrogator(path: str) -> Tensor:
    """CLIP interrogator: labels in chunks, kept as halves in NumPy, ranked by their softmax."""
    model, preprocess = clip.load(path, device="cpu")
    model.eval()
    image = model.encode_image(preprocess(painted()).unsqueeze(0)).detach().float()
    image /= image.norm(dim=-1, keepdim=True)
    kept = []
    for chunk in np.array_split(LABELS, 2):
        with torch.no_grad():
            texts = model.encode_text(clip.tokenize(chunk)).float()
        texts /= texts.norm(dim=-1, keepdim=True)
        kept += [*texts.half().numpy()]
    table = torch.stack([torch.from_numpy(row) for row in kept]).float()
    ranked = (image @ table.T).softmax(dim=-1)
    prompt = LABELS[int(ranked.topk(1, dim=-1)[1][0][0].numpy())]
    while clip.tokenize([prompt], truncate=True)[0][-1] == 0:  # until the context is full
        prompt += ", highly detailed"
    try:
        clip.tokenize([prompt + " and more"])
        full = 0.0
    except RuntimeError:
        full = 1.0
    return torch.cat([ranked[0], torch.tensor([full, float(len(prompt))])])


def dalle2(path: str) -> Tensor:
    """DALLE2-pytorch's adapter: the encodings of all tokens, caught behind the last norm."""
    model, preprocess = clip.load(path)
    model = model.cpu().float()
    last = dict(model.named_modules())["ln_final"]
    caught = []
    handle = last.register_forward_hook(lambda module, given, output: caught.append(output))
    assert len(last.weight) == model.transformer.width
    tokens = clip.tokenize(["an avocado armchair", "waves"])[..., : model.context_length]
    before_end = (tokens == 49407).cumsum(dim=-1) == 0
    mask = F.pad(before_end, (1, -1), value=True) & (tokens != 0)
    with torch.no_grad():
        embedded = F.normalize(model.encode_text(tokens).float(), dim=-1)
        encodings = caught.pop().masked_fill(~mask[..., None], 0.0).float()
        normalize = preprocess.transforms[-1]
        pixels = normalize(picture(2, model.visual.input_resolution) / 3 + 0.5)
        images = F.normalize(model.encode_image(pixels).float(), dim=-1)
    handle.remove()
    return torch.cat([embedded[:, :8], images[:, :8], encodings[:, :4, :8].flatten(1)], dim=1)


def clip_retrieval(path: str) -> Tensor:
    """clip-retrieval's loader: jit asked for, a folder for downloads, a warm-up."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model, preprocess = clip.load(path, device="cpu", jit=True, download_root=None)
    assert said, "what jit=True does not do is said"
    batch = torch.cat([preprocess(painted()).unsqueeze(0)] * 2)
    for _ in range(2):
        with torch.no_grad():
            images = model.encode_image(batch)
            texts = model.encode_text(clip.tokenize(["fake " * 90] * 2, truncate=True))
    return torch.cat([images[0, :20], texts[1, :20]])


def vqgan(path: str) -> Tensor:
    """VQGAN-CLIP: pixels are drawn towards a text, through cutouts of the model's size."""
    perceptor: nn.Module = clip.load(path, jit=False)[0].eval().requires_grad_(False).to("cpu")
    perceptor = perceptor.float()
    size = perceptor.visual.input_resolution
    target = perceptor.encode_text(clip.tokenize("a dragon")).float()
    random = noise((1, perceptor.visual.output_dim), "a prompt of noise")
    pixels = (picture(1, 2 * size) / 3 + 0.5).requires_grad_(True)
    cutouts = [F.adaptive_avg_pool2d(pixels[..., at:, at:], size) for at in (0, 7, 20)]
    embedded = perceptor.encode_image(torch.cat(cutouts)).float()
    loss = torch.zeros(())
    for prompt in (target, random):
        apart = F.normalize(embedded, dim=1).sub(F.normalize(prompt, dim=1)).norm(dim=1)
        loss = loss + apart.div(2).arcsin().pow(2).mul(2).mean()
    loss.backward()
    return torch.cat([loss.detach()[None], 1000 * pixels.grad[0, :, ::16, ::16].flatten()])
