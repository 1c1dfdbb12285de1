"""Videos as phones write them, and how much faster than real time they are indexed.

A video lasts ten minutes: 1080p H.264 with a key frame every 1.5 seconds and a cut every 7. Only
its first seconds are encoded; the others repeat them, without being encoded again.
"""

import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.harness.inputs import photo
from benchmarks.harness.report import Row
from retrieval import Library
from retrieval.decoding.pool import default_workers

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

FILMS = 2  # that are decoded at once
SECONDS, SCENES, SCENE_SECONDS = 600, 4, 7
RATE, KEY_FRAMES = 30, 45  # frames a second, and from one key frame to the next
SIZE, SCENE_SIZE = (1920, 1080), (2400, 1400)  # pixels
BITS = 12_000_000  # a second


def film_row(folder: Path, quick: bool) -> Row:
    """Return the rate of an index run over videos with the bundled model, start included."""
    folder.mkdir()
    scenes, seconds = (1, 6) if quick else (SCENES, SECONDS)
    once = folder / "once.mov"
    film(once, scenes)
    paths = [folder / f"{number}.mp4" for number in range(FILMS)]
    for number, path in enumerate(paths):
        _repeat(once, path, seconds - number)  # each of another content
    once.unlink()
    spent, began = _cpu(), time.perf_counter()
    with Library.open(folder / "library", model="tiny") as library:
        summary = library.index([folder])
        [[moments]] = library.catalog.rows("SELECT SUM(moment_count) FROM images")
    wall, spent = time.perf_counter() - began, _cpu() - spent
    assert summary.new == FILMS and not summary.failed
    return {
        "size": "1080p",
        "format": f"H.264, {FILMS} × {seconds / 60:g} min",
        "MB": sum(path.stat().st_size for path in paths) / 1e6,
        "moments": moments,
        "× real time": FILMS * seconds / wall,
        "workers": default_workers(),
        "CPU s": spent,
    }


def film(path: Path, scenes: int) -> None:
    """Write a video of so many scenes."""
    import av

    with av.open(str(path), "w") as out:
        options = {"preset": "superfast", "x264-params": "scenecut=0"}
        stream = out.add_stream("libx264", rate=RATE, options=options)
        (stream.width, stream.height), stream.gop_size, stream.bit_rate = SIZE, KEY_FRAMES, BITS
        generator = np.random.default_rng(0)
        for _ in range(scenes):
            _scene(out, stream, generator)
        out.mux(stream.encode(None))


def _scene(out: "OutputContainer", stream: "VideoStream", generator: np.random.Generator) -> None:
    """Add a scene over which the camera moves."""
    import av

    seen = photo(generator, SCENE_SIZE)
    for number in range(SCENE_SECONDS * RATE):
        left, top = number * 7 % 480, number * 3 % 320
        part = seen.crop((left, top, left + SIZE[0], top + SIZE[1]))
        out.mux(stream.encode(av.VideoFrame.from_image(part)))  # type: ignore[no-untyped-call]


def _repeat(once: Path, path: Path, seconds: int) -> None:
    """Write a video that is another one again and again, and about this long."""
    import av

    with av.open(str(path), "w") as out, av.open(str(once)) as film:
        read = film.streams.video[0]
        assert read.time_base and read.duration
        written = out.add_stream_from_template(read)
        for begin in range(0, int(seconds / read.time_base), read.duration):
            film.seek(0)
            for packet in film.demux(read):
                if packet.dts is None or packet.pts is None:
                    continue  # the last one, which is empty
                if begin + packet.pts > seconds / read.time_base:
                    break
                packet.pts, packet.dts = packet.pts + begin, packet.dts + begin
                packet.stream = written
                out.mux(packet)


def _cpu() -> float:
    """Return the seconds of processor time of this process and of those that it waited for."""
    whose = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, whose))
