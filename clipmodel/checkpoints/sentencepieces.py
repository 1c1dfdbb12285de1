"""The sentencepiece model of a checkpoint's texts.

It is beside the weights, or is made from the `tokenizer.json` that Hugging Face's packages write
instead. Its pieces are the vocabulary in the order of the ids, so its ids are those of the weights.
A model is a message of Google's protocol buffers; the fields used here are those of
sentencepiece_model.proto.
"""

import base64
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clipmodel.checkpoints.json_values import part, read_json
from clipmodel.config import TextTowerConfig
from clipmodel.errors import CheckpointError, cannot_read
from clipmodel.towers.sentencepieces import MODEL, MT5, NLLB, SIGLIP, SIGLIP2, XLM_ROBERTA, Frame

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # types of pieces
UNIGRAM, BPE = 1, 2  # types of models
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_NEVER = -1e9  # the score of a pair that is not merged
SPACE = "▁"


class Piece(NamedTuple):
    """A piece of a model."""

    name: str
    score: float
    kind: int


def of_siglip(config: TextTowerConfig, beside: Mapping[str, Path]) -> dict[str, bytes]:
    """Return T5's model from the files beside SigLIP's weights. Raises CheckpointError."""
    return _collected(config, beside, SIGLIP)


def of_siglip2(config: TextTowerConfig, beside: Mapping[str, Path]) -> dict[str, bytes]:
    """Return Gemma's model from the files beside SigLIP 2's weights. Raises CheckpointError."""
    return _collected(config, beside, SIGLIP2)


def of_mt5(config: TextTowerConfig, beside: Mapping[str, Path]) -> dict[str, bytes]:
    """Return mT5's model from the files beside the weights. Raises CheckpointError."""
    return _collected(config, beside, MT5)


def of_xlm_roberta(config: TextTowerConfig, beside: Mapping[str, Path]) -> dict[str, bytes]:
    """Return XLM-RoBERTa's model from its tokenizer.json. Raises CheckpointError.

    Its own model numbers the pieces in another way.
    """
    return _collected(config, {"tokenizer": beside["tokenizer"]}, XLM_ROBERTA)


def of_nllb(config: TextTowerConfig, beside: Mapping[str, Path]) -> dict[str, bytes]:
    """Return NLLB's model, with the tokens of its languages, from its tokenizer.json."""
    return _collected(config, {"tokenizer": beside["tokenizer"]}, NLLB)


def _collected(
    config: TextTowerConfig, beside: Mapping[str, Path], frame: Frame
) -> dict[str, bytes]:
    kinds = ("spiece", "sentencepiece", "tokenizer")
    files = [beside[key] for key in kinds if key in beside]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        wanted = " or ".join(file.name for file in files)
        raise CheckpointError(f"its vocabulary is missing: put its {wanted} beside it")
    try:
        model = file.read_bytes() if file.suffix == ".model" else made_from(read_json(file), file)
    except OSError as error:
        raise cannot_read(file, error) from error
    try:
        names = list(names_of(model))
    except (IndexError, UnicodeDecodeError, struct.error) as error:
        raise CheckpointError(f"{file} is damaged: {error}") from error
    if len(names) > config.vocab_size:
        raise CheckpointError(
            f"{file} has {len(names):,} pieces, and the weights are for {config.vocab_size:,}"
        )
    try:
        frame.check(names)
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error
    return {MODEL: model}


# --- from tokenizer.json ---


def made_from(held: Mapping[str, Any], file: Path) -> bytes:
    """Return the sentencepiece model of a tokenizer.json. Raises CheckpointError."""
    model = part(file, held, "model")
    kind = model.get("type")
    added = {
        each["id"]: (each["content"], CONTROL if each.get("special") else USER_DEFINED)
        for each in held.get("added_tokens") or []
    }
    try:
        if kind == "Unigram":
            pieces, unknown = [Piece(n, s, NORMAL) for n, s in model["vocab"]], model["unk_id"]
        elif kind == "BPE":
            pieces = _of_pairs(model)
            unknown = model["vocab"][model["unk_token"]]
        else:
            raise CheckpointError(f"layout not supported: {file} holds a {kind!r}")
        for number, (name, of_added) in added.items():
            pieces += [
                Piece(f"<unused {place}>", 0, UNUSED) for place in range(len(pieces), number + 1)
            ]
            pieces[number] = Piece(name, pieces[number].score, of_added)
        pieces[unknown] = Piece(pieces[unknown].name, 0, UNKNOWN)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"{file} is damaged: {error!r}") from error
    return _model(pieces, UNIGRAM if kind == "Unigram" else BPE, unknown, held)


def _of_pairs(model: Mapping[str, Any]) -> list[Piece]:
    """Return the pieces of a table of merges: the earlier a pair is in it, the higher its score."""
    scores: dict[str, float] = {}
    for rank, merge in enumerate(model["merges"]):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        scores.setdefault(left + right, -float(rank))
    names = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if [*map(model["vocab"].__getitem__, names)] != [*range(len(names))]:
        raise ValueError("the ids of the vocabulary have gaps")
    return [
        Piece(name, scores.get(name, _NEVER), BYTE if _BYTE.fullmatch(name) else NORMAL)
        for name in names
    ]


def _model(pieces: list[Piece], kind: int, unknown: int, held: Mapping[str, Any]) -> bytes:
    has_bytes = any(piece.kind == BYTE for piece in pieces)
    controls = {piece.name: place for place, piece in enumerate(pieces) if piece.kind == CONTROL}
    numbers = {40: unknown}
    for field, names in ((41, ("<s>", "<bos>")), (42, ("</s>", "<eos>")), (43, ("<pad>",))):
        numbers[field] = next((controls[name] for name in names if name in controls), -1)
    trainer = _number(3, kind) + _number(35, int(has_bytes))
    trainer += b"".join(_number(field, number) for field, number in numbers.items())
    for field, of in ((45, 40), (46, 41), (47, 42), (48, 43)):
        if numbers[of] >= 0:
            trainer += _bytes(field, pieces[numbers[of]].name.encode())
    normalizer = _bytes(1, b"from tokenizer.json") + _bytes(2, _characters(held))
    normalizer += _number(3, int(_has_prefix(held))) + _number(4, 1) + _number(5, 1)
    parts = [_bytes(1, _piece(piece)) for piece in pieces]
    return b"".join([*parts, _bytes(2, trainer), _bytes(3, normalizer)])


def _piece(piece: Piece) -> bytes:
    score = b"\x15" + struct.pack("<f", piece.score)  # field 2, of 32 bits
    return _bytes(1, piece.name.encode()) + score + _number(3, piece.kind)


def _normalizers(held: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of the normalizer and of the pre-tokenizer."""
    for key, list_of in (("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers")):
        given = held.get(key)
        if isinstance(given, dict):
            yield from [given, *(given.get(list_of) or [])]


def _characters(held: Mapping[str, Any]) -> bytes:
    """Return the table by which characters are replaced, as sentencepiece compiles it."""
    tables = (each.get("precompiled_charsmap") for each in _normalizers(held))
    return base64.b64decode(next((table for table in tables if table), ""))


def _has_prefix(held: Mapping[str, Any]) -> bool:
    """Return whether a text begins with a space."""
    for each in _normalizers(held):
        if each.get("type") == "Metaspace":
            scheme = each.get("prepend_scheme")
            return scheme != "never" if scheme else bool(each.get("add_prefix_space", True))
        if each.get("type") == "Prepend":
            return True
    return False


# --- protocol buffers ---


def names_of(model: bytes) -> Iterator[str]:
    """Yield the names of a model's pieces in the order of their ids."""
    for field, value in _fields(memoryview(model)):
        if field == 1 and isinstance(value, memoryview):
            yield next(bytes(v).decode() for n, v in _fields(value) if n == 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    at = 0
    while at < len(message):
        key, at = _read_number(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _read_number(message, at)
            yield key >> 3, value
            continue
        length = {1: 8, 5: 4}.get(wire)
        if length is None:
            length, at = _read_number(message, at)
        if at + length > len(message):
            raise IndexError("it ends too early")
        yield key >> 3, message[at : at + length]
        at += length


def _read_number(message: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def _bytes(field: int, value: bytes) -> bytes:
    return _packed(field << 3 | 2) + _packed(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _packed(field << 3) + _packed(value & (1 << 64) - 1)


def _packed(number: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first."""
    groups = [number & 127]
    while number := number >> 7:
        groups.append(number & 127)
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])
