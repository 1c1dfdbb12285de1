"""What is measured of which device, and the rows of the table."""

from dataclasses import dataclass, replace
from typing import Any

import click

from benchmarks.harness import limits
from benchmarks.harness.libraries import SMALL
from benchmarks.harness.report import Row, shown
from clipmodel.config import ModelConfig
from clipmodel.hub.registry import REGISTRY
from retrieval.decoding.pool import default_workers

PEAKS = {  # bf16 FLOP/s, dense, as NVIDIA's data sheets state them; the first name that fits counts
    **{"H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12},
    **{"A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12, "RTX 4090": 165e12},
}


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long."""

    device: str
    precisions: tuple[str, ...]
    models: dict[str, ModelConfig]
    batch: int
    seconds: float  # of each figure, at least
    pictures: tuple[int, int]  # of a short and of a long index run
    photos: int  # that differ in their pixels
    workers: int
    product: int  # side of the matrices that show the peak

    @property
    def seconds_of_a_product(self) -> float:
        return min(0.2, self.seconds)


def plan_of(quick: bool) -> Plan:
    from clipmodel.torch_backend.devices import default_device

    device, names = default_device(), ("ViT-B/32", "ViT-L/14")
    models = {name: REGISTRY[name].config for name in names}
    full = Plan(device, ("fp16", "bf16"), models, 256, 3.0, (4_000, 40_000), 1_000, 0, 8_192)
    if quick:
        few = replace(full, models={"small": SMALL}, batch=8, seconds=0.02, pictures=(8, 24))
        full = replace(few, photos=4, product=128)
    cpu = device == "cpu"
    precisions = ("fp32", "bf16") if cpu else full.precisions
    return replace(full, precisions=precisions, workers=1 if quick else default_workers())


def row(what: str, model: str = "", rate: float | None = None, **more: Any) -> Row:
    """Return a row of the table. more: by the names of its other columns."""
    columns = ("precision", "TFLOP/s", "of the peak", "of the products", "GB per 256", "least cos")
    return {"what": what, "model": model, "images/s": rate} | {
        column: more.get(column) for column in columns
    }


def told(each: Row) -> Row:
    known = (f"{column}: {shown(cell)}" for column, cell in each.items() if cell not in (None, ""))
    click.echo("  ".join(known), err=True)
    return each


def title(device: str) -> str:
    from clipmodel.torch_backend.devices import report

    return report(device, False).title


def stated_peak(device: str) -> float | None:
    """Return the operations a second that the maker states, for a device that is known."""
    found = (peak for name, peak in PEAKS.items() if name in title(device).replace("-", " "))
    return next(found, None) if device != "cpu" else None


def peak(plan: Plan) -> Row:
    """Measure a large product in bfloat16."""
    side = plan.product
    square = side, side, side
    seconds = limits.product_seconds(square, "bfloat16", plan.device, plan.seconds_of_a_product)
    reached, stated = 2 * side**3 / seconds, stated_peak(plan.device)
    known: dict[str, Any] = {
        "precision": "bf16",
        "TFLOP/s": reached / 1e12,
        "of the peak": reached / stated if stated else None,
    }
    return row(f"a product of {side}×{side} on {title(plan.device)}", **known)
