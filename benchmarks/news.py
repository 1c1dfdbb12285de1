"""Time to an answer with new pictures in a folder of 1,000 known ones: ours, and rclip's.

rclip looks for new pictures at every search; ours takes two commands, `index` and `search`. Both
use the weights of rclip's model if it is available.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.harness import peers
from benchmarks.harness.inputs import PictureLike, photos
from benchmarks.harness.libraries import filled_from, vit_b_32
from benchmarks.harness.report import Row
from benchmarks.harness.timing import retrieve
from benchmarks.rescan import move
from benchmarks.search import QUERY
from clipmodel.pretrained import resolve

KNOWN = 1_000
NEW = (1, 5, 20, 100)
ROUNDS = 3


def run(folder: Path, quick: bool) -> Iterator[Row]:
    known, new = (KNOWN // 10, NEW[:2]) if quick else (KNOWN, NEW)
    rounds = 1 if quick else ROUNDS
    pictures, later, library = folder / "photos", folder / "later", folder / "library"
    photos(pictures, known + rounds * sum(new), (640, 480))
    move(sorted(pictures.iterdir())[known:], later)
    rclip = peers.Rclip.installed(folder / "rclip")
    model = resolve(rclip.checkpoint) if rclip else vit_b_32(folder / "model")
    filled_from(library, model, pictures)
    if rclip:
        dim = model.config.embed_dim
        rclip.fill(peers.found(pictures), (v for _, v in PictureLike(dim).batches(known)))

    def ours() -> float:
        seconds = retrieve("index", pictures, "--library", library).seconds
        return seconds + retrieve("search", QUERY, "--library", library).seconds

    waiting = sorted(later.iterdir())
    for count in new:
        taken, their_taken = list[float](), list[float]()
        for _ in range(rounds):
            for path in waiting[:count]:
                path.rename(pictures / path.name)
            del waiting[:count]
            taken.append(ours())
            if rclip:
                their_taken.append(rclip.index(pictures).seconds)
        mine = median(taken)
        theirs = median(their_taken) if rclip else None
        yield {
            "known": known,
            "new": count,
            "retrieve s": mine,
            "rclip s": theirs,
            "ratio": mine / theirs if theirs else None,
        }
