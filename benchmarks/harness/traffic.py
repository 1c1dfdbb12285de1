"""Operations and bytes of a tower, counted on torch's meta device: no GPU is needed, none computes.

Each operation reads its inputs from memory and writes its outputs, as a GPU's kernels do that are
launched one by one. Views cost nothing. Attention counts as the flash kernel: it reads queries,
keys and values once and writes its output.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from clipmodel.config import ModelConfig
from clipmodel.families import image_family
from clipmodel.torch_backend.inference import Setup


@dataclass
class Work:
    """What was counted."""

    bytes: int = 0
    operations: int = 0  # of products and attention
    kernels: int = 0


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what runs inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()
        self._attention = Attention(self.work)

    def __enter__(self) -> "Counter":
        self._attention.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._attention.__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        operation: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = operation(*args, **kwargs)
        name = operation.overloadpacket.__name__
        if not _is_view(operation, args, result) and not name.startswith(("empty", "new_empty")):
            is_written = name.startswith(("fill", "zero", "copy", "new_zeros"))
            read = [*args[is_written and not name.startswith("new") :]]
            outputs = kwargs.get("out")
            self.work.bytes += _bytes(tree_leaves(read)) + _bytes(
                tree_leaves(result if outputs is None else outputs)
            )
            self.work.kernels += 1
            if count := flop_registry.get(operation.overloadpacket):
                self.work.operations += count(*args, **kwargs, out_val=result)
        return result


class Attention(TorchFunctionMode):
    """Takes the place of attention, which the meta device would compute in many steps."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is not F.scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        q, k, v = args[:3]
        batch, heads, places, width = q.shape
        self._work.bytes += _bytes([q, k, v]) + q.numel() * q.element_size()
        self._work.operations += 4 * batch * heads * places * k.shape[2] * width
        self._work.kernels += 1
        return q.new_empty(batch, places, heads, width).transpose(1, 2)  # as flash lays it out


def _is_view(operation: Any, args: Sequence[Any], result: Any) -> bool:
    """Return whether an operation only looks at its input in another way."""
    schema = operation._schema
    aliases = [each.alias_info for each in schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases) or (
        isinstance(result, Tensor)
        and any(result is each for each in args)
        and not schema.is_mutable
    )


def _bytes(tensors: Iterable[Any]) -> int:
    """Return the bytes of tensors, those of a value that is expanded once."""
    total = 0
    for each in tensors:
        if isinstance(each, Tensor) and each.ndim:
            sides = (n for n, step in zip(each.shape, each.stride(), strict=True) if step)
            total += torch.Size(sides).numel() * each.element_size()
    return total


def of_tower(config: ModelConfig, dtype: torch.dtype, batch: int) -> Work:
    """Count the work of the form that a GPU gets, for a batch of pictures."""
    family = image_family(config.vision)
    with torch.device("meta"):
        setup = Setup("meta", dtype, torch.tensor(config.mean), torch.tensor(config.std))
        tower = family.module(config.vision, config.embed_dim).eval()
    return of_call(family.quick(tower, setup), config, batch)


def of_call(call: Callable[[Tensor], Tensor], config: ModelConfig, batch: int) -> Work:
    """Count the work of a function of pixels, (B, S, S, 3) uint8."""
    side = config.vision.image_size
    pixels = torch.empty(batch, side, side, 3, dtype=torch.uint8, device="meta")
    with torch.no_grad(), Counter() as counter:
        call(pixels)
    return counter.work
