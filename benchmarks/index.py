"""Indexing JPEGs, end to end and from a cold start: ours, rclip, clip-retrieval, a plain loop.

The programs take turns, three times; the rates are the medians. clip-retrieval's two commands, to
encode and to build an index, are counted together. `of the tower` is the fraction of the rate of
our image tower when it runs alone on all cores. rclip also searches once after indexing, which
takes less than a second. The row beyond 1,000 is the difference between runs of 4,000 and 1,000
pictures, so it does not include start and end.
"""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.harness import peers
from benchmarks.harness.inputs import photos
from benchmarks.harness.libraries import vit_b_32
from benchmarks.harness.report import Cell, Row
from benchmarks.harness.timing import once, retrieve, steady
from clipmodel.pretrained import resolve
from retrieval.decoding import malloc

MODEL = "ViT-B/32"  # with random weights
SMALL = (640, 480)
INPUTS = {"640×480": (1_000, SMALL), "12 MP": (200, (4000, 3000))}
FURTHER = 3_000  # small pictures more, for ours alone
PLAIN = 200  # pictures are enough for a plain loop
BATCH = 32
ROUNDS = 3
SECONDS = 5.0  # of the tower alone, at least


def run(folder: Path, quick: bool) -> Iterator[Row]:
    malloc.keep(malloc.RUN_KEEPS_BYTES)  # as `retrieve index` does: for the tower, and open_clip
    model = vit_b_32(folder / "model")
    rclip = peers.Rclip.installed(folder / "rclip")
    clip_retrieval = peers.ClipRetrieval.installed(folder / "clip-retrieval")
    if clip_retrieval:
        clip_retrieval.take(model)
    models = {MODEL: model.path}
    if rclip:
        models[peers.RCLIP_MODEL] = rclip.checkpoint
    alone = {name: tower_alone(path, 0.2 if quick else SECONDS) for name, path in models.items()}

    programs = dict[tuple[str, str], Callable[[Path], float]]()  # by name and model: its seconds
    if rclip:
        programs["rclip", peers.RCLIP_MODEL] = partial(by_rclip, rclip)
    if clip_retrieval:
        programs["clip-retrieval", MODEL] = clip_retrieval.index
    for name, path in models.items():
        programs["retrieve", name] = partial(by_ours, folder / "library", path)

    rounds, less = (1, 20) if quick else (ROUNDS, 1)
    for size, (count, pixels) in INPUTS.items():
        count //= less
        pictures = folder / "photos"
        photos(pictures, count, pixels)
        seconds = {each: list[float]() for each in programs}
        for _ in range(rounds):
            for each, index in programs.items():
                seconds[each].append(index(pictures))
        rates = {each: count / median(taken) for each, taken in seconds.items()}
        of_rclip = rates.get(("rclip", peers.RCLIP_MODEL))
        for (who, name), rate in rates.items():
            yield row(size, who, name, rate, of_rclip, alone[name] if who == "retrieve" else None)
        if peers.importable("open_clip"):
            for bf16 in (False, True):
                rate = open_clip_loop(sorted(pictures.iterdir())[:PLAIN], bf16)
                who = f"open_clip, {'bf16' if bf16 else 'fp32'}, warm plain loop"
                yield row(size, who, MODEL, rate, of_rclip, None)
        if pixels == SMALL:
            photos(pictures, count + FURTHER // less, pixels)
            ours = "retrieve", MODEL
            longer = median(programs[ours](pictures) for _ in range(rounds)) - median(seconds[ours])
            rate = FURTHER // less / longer
            yield row(f"{size}, beyond {count:,}", *ours, rate, None, alone[MODEL])
        shutil.rmtree(pictures)


def by_rclip(rclip: peers.Rclip, pictures: Path) -> float:
    rclip.forget()
    return rclip.index(pictures).seconds


def by_ours(library: Path, model: Path, pictures: Path) -> float:
    ran = retrieve("index", pictures, "--model", model, "--library", library)
    shutil.rmtree(library)
    return ran.seconds


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
    """Measure our encoder, in the precision and batch size that it chooses; images per second."""
    from clipmodel.torch_backend.image_encoder import ImageEncoder

    folder = resolve(model)
    encoder, side = ImageEncoder(folder), folder.config.vision.image_size
    shape = (encoder.batch_size, side, side, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return len(pixels) / steady(lambda: encoder.encode(pixels), least)


def open_clip_loop(paths: list[Path], bf16: bool) -> float:
    """Measure the code of OpenCLIP's README, in batches, in one process; images per second."""
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
