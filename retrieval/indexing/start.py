"""The start of an index run from its options: choose encoder and query bank, and run to the end."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog.reading import Catalog
from retrieval.indexing.encoding import Encoder, QuickStart
from retrieval.indexing.machine import Encoders
from retrieval.indexing.options import IndexOptions
from retrieval.indexing.run import index
from retrieval.indexing.targets import add_lists
from retrieval.interrupted import Interrupted
from retrieval.models import choice, speeds
from retrieval.models.choice import here
from retrieval.models.devices import device_or_default, is_cpu
from retrieval.models.encoders import in_numpy, in_torch, most_in_numpy
from retrieval.records import Progress, Summary
from retrieval.vectors.opening import choose

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder
    from clipmodel.torch_backend.image_encoder import Precision
    from retrieval.vectors.hubness import QueryBank

GPU = "cuda"  # torch calls AMD's GPUs so as well
GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of NVIDIA's driver, of AMD's, of WSL's

Steps = Generator[Progress | Summary, None, None]


def run(
    catalog: Catalog,
    paths: Sequence[Path],
    model: "ModelFolder",
    options: IndexOptions,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Bring the catalog up to date with `paths`, under this model and then, for what they lack,
    under the models that keep up with it. Raises Interrupted on Ctrl-C.
    """
    if options.vectors is not None:
        with catalog.database.running():
            choose(catalog, options.vectors)
    if told := options.of_lists():
        with catalog.database.running():
            add_lists(catalog, paths, told)
    current = catalog.current_model()
    also = options.also and current is not None and current.digest != model.digest
    first = choice.of_library(current) if also and current else model
    summary = _one_model(catalog, paths, first, options, progress)
    others = [each for each in catalog.models() if each.keeps_up and each.digest != first.digest]
    folders = [choice.of_library(each) for each in others if each.digest != model.digest]
    for folder in [*folders, model] if also else folders:
        summary = _both(summary, _one_model(catalog, None, folder, options, progress))
    return summary


def _both(first: Summary, second: Summary) -> Summary:
    """Add what a second model encoded to the summary of a run."""
    return replace(
        first,
        encoded=first.encoded + second.encoded,
        seconds=first.seconds + second.seconds,
        problems=(*first.problems, *second.problems),
    )


def _one_model(
    catalog: Catalog,
    paths: Sequence[Path] | None,
    model: "ModelFolder",
    options: IndexOptions,
    progress: Callable[[Progress], None] | None,
) -> Summary:
    quick = QuickStart(most_in_numpy(model), partial(in_numpy, model))
    device = options.device if options.ray else device_or_default(options.device)
    steps = index(
        catalog,
        paths,
        model,
        _encoders(model, options, device),
        quick=None if options.needs_torch else quick,
        exclude=options.exclude,
        again=options.again,
        workers=options.workers,
        batch_size=options.batch_size,
        max_pixels=options.max_pixels,
        moving=options.moving,
        query_bank=partial(_query_bank, model),
        cluster=options.cluster,
    )
    summary = _finished(steps, progress)
    speeds.remember_speed(model.digest, summary.encoded, summary.seconds)
    if summary.interrupted:
        raise Interrupted(summary)
    return summary


def _encoders(model: "ModelFolder", options: IndexOptions, device: str | None) -> Encoders:
    """Return what loads the encoder: in this process on a CPU, whose products other threads hardly
    disturb, else in one for each device. device: the one asked for; None: the machine's best.
    """
    asked: list[str | None] = [*options.devices] or [device]
    first, *others = asked
    is_here = is_cpu(first) or (first is None and not _may_have_gpu())
    if options.ray or (is_here and not others):
        return partial(_encoder, model, first, options.precision)
    return {name or GPU: partial(_encoder, model, name, options.precision) for name in asked}


def _may_have_gpu() -> bool:
    """Return whether a driver for GPUs that torch can use is there, without importing torch."""
    return any(map(os.path.exists, GPU_FILES))


def _encoder(model: "ModelFolder", device: str | None, precision: "Precision") -> Encoder:
    return in_torch(here(model), device, precision)


def _query_bank(model: "ModelFolder") -> "QueryBank":
    from retrieval.vectors.hubness import QueryBank

    return QueryBank.of(here(model))


def _finished(steps: Steps, progress: Callable[[Progress], None] | None) -> Summary:
    """Run all steps and return the summary. Ctrl-C between two steps works like one inside."""
    with closing(steps):
        try:
            for step in steps:
                if isinstance(step, Summary):
                    return step
                if progress:
                    progress(step)
        except KeyboardInterrupt as interrupt:
            ended = steps.throw(interrupt)
            assert isinstance(ended, Summary)
            return ended
    raise AssertionError("an index run ends with its summary")
