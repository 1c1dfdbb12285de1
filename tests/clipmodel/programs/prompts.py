"""Prompt learners: what CoOp and CoCoOp (Zhou et al. 2022) do with a model."""

import torch
from clip import clip
from clip.simple_tokenizer import SimpleTokenizer as _Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from tests.clipmodel.programs.weights import noise, picture

_tokenizer = _Tokenizer()
NAMES = ["golden retriever", "sunflower", "cup of tea"]
WORDS = 4  # of the learnt context


def model_of(path: str) -> nn.Module:
    """They read the weights themselves, and build the model from them."""
    return clip.build_model(torch.load(path, map_location="cpu")).float()


class TextEncoder(nn.Module):
    """The text tower, taken apart: it starts from embeddings, not from tokens."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.transformer, self.ln_final = model.transformer, model.ln_final
        self.positions, self.projection = model.positional_embedding, model.text_projection
        self.dtype = model.dtype

    def forward(self, prompts: Tensor, tokens: Tensor) -> Tensor:
        x = prompts + self.positions.type(self.dtype)
        x = self.transformer(x.permute(1, 0, 2)).permute(1, 0, 2)
        x = self.ln_final(x).type(self.dtype)
        return x[torch.arange(len(x)), tokens.argmax(dim=-1)] @ self.projection


class Context(nn.Module):
    """Learnt vectors in the place of words, before or around the name of a class."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        width = model.ln_final.weight.shape[0]
        self.ctx = nn.Parameter(noise((WORDS, width), "context").type(model.dtype) / 10)
        texts = [" ".join(["X"] * WORDS) + f" {name}." for name in NAMES]
        self.tokens = torch.cat([clip.tokenize(text) for text in texts])
        self.lengths = [len(_tokenizer.encode(name)) for name in NAMES]
        with torch.no_grad():
            embedded = model.token_embedding(self.tokens).type(model.dtype)
        self.register_buffer("prefix", embedded[:, :1])
        self.register_buffer("suffix", embedded[:, 1 + WORDS :])

    def around(self) -> Tensor:
        """The names in the middle of the context."""
        rows = []
        for row, length in enumerate(self.lengths):
            before, after = self.ctx[: WORDS // 2], self.ctx[WORDS // 2 :]
            name, rest = self.suffix[row, :length], self.suffix[row, length:]
            rows.append(torch.cat([self.prefix[row], before, name, after, rest]))
        return torch.stack(rows)

    def before(self, ctx: Tensor) -> Tensor:
        """The names after the context."""
        repeated = ctx.expand(len(NAMES), -1, -1)
        return torch.cat([self.prefix, repeated, self.suffix], dim=1)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def coop(path: str) -> Tensor:
    """The logits, and the gradient of the context."""
    model = model_of(path)
    learner, encoder = Context(model), TextEncoder(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    pixels = picture(2, model.visual.input_resolution)
    images = unit(model.visual(pixels.type(model.dtype)))
    texts = unit(encoder(learner.around(), learner.tokens))
    logits = model.logit_scale.exp() * images @ texts.t()
    F.cross_entropy(logits, torch.tensor([0, 2])).backward()
    return torch.cat([logits.flatten(), learner.ctx.grad[:, :8].flatten()])


def cocoop(path: str) -> Tensor:
    """The logits, when each picture shifts the context by what a small network says of it."""
    model = model_of(path)
    learner, encoder = Context(model), TextEncoder(model)
    inside, outside = model.visual.output_dim, model.ln_final.weight.shape[0]
    first, second = noise((inside // 4, inside), "first"), noise((outside, inside // 4), "second")
    images = unit(model.visual(picture(2, model.visual.input_resolution).type(model.dtype)))
    shifts = F.relu(images @ first.T) @ second.T / 10
    logits = []
    for image, shift in zip(images, shifts, strict=True):
        texts = unit(encoder(learner.before(learner.ctx + shift), learner.tokens))
        logits.append(model.logit_scale.exp() * image @ texts.t())
    return torch.stack(logits)


def tokenizer(path: str) -> list[float]:
    """What programs ask of the tokenizer itself."""
    texts = [
        "Hello,  world!",
        "caf\u00e9 &amp; na\u00efve \U0001f600",
        "it's 2024 <|endoftext|>",
        "",
    ]
    ids = [token for text in texts for token in _tokenizer.encode(text)]
    said = [_tokenizer.decode(ids), _tokenizer.decode([ids[0]]), _tokenizer.bpe("sunflowers")]
    letters = "".join(_tokenizer.byte_encoder[byte] for byte in "\u00e9t\u00e9".encode())
    said += [_tokenizer.bpe(letters), _tokenizer.decoder[ids[3]]]
    ranks = [_tokenizer.bpe_ranks["i", "n"], len(_tokenizer.bpe_ranks), len(_tokenizer.encoder)]
    ends = [_tokenizer.encoder["<|startoftext|>"], _tokenizer.encoder["<|endoftext|>"]]
    return [*ids, *ranks, *ends, *(float(ord(letter)) for text in said for letter in text)]
