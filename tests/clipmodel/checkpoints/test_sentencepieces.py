"""A tokenizer.json as a sentencepiece model: equal ids for every text."""

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

from clipmodel.checkpoints.sentencepieces import made_from, names_of, of_siglip
from clipmodel.config import TextTowerConfig
from clipmodel.errors import CheckpointError
from clipmodel.towers.sentencepieces import canonical
from tests.clipmodel.vocabularies import SENTENCES, pieces

TEXTS = [*SENTENCES, "", "x", "dogs dogs dogs", "Ünïcode ﬁne ½", "犬の写真 и кот", "naïve " * 30]
SPECIAL = ["<pad>", "</s>", "<unk>"]


def unigram() -> Tokenizer:
    """Of T5's kind."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>")
    made.train_from_iterator(SENTENCES, trainer)
    return made


def pairs() -> Tokenizer:
    """Of Gemma's kind: with bytes for what it does not know."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    of_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[*special, *of_bytes])
    made.train_from_iterator(SENTENCES, trainer)
    held = json.loads(made.to_str())  # as Gemma's: its bytes are pieces like others
    held["added_tokens"] = [each for each in held["added_tokens"] if each["content"] in special]
    return Tokenizer.from_str(json.dumps(held))


@pytest.mark.parametrize("make", [unigram, pairs])
def test_ids_are_those_of_the_tokenizer(make: Any) -> None:
    reference = make()
    held = json.loads(reference.to_str())
    model = made_from(held, Path("tokenizer.json"))
    ours = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert [*names_of(model)] == [reference.id_to_token(i) for i in range(len([*names_of(model)]))]
    for text in TEXTS:
        cleaned = canonical(text)
        assert ours.encode(cleaned) == reference.encode(cleaned).ids, text


def test_a_table_of_characters_is_kept() -> None:
    theirs = sentencepiece.SentencePieceProcessor(model_proto=pieces("siglip"))
    held = json.loads(unigram().to_str())
    table = "AAAAAA=="  # of no characters
    held["normalizer"] = {"type": "Sequence", "normalizers": [{"precompiled_charsmap": table}]}
    assert b"\x12\x04\0\0\0\0" in made_from(held, Path("tokenizer.json"))
    assert [*names_of(pieces("siglip"))] == [theirs.id_to_piece(i) for i in range(len(theirs))]


def test_added_tokens_follow_the_vocabulary() -> None:
    made = unigram()
    size = made.get_vocab_size()
    made.add_special_tokens([AddedToken("<extra>")])
    model = made_from(json.loads(made.to_str()), Path("tokenizer.json"))
    assert [*names_of(model)][size] == "<extra>"
    ours = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert ours.is_control(size) and ours.is_unknown(2)


@pytest.mark.parametrize(
    ("content", "size", "message"),
    [
        ("{}", 200, "holds a None"),
        ('{"model": {"type": "Unigram"}}', 200, "is damaged"),
        ('{"model": {"type": "BPE", "vocab": {"a": 3}, "merges": []}}', 200, "is damaged"),
        (None, 200, "put its spiece.model or tokenizer.model or tokenizer.json beside it"),
        ("unigram", 30, "pieces, and the weights are for 30"),
        ("pairs", 500, "the vocabulary lacks </s>"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, content: str | None, size: int, message: str
) -> None:
    beside = {
        "spiece": tmp_path / "spiece.model",
        "sentencepiece": tmp_path / "tokenizer.model",
        "tokenizer": tmp_path / "tokenizer.json",
    }
    if content is not None:
        made = {"unigram": unigram, "pairs": pairs}.get(content)
        beside["tokenizer"].write_text(made().to_str() if made else content)
    with pytest.raises(CheckpointError, match=message):
        of_siglip(TextTowerConfig(16, size), beside)


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(pieces("siglip")[:300])
    beside = dict.fromkeys(("spiece", "sentencepiece", "tokenizer"), tmp_path / "spiece.model")
    with pytest.raises(CheckpointError, match=r"spiece\.model is damaged"):
        of_siglip(TextTowerConfig(16, 200), beside)
