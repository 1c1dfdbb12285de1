"""The initial values of a model's parameters."""

import torch
from torch import Tensor, nn


def drawn(*shape: int, std: float) -> nn.Parameter:
    """Return a parameter drawn from a normal distribution."""
    parameter = nn.Parameter(torch.empty(shape))
    draw(parameter, std)
    return parameter


def draw(parameter: Tensor, std: float) -> None:
    """Fill a parameter from a normal distribution."""
    if not parameter.is_meta:  # torch would import half a second of code to do nothing
        nn.init.normal_(parameter, std=std)
