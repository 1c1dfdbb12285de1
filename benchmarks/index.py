"""Indexing JPEGs, end to end and from a cold start: ours, rclip's, OpenCLIP's in a plain loop.

rclip and ours take turns, three times; the rates are the medians.
`of the tower` is the share of what our image tower alone encodes in one second here, all cores its
own. rclip searches once after it has indexed, which takes less than a second of its time.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import peers
from benchmarks.inputs import photos
from benchmarks.libraries import vit_b_32
from benchmarks.report import Cell, Row
from benchmarks.timing import once, retrieve, steady
from clipmodel.pretrained import resolve

INPUTS = {"640×480": (1_000, (640, 480)), "12 MP": (200, (4000, 3000))}
PLAIN = 200  # pictures are enough for a plain loop
BATCH = 32
ROUNDS = 3
SECONDS = 5.0  # of the tower alone, at least


def run(folder: Path, quick: bool) -> Iterator[Row]:
    rclip = peers.Rclip.installed(folder / "rclip")
    models = {"ViT-B/32": vit_b_32(folder / "model").path}
    if rclip:
        models[peers.RCLIP_MODEL] = rclip.checkpoint
    alone = {name: tower_alone(path, 0.2 if quick else SECONDS) for name, path in models.items()}
    for size, (count, pixels) in INPUTS.items():
        count = count // 20 if quick else count
        pictures = folder / "photos"
        photos(pictures, count, pixels)
        seconds: dict[str, list[float]] = {name: [] for name in models}
        theirs: list[float] = []
        for _ in range(1 if quick else ROUNDS):
            if rclip:
                rclip.forget()
                theirs.append(rclip.index(pictures).seconds)
            for name, path in models.items():
                ran = retrieve("index", pictures, "--model", path, "--library", folder / "library")
                shutil.rmtree(folder / "library")
                seconds[name].append(ran.seconds)
        their_rate = count / median(theirs) if theirs else None
        if their_rate:
            yield row(size, "rclip", peers.RCLIP_MODEL, their_rate, their_rate, None)
        for name in models:
            rate = count / median(seconds[name])
            yield row(size, "retrieve", name, rate, their_rate, alone[name])
        if peers.importable("open_clip"):
            for bf16 in (False, True):
                rate = open_clip_loop(sorted(pictures.iterdir())[:PLAIN], bf16)
                who = f"open_clip, {'bf16' if bf16 else 'fp32'}, warm plain loop"
                yield row(size, who, "ViT-B/32", rate, their_rate, None)
        shutil.rmtree(pictures)


def row(
    size: str, who: str, model: str, rate: float, rclip: float | None, alone: float | None
) -> dict[str, Cell]:
    return {
        "pictures": size,
        "who": who,
        "model": model,
        "images/s": rate,
        "times rclip": rate / rclip if rclip else None,
        "tower alone images/s": alone,
        "of the tower": rate / alone if alone else None,
    }


def tower_alone(model: Path, least: float) -> float:
    """Images a second of our encoder, in the precision and batch size that it chooses."""
    from clipmodel.image_encoder import ImageEncoder

    folder = resolve(model)
    encoder, side = ImageEncoder(folder), folder.config.vision.image_size
    shape = (encoder.batch_size, side, side, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return len(pixels) / steady(lambda: encoder.encode(pixels), least)


def open_clip_loop(paths: list[Path], bf16: bool) -> float:
    """Images a second of what its README shows, in batches, in one process."""
    import open_clip
    import torch
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32-quickgelu")
    model.eval()
    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]

    def encode() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for batch in batches:
                pixels = [preprocess(Image.open(path).convert("RGB")) for path in batch]
                model.encode_image(torch.stack(pixels), normalize=True)

    if len(paths) > BATCH:
        encode()  # the first is slower
    return len(paths) / once(encode)
