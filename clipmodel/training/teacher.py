"""The vectors of the sentence encoder, all-MiniLM-L6-v2, which becomes the text tower as it is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tqdm import tqdm

from clipmodel.towers.bert import Bert
from clipmodel.towers.wordpiece import WordPieces, read_pieces
from clipmodel.training.packages import VOCABULARY, minilm, minilm_folder

CHUNK = 8192  # texts between two saves, which an interruption loses
BATCH = 256


def teach(texts: Sequence[str], cache: Path, context_length: int) -> NDArray[np.float16]:
    """Return the teacher's unit vectors (N, 384) in the order of `texts`.

    `cache` (an .npz) keeps them; only new texts are encoded, and saved in between.
    """
    known = _read(cache)
    new = sorted(set(texts) - known.keys(), key=len)  # similar lengths together, for little padding
    if new:
        weights, config = minilm(context_length)
        tower = Bert(config, config.width).eval()
        tower.load_state_dict(weights)
        pieces = WordPieces(read_pieces(minilm_folder() / VOCABULARY))
        for start in tqdm(range(0, len(new), CHUNK), desc="texts", unit="chunk"):
            chunk = new[start : start + CHUNK]
            known.update(zip(chunk, _encoded(tower, pieces, chunk, context_length), strict=True))
            _write(cache, known)
    return np.stack([known[text] for text in texts])


@torch.inference_mode()
def _encoded(
    tower: Bert, pieces: WordPieces, texts: Sequence[str], context_length: int
) -> NDArray[np.float16]:
    parts = []
    for start in range(0, len(texts), BATCH):
        ids = pieces.token_ids(texts[start : start + BATCH], context_length, truncate=True)
        ids = ids[:, : int((ids != 0).sum(axis=1).max())]
        parts.append(F.normalize(tower(torch.from_numpy(ids)), dim=1).half().numpy())
    return np.concatenate(parts)


def _read(cache: Path) -> dict[str, NDArray[np.float16]]:
    if not cache.exists():
        return {}
    with np.load(cache, allow_pickle=False) as held:
        return dict(zip(held["texts"].tolist(), held["vectors"], strict=True))


def _write(cache: Path, known: dict[str, NDArray[np.float16]]) -> None:
    part = cache.with_suffix(".part.npz")
    np.savez(part, texts=np.array(list(known)), vectors=np.stack(list(known.values())))
    part.replace(cache)
