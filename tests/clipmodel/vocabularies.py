"""Small sentencepiece models, trained here: of T5's kind (SigLIP) and of Gemma's (SigLIP 2)."""

import io
from functools import cache
from typing import Any

SENTENCES = (
    "a photo of a dog on the beach",
    "two red cars in the snow",
    "the dogs and the cat sleep near a fire",
    "ein Hund am Strand, eine rote Katze im Schnee",
    "un chat noir sur le toit de la maison",
    "犬と猫 海辺の赤い車",
    "the beach at night with many people and a band",
)
KINDS: dict[str, dict[str, Any]] = {
    "siglip": {
        "model_type": "unigram",
        "vocab_size": 110,
        "pad_id": 0,
        "eos_id": 1,
        "unk_id": 2,
        "bos_id": -1,
    },
    "siglip2": {
        "model_type": "bpe",
        "vocab_size": 370,
        "pad_id": 0,
        "eos_id": 1,
        "bos_id": 2,
        "unk_id": 3,
        "eos_piece": "<eos>",
        "bos_piece": "<bos>",
        "byte_fallback": True,
        "add_dummy_prefix": False,
    },
}


@cache
def pieces(kind: str) -> bytes:
    """A model as `spiece.model` holds it."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=written,
        minloglevel=2,
        num_threads=1,
        hard_vocab_limit=False,
        **KINDS[kind],
    )
    return written.getvalue()
