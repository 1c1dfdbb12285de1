"""The averages that the image tower takes of each picture, in several views: it never changes.

They are those of the quick tower, with which libraries are indexed.
"""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from clipmodel.config import EfficientNetConfig
from clipmodel.torch_backend.devices import has_native_bf16
from clipmodel.torch_backend.inference import Setup, quick_efficientnet
from clipmodel.towers.efficientnet import EfficientNet
from clipmodel.towers.lite import MEAN, STD
from clipmodel.training.augment import Augmentation, changed
from clipmodel.training.data import Collection
from clipmodel.training.packages import lite0

BATCH = 32

Encode = Callable[[Tensor], Tensor]  # (B, S, S, 3) uint8 -> (B, F)


class _Averages(EfficientNet):
    """An image tower that ends with its averages."""

    def embed(self, features: Tensor) -> Tensor:
        return features


class Trunk:
    """The image tower without its projections."""

    def __init__(self, config: EfficientNetConfig) -> None:
        self.config = config
        self._encode: Encode | None = None

    def views(
        self, collection: Collection, views: tuple[Augmentation, ...], run: Path
    ) -> NDArray[np.float16]:
        """Return the averages of each view, (V, N, F), from files in the folder `run` or new."""
        held = []
        for number, how in enumerate(views):
            saved = run / f"features-{collection.name.replace(' ', '-')}-{number}.npy"
            if not saved.exists():
                part = saved.with_suffix(".part.npy")
                np.save(part, np.concatenate([*self._averages(collection, how, number)]))
                part.replace(saved)
            held.append(np.load(saved))
        return np.stack(held)

    def _averages(
        self, collection: Collection, how: Augmentation, number: int
    ) -> Iterator[NDArray[np.float16]]:
        """Yield (B, F) for all pictures, preparing the next ones meanwhile."""
        starts = range(0, len(collection), BATCH)

        def view(start: int) -> Tensor:
            rows = range(start, min(start + BATCH, len(collection)))
            size = self.config.image_size
            return torch.from_numpy(
                np.stack(
                    [
                        changed(
                            np.asarray(collection.pictures[row]),
                            size,
                            how,
                            random.Random(f"{collection.name}/{number}/{row}"),
                        )
                        for row in rows
                    ]
                )
            )

        with ThreadPoolExecutor(max_workers=1) as maker, torch.inference_mode():
            coming = maker.submit(view, 0)
            for start in tqdm(starts, desc=f"{collection.name}, view {number}", unit="batch"):
                pixels = coming.result()
                if start + BATCH < len(collection):
                    coming = maker.submit(view, start + BATCH)
                yield self._tower()(pixels).half().numpy()

    def _tower(self) -> Encode:
        if self._encode is None:
            tower = _Averages(self.config, 1).eval()
            tower.load_state_dict(lite0()[0], strict=False)
            dtype = torch.bfloat16 if has_native_bf16() else torch.float32
            setup = Setup("cpu", dtype, torch.tensor(MEAN), torch.tensor(STD))
            self._encode = quick_efficientnet(tower, setup)
        return self._encode
