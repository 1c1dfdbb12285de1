"""Run by the peers' Python: `clip_benchmark_recall.py VECTORS.npz K...` prints the recall at each K
by clip_benchmark's own evaluation, of captions that search pictures and of the reverse.

Its model and loader are replaced by ones that look the vectors up.
"""

import sys

import numpy as np
import torch
from clip_benchmark.metrics.zeroshot_retrieval import evaluate

BATCH = 16  # pictures

held = np.load(sys.argv[1])
pictures, captions, own = (torch.from_numpy(held[name]) for name in ("pictures", "captions", "own"))
cuts = [int(each) for each in sys.argv[2:]]


class Model:
    """The number of a picture or a caption -> its vector."""

    @staticmethod
    def encode_image(numbers: torch.Tensor) -> torch.Tensor:
        return pictures[numbers]

    @staticmethod
    def encode_text(numbers: torch.Tensor) -> torch.Tensor:
        return captions[numbers]


def batches() -> list[tuple[torch.Tensor, list[list[int]]]]:
    """Return batches of numbers of pictures, with the numbers of the captions of each."""
    numbers = torch.arange(len(pictures))
    parts = [numbers[at : at + BATCH] for at in range(0, len(pictures), BATCH)]
    return [(some, [torch.nonzero(own == n)[:, 0].tolist() for n in some]) for some in parts]


found = evaluate(Model, batches(), torch.tensor, "cpu", amp=False, recall_k_list=cuts)
for kind in ("image", "text"):
    print(*(f"{found[f'{kind}_retrieval_recall@{k}']:.6f}" for k in cuts))
