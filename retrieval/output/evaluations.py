"""Comparisons of models: as a table, as JSON, and as a plot."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from retrieval.evaluation.comparison import Comparison, Evaluated
from retrieval.evaluation.judging import Verdict
from retrieval.evaluation.measures import CUTS, Interval, Measures
from retrieval.output.fonts import write
from retrieval.output.json_forms import Form
from retrieval.output.text import printable
from retrieval.paths import replacing
from retrieval.wording import counted

SURE = 0.95  # from which one model is called better than another
LUCK = 0.05  # up to which a difference between judged models is called one


def table(comparison: Comparison) -> str:
    """Return the comparison as aligned lines, and what it means in a sentence."""
    heads = ("model", *(f"R@{k}" for k in CUTS), "rank", "mAP", "back R@10", "missed", "claimed")
    heads += ("images/s", "ms/text", "B/image")
    rows = [heads, *(_row(model) for model in comparison.models)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = [_about(comparison)]
    for row in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join((f"{row[0]:<{widths[0]}}", *cells)).rstrip())
    return "\n".join([*lines, *_meaning(comparison)]) + "\n"


def _about(comparison: Comparison) -> str:
    said = f"{counted(comparison.captions, 'caption')} of {counted(comparison.pictures, 'picture')}"
    said += f", each searched among {comparison.among:,}"
    if comparison.missing:
        first = printable(comparison.missing[0])
        said += f" ({counted(len(comparison.missing), 'picture')} not in the library: {first} …)"
    return said


def _row(model: Evaluated) -> tuple[str, ...]:
    found, cut_off = model.text_to_image, model.cut_off
    errors = (f"{cut_off.missed:.0%}", f"{cut_off.claimed:.0%}") if cut_off else ("-", "-")
    return (
        printable(model.name),
        *(_with_range(found.recall[k]) for k in CUTS),
        f"{found.median_rank.value:g}",
        _with_range(found.mean_average_precision),
        f"{model.image_to_text.recall[10].value:.3f}",
        *errors,
        f"{model.speed.images_per_second:.0f}",
        f"{model.speed.text_milliseconds:.0f}",
        f"{model.vector_bytes:,}",
    )


def _with_range(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f}–{interval.high:.3f})"


def _meaning(comparison: Comparison) -> list[str]:
    best, *others = comparison.models
    lines = []
    for other in others:
        name = printable(other.name)
        if other.sure >= SURE:
            lines.append(f"{printable(best.name)} finds more than {name} ({other.sure:.1%} sure)")
        else:
            lines.append(
                f"{printable(best.name)} and {name} may be equally good: "
                f"{other.sure:.0%} sure that the first finds more"
            )
    return lines


def comparison_object(comparison: Comparison) -> Form:
    """Return the comparison with all intervals."""
    return {
        "captions": comparison.captions,
        "pictures": comparison.pictures,
        "among": comparison.among,
        "missing": len(comparison.missing),
        "rank": comparison.rank,
        "models": [_model_object(model) for model in comparison.models],
    }


def _model_object(model: Evaluated) -> Form:
    cut_off = model.cut_off
    return {
        "model": model.name,
        "dim": model.dim,
        "text_to_image": _measures_object(model.text_to_image),
        "image_to_text": _measures_object(model.image_to_text),
        "cut_off": {"missed": cut_off.missed, "claimed": cut_off.claimed} if cut_off else None,
        "images_per_second": round(model.speed.images_per_second, 1),
        "text_milliseconds": round(model.speed.text_milliseconds, 2),
        "vector_bytes": model.vector_bytes,
        "weight_bytes": model.weight_bytes,
        "first_is_better": round(model.sure, 4),
    }


def _measures_object(measures: Measures) -> Form:
    recall = {f"recall@{k}": _interval_object(measures.recall[k]) for k in CUTS}
    return {
        "queries": measures.queries,
        **recall,
        "median_rank": _interval_object(measures.median_rank),
        "mean_average_precision": _interval_object(measures.mean_average_precision),
    }


def _interval_object(interval: Interval) -> Form:
    return {
        "value": round(interval.value, 6),
        "low": round(interval.low, 6),
        "high": round(interval.high, 6),
    }


# -- a plot --------------------------------------------------------------------------------------

LEFT, BAR, GAP, WIDE = 240, 22, 26, 640  # pixels
PAPER, INK, FAINT = (255, 255, 255), (32, 32, 36), (150, 150, 156)
COLOURS = ((188, 208, 234), (110, 154, 208), (38, 92, 158))  # a bar for each of CUTS


def save_plot(comparison: Comparison, file: Path) -> None:
    """Draw recall with its intervals as bars, one group a model, into a PNG. Raises OSError."""
    group = len(CUTS) * BAR + GAP
    height = 70 + group * len(comparison.models) + 40
    plot = Image.new("RGB", (LEFT + WIDE + 90, height), PAPER)
    draw = ImageDraw.Draw(plot)
    write(draw, (16, 12), _about(comparison), width=plot.width - 32, size=15, ink=INK)
    bottom = 60 + group * len(comparison.models)
    for tenth in range(0, 11, 2):
        x = LEFT + WIDE * tenth // 10
        draw.line((x, 48, x, bottom), (232, 232, 230))
        write(draw, (x - 8, bottom + 4), f"{tenth / 10:g}", width=40, size=12, ink=FAINT)
    for number, model in enumerate(comparison.models):
        _draw_group(draw, model, 56 + group * number)
    with replacing(file) as part:
        plot.save(part, "PNG")


def _draw_group(draw: ImageDraw.ImageDraw, model: Evaluated, top: int) -> None:
    name = printable(model.name)
    write(draw, (16, top + BAR), name, width=LEFT - 80, size=14, ink=INK)
    for row, (k, colour) in enumerate(zip(CUTS, COLOURS, strict=True)):
        found, y = model.text_to_image.recall[k], top + row * BAR
        write(draw, (LEFT - 50, y + 1), f"R@{k}", width=44, size=12, ink=FAINT)
        draw.rectangle((LEFT, y + 2, LEFT + WIDE * found.value, y + BAR - 4), colour)
        middle, low, high = y + BAR // 2 - 1, LEFT + WIDE * found.low, LEFT + WIDE * found.high
        draw.line((low, middle, high, middle), INK)
        for end in (low, high):
            draw.line((end, middle - 4, end, middle + 4), INK)
        write(draw, (high + 8, y + 1), f"{found.value:.3f}", width=60, size=12, ink=INK)


# -- judged by someone ---------------------------------------------------------------------------


def verdict_lines(verdicts: Sequence[Verdict], queries: int) -> str:
    """Return who found more, and how sure that is."""
    width = max(len(verdict.name) for verdict in verdicts)
    lines = [
        f"{printable(each.name):<{width}}  {each.right:>4.0%} right ({each.found} of {each.shown})"
        for each in verdicts
    ]
    return "\n".join([*lines, *_conclusions(verdicts, queries)]) + "\n"


def _conclusions(verdicts: Sequence[Verdict], queries: int) -> Iterator[str]:
    """Yield a sentence for each model but the best."""
    best, *others = verdicts
    for other in others:
        first, second = printable(best.name), printable(other.name)
        chance = f"{other.luck:.0%}" if other.luck >= 0.01 else "less than 1%"
        luck = f"a difference like this is luck in {chance} of cases"
        if other.luck <= LUCK:
            yield f"{first} finds more than {second}: {luck}"
        else:
            by = counted(queries, "query", "queries")
            yield f"{first} and {second} cannot be told apart by {by}: {luck}"


def verdicts_object(verdicts: Sequence[Verdict], queries: int) -> Form:
    """Return the verdicts, and `text`: in sentences, which model finds more."""
    return {
        "queries": queries,
        "text": list(_conclusions(verdicts, queries)),
        "models": [
            {
                "model": each.name,
                "right": round(each.right, 4),
                "found": each.found,
                "shown": each.shown,
                "luck": round(each.luck, 4),
            }
            for each in verdicts
        ],
    }
