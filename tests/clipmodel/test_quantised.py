"""Matrices of 8-bit integers, and products with them."""

import numpy as np
import pytest

from clipmodel.errors import CheckpointError
from clipmodel.numpy_backend.integers import integer_product
from clipmodel.quantised import quantised, split


@pytest.mark.parametrize(("columns", "parts"), [(70, 1), (128, 1), (384, 3)])
def test_a_weight_is_within_half_a_step(columns: int, parts: int) -> None:
    weight = np.random.default_rng(0).standard_normal((30, columns)).astype(np.float32)
    weight[3] = 0
    weight[4] *= 1000
    weight[5, 0] = 100
    integers, scale = quantised(weight)
    assert integers.dtype == np.int8 and scale.shape == (30, parts)
    steps = scale.repeat(columns // parts, axis=1)
    assert (np.abs(integers * steps - weight) <= steps * 0.5001).all()
    assert not integers[3].any() and np.isfinite(scale).all()
    assert parts == 1 or scale[5, 0] > 10 * scale[5, 1], "a large number coarsens its part alone"


@pytest.mark.parametrize("places", [0, 1, 7, 33, 200])
@pytest.mark.parametrize("shape", [(1, 5), (47, 30), (48, 30), (1000, 384), (384, 1536)])
def test_products_are_those_of_floats(places: int, shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(1)
    integers = generator.integers(-127, 128, shape).astype(np.int8)
    scale = generator.random((shape[0], 1 if shape[1] % 128 else shape[1] // 128), np.float32)
    x = generator.standard_normal((places, shape[1])).astype(np.float32)
    expected = x @ (integers * scale.repeat(shape[1] // scale.shape[1], axis=1)).T
    np.testing.assert_allclose(integer_product(x, integers, scale), expected, rtol=1e-4, atol=1e-2)


def test_scales_find_their_weights() -> None:
    integers, scale = np.zeros((3, 2), np.int8), np.ones((3, 1), np.float32)
    held = {"w": integers, "w_scale": scale, "logit_scale": np.float32(3).reshape(())}
    weights, scales = split(held)
    assert [*weights] == ["w", "logit_scale"] and scales["w"] is scale
    for wrong in (
        {"w": integers},
        {"w": integers, "w_scale": scale[1:]},
        {"w": integers[0], "w_scale": scale[:2]},
        {"w": integers, "w_scale": scale[:, 0]},
        {"w": integers, "w_scale": scale[:, :0]},
        {"w": integers, "w_scale": np.ones((3, 4), np.float32)},
        {"w": integers.astype(np.float32), "w_scale": scale},
    ):
        with pytest.raises(CheckpointError, match="^w"):
            split(wrong)
