"""Matrices of 8-bit integers, and products with them."""

import numpy as np
import pytest

from clipmodel.errors import CheckpointError
from clipmodel.numpy_backend.integers import integer_product
from clipmodel.quantised import quantised, split


def test_a_weight_is_within_half_a_step() -> None:
    weight = np.random.default_rng(0).standard_normal((30, 70)).astype(np.float32)
    weight[3] = 0
    weight[4] *= 1000
    integers, scale = quantised(weight)
    assert integers.dtype == np.int8 and scale.shape == (30,)
    assert (np.abs(integers * scale[:, None] - weight) <= scale[:, None] * 0.5001).all()
    assert not integers[3].any() and np.isfinite(scale).all()


@pytest.mark.parametrize("places", [0, 1, 7, 33, 200])
@pytest.mark.parametrize("shape", [(1, 5), (47, 30), (48, 30), (1000, 384), (384, 1536)])
def test_products_are_those_of_floats(places: int, shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(1)
    integers = generator.integers(-127, 128, shape).astype(np.int8)
    scale = generator.random(shape[0], np.float32)
    x = generator.standard_normal((places, shape[1])).astype(np.float32)
    expected = x @ (integers * scale[:, None]).T
    np.testing.assert_allclose(integer_product(x, integers, scale), expected, rtol=1e-4, atol=1e-2)


def test_scales_find_their_weights() -> None:
    integers, scale = np.zeros((3, 2), np.int8), np.ones(3, np.float32)
    held = {"w": integers, "w_scale": scale, "logit_scale": np.float32(3).reshape(())}
    weights, scales = split(held)
    assert [*weights] == ["w", "logit_scale"] and scales["w"] is scale
    for wrong in (
        {"w": integers},
        {"w": integers, "w_scale": scale[1:]},
        {"w": integers[0], "w_scale": scale[:2]},
        {"w": integers.astype(np.float32), "w_scale": scale},
    ):
        with pytest.raises(CheckpointError, match="^w"):
            split(wrong)
