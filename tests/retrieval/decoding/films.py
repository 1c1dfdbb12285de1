"""Small videos for tests, made by FFmpeg's encoders."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

RATE = 8  # frames a second

# The encoder of the test for each extension.
CODECS = {
    ".mp4": "libx264",
    ".mov": "libx264",
    ".m4v": "mpeg4",
    ".3gp": "mpeg4",
    ".mkv": "libx264",
    ".webm": "libvpx-vp9",
    ".avi": "mpeg4",
    ".mts": "libx264",
    ".mpg": "mpeg2video",
    ".wmv": "wmv2",
    ".flv": "flv",
}
MUXERS = {".mts": "mpegts", ".m4v": "mp4", ".mpg": "mpeg", ".wmv": "asf"}


class Scene(NamedTuple):
    """What a film shows for some seconds: noise of a few colours that no other seed gives, or one
    colour.
    """

    of: int | str
    seconds: float = 2.0


def drawn(scene: int | str, size: tuple[int, int] = (96, 64)) -> Image.Image:
    if isinstance(scene, str):
        return Image.new("RGB", size, scene)
    corners = np.random.default_rng(scene).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize(size, Image.Resampling.BICUBIC)


def film(
    path: Path,
    scenes: Sequence[Scene | int | str],
    size: tuple[int, int] = (96, 64),
    keys: float = 1.0,
    rotation: int = 0,
    ratio: Fraction | None = None,
    metadata: dict[str, str] | None = None,
    codec: str | None = None,
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    rate: int = RATE,
) -> Path:
    """Write a film of scenes, with a key frame every `keys` seconds and at each new scene."""
    path.parent.mkdir(parents=True, exist_ok=True)
    muxer = MUXERS.get(path.suffix)
    is_quicktime = muxer in (None, "mp4") and path.suffix in (".mp4", ".mov", ".m4v")
    tags = {"movflags": "use_metadata_tags"} if metadata and is_quicktime else {}
    with av.open(str(path), "w", format=muxer, options=tags) as out:
        out.metadata.update(metadata or {})
        fps = 25 if path.suffix == ".mpg" else rate
        stream: Any = out.add_stream(codec or CODECS[path.suffix], rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.gop_size = max(1, round(keys * fps))
        stream.options = options or {}
        if ratio:
            stream.codec_context.sample_aspect_ratio = ratio
        if rotation:
            stream.set_display_rotation(rotation)
        count = 0
        for scene in scenes:
            shown = scene if isinstance(scene, Scene) else Scene(scene)
            picture = drawn(shown.of, size)
            for _ in range(round(shown.seconds * fps)):
                frame = av.VideoFrame.from_image(picture).reformat(format=pixel_format)
                frame.pts, frame.time_base = count, Fraction(1, fps)
                count += 1
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def looks_like(pixels: NDArray[np.uint8], scene: int | str) -> float:
    """Return the mean difference, of 255, from a scene that fills a square."""
    side = pixels.shape[0]
    size = (side * 3 // 2, side)
    whole = drawn(scene, size)
    left = (size[0] - side) // 2
    middle = np.asarray(whole.crop((left, 0, left + side, side)), float)
    return float(np.abs(middle - pixels).mean())
