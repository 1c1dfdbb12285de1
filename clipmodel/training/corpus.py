"""The texts on which the text tower imitates its teacher: captions, labels, prompts over words.

Captions show how people describe pictures; prompts give meaning to words that no caption contains.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

PROMPTS = (
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "a picture of {}",
    "a photo of the {}",
    "a close-up of a {}",
    "{} in the background",
)
PAIRS = ("{} and {}", "a {} with a {}", "{} near {}", "a {} on a {}", "{} {}")


def vocabulary(teacher_vocabulary: Path) -> list[str]:
    """Return whole words of three letters or more from the teacher's WordPieces, in their order."""
    words = teacher_vocabulary.read_text(encoding="utf-8").split("\n")
    return [word for word in words if re.fullmatch(r"[a-z]{3,}", word)]


def caption_words(captions: Iterable[str], least: int = 3) -> list[str]:
    """Return the words of at least `least` captions, most frequent first."""
    counts = Counter(
        word for text in captions for word in set(re.findall(r"[a-z]{3,}", text.lower()))
    )
    return [word for word, count in counts.most_common() if count >= least]


def prompts(words: Sequence[str], seed: int, each: int) -> list[str]:
    """Return `each` prompts for every word, the bare word first; a seed determines them."""
    rng = random.Random(seed)
    return [
        template.format(word)
        for word in words
        for template in (PROMPTS[0], *rng.sample(PROMPTS[1:], each - 1))
    ]


def pairs(words: Sequence[str], seed: int, count: int) -> list[str]:
    """Return `count` phrases of two words, such as people type into a search field."""
    rng = random.Random(seed)
    return [rng.choice(PAIRS).format(*rng.sample(words, 2)) for _ in range(count)]


def corpus(captions: Sequence[str], labels: Sequence[str], teacher_vocabulary: Path) -> list[str]:
    """Return all texts that the text tower imitates, without repetition, in a fixed order."""
    words = vocabulary(teacher_vocabulary)
    common = caption_words(captions)
    texts = [
        *captions,
        *labels,
        *prompts(words, seed=1, each=2),
        *prompts(common, seed=2, each=6),
        *pairs(common, seed=3, count=30_000),
    ]
    return list(dict.fromkeys(texts))
