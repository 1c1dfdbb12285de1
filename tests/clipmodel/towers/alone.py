"""Writers of text towers as they are published alone, with the programs that compute them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn

from tests.clipmodel.small import VIT_CONFIG, shake
from tests.clipmodel.vocabularies import SENTENCES

if TYPE_CHECKING:
    from transformers import XLMRobertaConfig

WIDTH, DIM = 64, VIT_CONFIG.embed_dim
WORDS = ("a", "Two", "red", "_", "cars", ",", "in", "the", "S", "##NO", "##W", "!", "Le", "to")
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##it", "élevé", "犬", "&", "amp")


class MClip(nn.Module):
    """As the program multilingual-clip computes."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer
        self.LinearTransformation = nn.Linear(WIDTH, DIM)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        places = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = (places * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.LinearTransformation(pooled)  # type: ignore[no-any-return]


def xlm_roberta(vocab_size: int) -> "XLMRobertaConfig":
    """Return the config of a small XLM-RoBERTa."""
    from transformers import XLMRobertaConfig

    return XLMRobertaConfig(
        vocab_size=vocab_size,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=96,
        max_position_embeddings=40,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )


def m_clip(folder: Path) -> Callable[[list[str]], Tensor]:
    """Write M-CLIP's files; returns what encodes texts."""
    from transformers import XLMRobertaModel, XLMRobertaTokenizer

    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>")
    unigram.train_from_iterator(SENTENCES, trainer)
    vocab = json.loads(unigram.to_str())["model"]["vocab"]
    tokenizer = XLMRobertaTokenizer(vocab=[(piece, score) for piece, score in vocab])
    tokenizer.save_pretrained(folder)
    config = xlm_roberta(len(tokenizer))
    torch.manual_seed(0)
    reference = shake(MClip(XLMRobertaModel(config)))
    held = {"model_type": "M-CLIP", "modelBase": "xlm-roberta-large", "numDims": DIM}
    (folder / "config.json").write_text(json.dumps(held))
    torch.save(reference.state_dict(), folder / "pytorch_model.bin")

    def encode(texts: list[str]) -> Tensor:
        made = tokenizer(texts, padding=True, return_tensors="pt")
        vectors: Tensor = reference(made.input_ids, made.attention_mask)
        return vectors

    return encode


def sentence_transformer(folder: Path) -> Callable[[list[str]], Tensor]:
    """Write what sentence-transformers writes of a DistilBERT with a dense layer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertTokenizer, DistilBertConfig, DistilBertModel

    inner = folder.with_name("inner")
    vocab = {piece: number for number, piece in enumerate(PIECES)}
    BertTokenizer(vocab=vocab, do_lower_case=False).save_pretrained(inner)
    config = DistilBertConfig(
        vocab_size=len(PIECES),
        dim=WIDTH,
        hidden_dim=96,
        n_layers=2,
        n_heads=1,
        max_position_embeddings=40,
    )
    torch.manual_seed(0)
    transformer = DistilBertModel(config)
    shake(transformer)
    transformer.save_pretrained(inner)
    dense = modules.Dense(WIDTH, DIM, bias=False, activation_function=nn.Identity())
    parts = [modules.Transformer(str(inner), max_seq_length=16), modules.Pooling(WIDTH), dense]
    model = SentenceTransformer(modules=parts, device="cpu").eval()
    model.save(str(folder), create_model_card=False)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")

    def encode(texts: list[str]) -> Tensor:
        vectors: Tensor = model.encode(texts, convert_to_tensor=True)
        return vectors

    return encode
