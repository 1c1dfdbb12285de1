"""Reports as text: what an index run did, what a library holds, what its pictures are."""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from retrieval.collection.duplicates import Group
from retrieval.collection.other_models import OtherModel
from retrieval.collection.status import IndexStatus, RootStatus, Status
from retrieval.decoding.kinds.names import in_words
from retrieval.models.choice import better_than
from retrieval.models.devices import KnownDevice
from retrieval.output.text import printable
from retrieval.records import Counts, Failed, Match, ModelRecord, Summary, Underway
from retrieval.search.tags import Tagged
from retrieval.wording import counted

if TYPE_CHECKING:
    from retrieval.catalog.integrity import Problem

CHANGES = ("new", "changed", "moved", "copied", "removed", "failed")
COUNTED = (*CHANGES, "unchanged")


def of_run(summary: Summary) -> str:
    """Return a few lines about an index run."""
    how = "interrupted after" if summary.interrupted else "done in"
    rate = summary.encoded / summary.seconds if summary.seconds else 0.0
    lines = [f"{how} {summary.seconds:.1f} s: encoded {counted(summary.encoded, 'picture')}"]
    lines[0] += f", {rate:.1f} images/s" if summary.encoded else ""
    counts = [(name, getattr(summary, name)) for name in COUNTED]
    said = [f"{count:,} {name}" for name, count in counts if count]
    said += [counted(summary.companions, "companion")] if summary.companions else []
    lines.append("files: " + (", ".join(said) or "none"))
    lines += [f"left out: {printable(words)}" for words in [in_words(summary.left_out)] if words]
    lines += [f"note: {printable(problem)}" for problem in summary.problems]
    if summary.failed:
        lines.append(
            f"{counted(summary.failed, 'file')} could not be read; see `retrieve status --failures`"
        )
    if summary.dropped:
        lines.append(f"not kept: {counted(summary.dropped, 'file')} read but not encoded yet")
    if summary.interrupted:
        is_kept = summary.encoded or any(getattr(summary, name) for name in CHANGES)
        kept = "finished work is kept; run the same command to continue"
        lines.append(kept if is_kept else "nothing was encoded yet; the same command starts again")
    return "\n".join(lines) + "\n"


def of_change(summary: Summary) -> str | None:
    """Return one line about what a run changed; None if it changed nothing."""
    counts = [(name, getattr(summary, name)) for name in CHANGES]
    said = [f"{count:,} {name}" for name, count in counts if count]
    said += [f"note: {printable(problem)}" for problem in summary.problems]
    return ", ".join(said) or None


def of_check(library: str, problems: "Sequence[Problem]") -> str:
    """Return one line for each problem."""
    lines = [printable(_problem(problem)) for problem in problems]
    if all(problem.harmless and not problem.mended for problem in problems):
        lines.append(printable(f"nothing is wrong with {library}"))
    return "\n".join(lines) + "\n"


def _problem(problem: "Problem") -> str:
    if problem.mended:
        return f"fixed: {problem.what}: {problem.mended}"
    return f"note: {problem.what}; {problem.harmless}" if problem.harmless else problem.what


def of_status(status: Status) -> str:
    """Return one aligned line for each fact."""
    model, counts, index = status.model, status.counts, status.index
    waiting = counts.images - counts.embedded
    pictures = f"{counted(counts.images, 'picture')} in {counted(counts.files, 'file')}"
    pictures += _of_other_files(counts)
    pictures += f", {waiting:,} yet to be encoded" if waiting else ""
    failures = "; see `retrieve status --failures`" if counts.failures else ""
    facts = [
        ("library", printable(status.where)),
        (
            "model",
            _model(model) if model else "none yet",
        ),
        *(("also", _other(other)) for other in status.others),
        ("pictures", pictures),
        ("failures", f"{counts.failures:,}{failures}"),
        *((("beside", _companions(status.companions)),) if status.companions else ()),
        *(("left out", printable(words)) for words in [in_words(status.left_out)] if words),
        (
            "index",
            f"{printable(index.kind)}, {counted(index.vectors, 'vector')}" if index else "none",
        ),
        ("on disk", size_of(status.bytes)),
        *((("indexing", _underway(status.underway)),) if status.underway else ()),
        *(("folder", _root(root)) for root in status.roots),
    ]
    return "".join(f"{name:<9} {fact}\n" for name, fact in facts)


def _index(index: IndexStatus) -> str:
    return f"{printable(index.kind)}, {counted(index.vectors, 'vector')}"


def _of_other_files(counts: Counts) -> str:
    """Say why there are more files than pictures."""
    copies = max(0, counts.files - counts.failures - counts.images)
    said = [f"{counted(copies, 'copy', 'copies')}"] if copies else []
    said += [f"{counts.failures:,} unreadable"] if counts.failures else []
    return f" ({', '.join(said)})" if said else ""


def of_failures(failures: Iterable[Failed]) -> str:
    """Return lines of path, tab, reason."""
    return "".join(
        f"{printable(os.fspath(failed.path))}\t{printable(failed.reason)}\n" for failed in failures
    )


def of_groups(groups: Sequence[Group]) -> str:
    """Return one line for each file, the one to keep first, with an empty line between groups."""
    blocks = []
    for group in groups:
        lines = [("keep", group.kept)]
        lines += [(likeness(group, other), other) for other in group.others]
        blocks.append("".join(_file(said, match) for said, match in lines))
    return "\n".join(blocks)


def likeness(group: Group, other: Match) -> str:
    """Return one word for what a file has in common with the one to keep."""
    said = {"bytes": "same", "vectors": f"{other.score:.3f}", "hash": "alike"}
    return said[group.by(other)]


def of_left_out(files: int) -> str:
    """Return one line about files that are missing or have changed since they were indexed."""
    verb = "is" if files == 1 else "are"
    return (
        f"note: {counted(files, 'file')} {verb} missing or changed and left out; "
        "run `retrieve index` to bring the library up to date"
    )


def of_tagged(tagged: Sequence[Tagged], limit: int) -> str:
    """Return lines of probability, label and path, tab-separated, a few labels per picture."""
    return "".join(
        f"{probability:.3f}\t{printable(label)}\t{printable(os.fspath(each.path))}\n"
        for each in tagged
        for label, probability in list(each.labels.items())[:limit]
    )


def of_devices(devices: Sequence[KnownDevice]) -> str:
    """Return aligned lines: name, product, memory, precision, batch size; or why it is unusable."""
    width = max(len(device.name) for device in devices)
    return "".join(f"{device.name:<{width}}  {_device(device)}\n" for device in devices)


def _device(device: KnownDevice) -> str:
    if device.reason:
        return f"not usable: {device.reason}; {device.remedy}"
    free = f", {size_of(device.free)} free" if device.free is not None else ""
    memory = f"{size_of(device.memory)}{free}, " if device.memory else ""
    mark = "  (the default)" if device.is_default else ""
    said = f"{printable(device.title)}, {memory}{device.precision}"
    return f"{said}, {counted(device.batch_size or 0, 'picture')} at once{mark}"


def _file(said: str, match: Match) -> str:
    size = f"{match.image.width}x{match.image.height}"
    return f"{said}\t{size}\t{printable(os.fspath(match.path))}\n"


def _model(model: ModelRecord) -> str:
    better = better_than(model.name)
    hint = f"; small, for better answers: `retrieve index --model {better}`" if better else ""
    return f"{model.name} ({model.dim} dimensions, {model.precision}{hint})"


def _other(model: OtherModel) -> str:
    held = f"{counted(model.embedded, 'picture')} encoded, {size_of(model.bytes)}"
    held += ", and new ones as well" if model.keeps_up else ""
    return (
        f"{printable(model.name)} ({held}; "
        f"to drop them: `retrieve forget --model {printable(model.name)}`)"
    )


def _companions(count: int) -> str:
    return f"{counted(count, 'companion')} of pictures (sidecars, Live Photos and the like)"


def _underway(run: Underway) -> str:
    return f"{run.done:,} of {counted(run.total, 'file')}, for {run.seconds:.0f} s"


def _root(root: RootStatus) -> str:
    said = f"{printable(os.fspath(root.path))}  ({counted(root.files, 'file')}"
    said += "" if root.is_entire else ", named one by one"
    if not root.is_present:
        said += "; missing: if it moved, run `retrieve relocate OLD NEW`"
    if root.excluded:
        said += f"; excluded: {printable(', '.join(root.excluded))}"
    return said + ")"


def size_of(count: float) -> str:
    """Return a number of bytes in a readable unit."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
