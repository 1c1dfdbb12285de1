"""The tokenizer: equal to OpenAI's, on everything that people and machines type."""

import csv
import gzip
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipmodel.tokenizer import END, START, TextTooLong, Tokenizer, _is_plain, token_ids

DATA = Path(__file__).parents[2].parent / "shared/data"
Encode = Callable[[str], list[int]]

NASTY = [
    "",
    "   ",
    "\t\n",
    "it's they'll I'd we've you're I'm don't 'S 'T IT'S",
    "&amp;amp; &lt;b&gt; &quot;x&quot; &nbsp; &#233; &#xD800; &#x1c;",
    "naïve café Straße ĳ ǆ İstanbul ſ K",
    "schÃ¶n â€œquotesâ€\x9d l’Ã©tÃ©",
    "漢字とかな 한국어 עברית العربية हिन्दी ไทย",
    "🙂👨‍👩‍👧‍👦🏳️‍🌈 e\u0301 \u0301",
    "a\x00b\x07c\x1b[31mred\x1b[0m\x7f",
    "one\r\ntwo\x85three\u2028four\x0bfive\x0csix",
    "12345 3.14 1,000,000 ١٢٣ Ⅷ ½ ²",
    "a" * 10_000,
    "é漢🙂" * 3_000,
    "word " * 2_000,
    "x" * 50 + "!" * 50,
    "\ufeffbom \u200bzero\u200dwidth ﬁ ﬂ",
    "C++ C# .NET @user #tag https://example.org/a?b=c&d=e_f",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
]
ALPHABET = "abc XYZ'12&;<>#é漢🙂\n\t\x0b\x1c\x7f\xa0ſKİ´’Ã¤©|drsvlm"


@pytest.fixture(scope="module")
def reference() -> Encode:
    """OpenAI's own tokenizer, as open_clip has it (but for the names of special tokens)."""
    from open_clip.tokenizer import SimpleTokenizer

    encode: Encode = SimpleTokenizer().encode
    return encode


def typed() -> list[str]:
    """Strings of all sorts, the same ones each time."""
    rng = random.Random(0)
    return ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, 40))) for _ in range(2_000)]


def test_it_equals_openais_on_nasty_strings(reference: Encode) -> None:
    tokenizer = Tokenizer()
    for text in [*NASTY, *typed()]:
        assert tokenizer.encode(text) == reference(text), repr(text[:60])


def test_it_equals_openais_on_captions(reference: Encode) -> None:
    file = DATA / "flickr8k/captions.tsv.gz"
    if not file.exists():
        pytest.skip("no reference data here")
    with gzip.open(file, "rt", encoding="utf-8", newline="") as opened:
        rows = csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE)
        captions = [row["caption"] for row in rows][:3_000]
    tokenizer = Tokenizer()
    assert [tokenizer.encode(text) for text in captions] == [reference(text) for text in captions]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_it_equals_openais_on_any_text(text: str) -> None:
    from open_clip.tokenizer import SimpleTokenizer

    global _reference
    _reference = _reference or SimpleTokenizer()
    if not any(special in text for special in ("<start_of_text>", "<end_of_text>")):
        assert _TOKENIZER.encode(text) == _reference.encode(text)


_reference = None
_TOKENIZER = Tokenizer()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=40))
def test_plain_text_needs_no_cleaning(text: str) -> None:
    import html

    import ftfy

    if _is_plain(text):
        assert html.unescape(html.unescape(ftfy.fix_text(text))) == text


def test_special_tokens_are_openais() -> None:
    assert Tokenizer().encode("<|startoftext|> a <|endoftext|>") == [START, 320, END]


def test_golden_values() -> None:
    assert token_ids("Hello World!")[0, :6].tolist() == [49406, 3306, 1002, 256, 49407, 0]


def test_rows_are_padded_with_zeros() -> None:
    ids = token_ids(["a diagram", "a dog"], context_length=10)
    assert ids.shape == (2, 10) and ids.dtype == np.int64
    assert (ids[:, 0] == START).all() and (ids[:, 4:] == 0).all()
    assert token_ids([]).shape == (0, 77)


def test_a_text_too_long_is_named_or_cut() -> None:
    text = "long " * 100
    with pytest.raises(TextTooLong, match="long long.* has 100 tokens; the context has 77"):
        token_ids(["short", text])
    cut = token_ids(text, truncate=True)[0]
    assert cut[0] == START and cut[-1] == END and (cut != 0).all()
    np.testing.assert_array_equal(cut[1:-1], Tokenizer().encode(text)[:75])
    assert token_ids("long " * 75).shape == (1, 77)  # just fits


@pytest.mark.parametrize(
    "text", ["q" * 1_000_000, "é漢" * 500_000, "lone \ud800 surrogate", "\0\0\0", "&" * 100_000]
)
def test_hostile_text_is_cut_without_ado(text: str) -> None:
    row = token_ids(text, truncate=True)[0]
    assert row[0] == START and END in row


def test_decoding_gives_the_words_back() -> None:
    tokenizer = Tokenizer()
    for text in ("a photo of a cat", "schön 漢字 🙂", "3 < 4"):
        assert tokenizer.decode(tokenizer.encode(text)).split() == text.split()
