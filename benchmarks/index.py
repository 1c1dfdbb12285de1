"""Indexing JPEGs of 640×480 with a ViT-B/32, end to end, against open_clip in a plain loop."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.inputs import photos
from benchmarks.libraries import vit_b_32
from benchmarks.report import Cell, Row
from benchmarks.timing import once, retrieve

COUNT = 1_000
PLAIN = 200  # pictures are enough for a plain loop
BATCH = 32


def run(folder: Path, quick: bool) -> Iterator[Row]:
    count = COUNT // 10 if quick else COUNT
    photos(folder / "photos", count, (640, 480))
    model = vit_b_32(folder / "model").path
    for precision in ("auto", "fp32", "bf16"):
        options = ("--model", model, "--precision", precision, "--library", folder / precision)
        ran = retrieve("index", folder / "photos", *options)
        yield row(
            f"retrieve index, {precision}", count / ran.seconds, "start of the process included"
        )
    for name in ("fp32", "bf16"):
        rate = open_clip_loop(sorted((folder / "photos").iterdir())[:PLAIN], name == "bf16")
        yield row(f"open_clip {name}, plain loop", rate, "decode, transform, encode; no start")


def row(what: str, rate: float | None, note: str) -> dict[str, Cell]:
    return {"what": what, "images/s": rate, "note": note if rate else "open_clip is not installed"}


def open_clip_loop(paths: list[Path], bf16: bool) -> float | None:
    """Images a second of what its README shows, in batches, in one process."""
    try:
        import open_clip
    except ImportError:
        return None
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

    encode()  # the first is slower
    return len(paths) / once(encode)
