"""Near copies with `tiny`: recall for eight kinds of edits, and unrelated pairs found to be near.

200 photos of Flickr8k are edited, among 2,000 others; the rows without a seed are for all photos.
Of their 32.7 million pairs, two are truly near copies: one photo is there twice, and two photos
were taken within a second.
"""

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from benchmarks.harness import peers
from benchmarks.harness.report import Cell, Row
from benchmarks.relevance import DATA
from retrieval.collection.nearness import (
    MAX_BITS_ALIKE,
    MAX_BITS_SAME,
    Hashes,
    Nearness,
    distances,
    packed,
)
from retrieval.decoding.decode import decode

COPIED, OTHERS = 200, 2_000  # photos
BLOCK = 500
SEEDS = (0, 1)
PHOTOS = DATA / "flickr8k" / "images-128.tar"

Picture = Image.Image
Indices = NDArray[np.int64]
Truths = NDArray[np.bool_]
Judge = Callable[[Indices, Indices], Truths]  # of two pictures each, by number


# -- edits ---------------------------------------------------------------------------------------


def crop(photo: Picture) -> Picture:
    """Cut a twentieth off each side."""
    width, height = photo.size
    return photo.crop((width // 20, height // 20, width - width // 20, height - height // 20))


def resize(photo: Picture) -> Picture:
    return photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS)


def watermark(photo: Picture) -> Picture:
    layer = Image.new("RGBA", photo.size)
    at = photo.width * 0.08, photo.height * 0.8
    ImageDraw.Draw(layer).text(at, "(c) somebody 2024", (255, 255, 255, 160))
    return Image.alpha_composite(photo.convert("RGBA"), layer).convert("RGB")


def bright(photo: Picture) -> Picture:
    return ImageEnhance.Brightness(photo).enhance(1.3)


def screenshot(photo: Picture) -> Picture:
    """Add the margins of a dark picture viewer."""
    width, height = photo.size
    screen = Image.new("RGB", (width + width // 8, height + height // 3), (18, 18, 18))
    screen.paste(photo, (width // 16, height // 6))
    return screen


EDITS: dict[str, Callable[[Picture], Picture]] = {
    "crop": crop,
    "resize": resize,
    "q30": lambda photo: photo,
    "watermark": watermark,
    "flip": ImageOps.mirror,
    "grey": ImageOps.grayscale,
    "bright": bright,
    "screenshot": screenshot,
}


def saved(name: str, photo: Picture, folder: Path, number: int) -> None:
    if name == "screenshot":
        screenshot(photo).save(folder / f"{number:06}.png")
    else:
        quality = 30 if name == "q30" else 90
        EDITS[name](photo).save(folder / f"{number:06}.jpg", quality=quality)


# -- measures ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """Vectors and hashes of the pictures of a folder, in the order of their names."""

    vectors: NDArray[np.float32]  # (N, D), unit L2 norm
    hashes: Hashes

    def judge(self, near: Nearness) -> Judge:
        def judge(ones: Indices, others: Indices) -> Truths:
            cosines = np.einsum("pd,pd->p", self.vectors[ones], self.vectors[others])
            bits = distances(self.hashes[ones], self.hashes[others])
            by_both = (cosines >= near.both) & (bits <= MAX_BITS_ALIKE)
            by_hash = (cosines >= near.floor) & (bits <= MAX_BITS_SAME)
            found: Truths = (cosines >= near.alone) | by_both | by_hash
            return found

        return judge


def run(folder: Path, quick: bool) -> Iterator[Row]:
    copied, others = (20, 100) if quick else (COPIED, OTHERS)
    for seed in SEEDS:
        photos = drawn(np.random.default_rng(seed), copied + others)
        place = folder / str(seed)
        write(photos, copied, place)
        for name, judge in judges(place).items():
            yield {"who": name, "seed": seed, **figures(judge, copied, len(photos))}
    photos = drawn(np.random.default_rng(0), 300 if quick else None)
    write(photos, 0, folder / "all")
    for name, judge in judges(folder / "all").items():
        yield {"who": name, "seed": None, **figures(judge, 0, len(photos))}


def write(photos: Sequence[Picture], copied: int, folder: Path) -> None:
    """Write all photos, then each edit of the first ones."""
    folder.mkdir()
    for number, photo in enumerate(photos):
        photo.save(folder / f"{number:06}.png")
    for which, name in enumerate(EDITS):
        for number, photo in enumerate(photos[:copied]):
            saved(name, photo, folder, len(photos) + which * copied + number)


def judges(folder: Path) -> dict[str, Judge]:
    seen = looked_at(folder)
    never = 2.0
    found = {
        "retrieve": seen.judge(Nearness.of("tiny-2")),
        "vectors alone, 0.97": seen.judge(Nearness(0.97, never, never)),
        "vectors alone, 0.93": seen.judge(Nearness(0.93, never, never)),
        f"our hash alone, {MAX_BITS_SAME} bits": seen.judge(Nearness(never, never, -1.0)),
    }
    if peers.has("imagehash"):
        peers.script("image_hashes.py", folder, folder.with_suffix(".npz"))
        for name, bits in np.load(folder.with_suffix(".npz")).items():
            for most in (MAX_BITS_SAME, 8):
                found[f"imagehash {name}, {most} bits"] = by_bits(bits, most)
    return found


def looked_at(folder: Path) -> Seen:
    from clipmodel.pretrained import resolve
    from clipmodel.torch_backend.image_encoder import ImageEncoder

    model = resolve("tiny")
    tower, side = ImageEncoder(model), model.config.vision.image_size
    decoded = [decode(file.read_bytes(), side) for file in sorted(folder.iterdir())]
    pixels = [each.pixels for each in decoded]
    starts = range(0, len(pixels), tower.batch_size)
    vectors = [tower.encode(np.stack(pixels[at : at + tower.batch_size])) for at in starts]
    return Seen(np.concatenate(vectors), packed([each.difference_hash or b"" for each in decoded]))


def by_bits(bits: Truths, most: int) -> Judge:
    def judge(ones: Indices, others: Indices) -> Truths:
        found: Truths = np.count_nonzero(bits[ones] != bits[others], axis=1) <= most
        return found

    return judge


def figures(judge: Judge, copied: int, photos: int) -> dict[str, Cell]:
    numbers = np.arange(copied)
    recalls: dict[str, Cell] = dict.fromkeys(("recall", *EDITS))
    if copied:
        each = [
            float(judge(numbers, photos + which * copied + numbers).mean())
            for which in range(len(EDITS))
        ]
        recalls = {"recall": float(np.mean(each)), **dict(zip(EDITS, each, strict=True))}
    return {"photos": photos, "false pairs": false_pairs(judge, photos), **recalls}


def false_pairs(judge: Judge, photos: int) -> int:
    count = 0
    for start in range(0, photos, BLOCK):
        for other in range(start, photos, BLOCK):
            ones, others = np.meshgrid(
                np.arange(start, min(start + BLOCK, photos)),
                np.arange(other, min(other + BLOCK, photos)),
            )
            later = others > ones
            count += int(judge(ones[later], others[later]).sum())
    return count


def drawn(generator: np.random.Generator, count: int | None) -> list[Picture]:
    """Return some photos at random, or all."""
    with tarfile.open(PHOTOS) as archive:
        members = [member for member in archive if member.isfile()]
        some = generator.permutation(len(members))[:count]
        opened = (archive.extractfile(members[number]) for number in some)
        return [Image.open(io.BytesIO(file.read())).convert("RGB") for file in opened if file]
