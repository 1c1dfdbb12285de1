"""The best that a machine could do: the matrix products of an image tower, and nothing else."""

from collections import Counter

from benchmarks.harness.timing import steady
from clipmodel.config import ModelConfig, ResNetConfig, VisionConfig

Product = tuple[int, int, int]  # M, K, N: (M, K) @ (K, N), which takes 2 M K N operations


def products(config: ModelConfig, batch: int) -> Counter[Product]:
    """Count the products with weights for a batch; convolutions count as products.

    Those of attention, which are small, are left out, so the limit is slightly too high.
    """
    if isinstance(config.vision, ResNetConfig):
        return _of_resnet(config.vision, config.embed_dim, batch)
    assert isinstance(config.vision, VisionConfig)
    return _of_transformer(config.vision, config.embed_dim, batch)


def operations(counted: Counter[Product]) -> int:
    return sum(2 * m * k * n * times for (m, k, n), times in counted.items())


def seconds(counted: Counter[Product], dtype: str, device: str, least: float = 0.2) -> float:
    """Measure each product, and return the seconds of all of them."""
    rates = {each: product_seconds(each, dtype, device, least) for each in counted}
    return sum(times * rates[each] for each, times in counted.items())


def product_seconds(product: Product, dtype: str, device: str, least: float = 0.2) -> float:
    """Measure a product over at least that many seconds; return those of one."""
    import torch
    import torch.nn.functional as F

    m, k, n = product
    kind = getattr(torch, dtype)
    x, weight = (torch.randn(rows, k, device=device).to(kind) for rows in (m, n))

    # A GPU gets its kernels ahead of time; waiting for each would take as long as a small one.
    times = 50 if device.startswith("cuda") else 1

    def call() -> None:
        for _ in range(times):
            F.linear(x, weight)
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    with torch.inference_mode():
        return steady(call, least) / times


def _of_transformer(vision: VisionConfig, dim: int, batch: int) -> Counter[Product]:
    width, patches = vision.width, batch * (vision.image_size // vision.patch_size) ** 2
    places = patches + batch
    return Counter(
        {
            (patches, 3 * vision.patch_size**2, width): 1,
            (places, width, 3 * width): vision.layers,
            (places, width, width): vision.layers,
            (places, width, vision.mlp_width): vision.layers,
            (places, vision.mlp_width, width): vision.layers,
            (batch, width, dim): 1,
        }
    )


def _of_resnet(vision: ResNetConfig, dim: int, batch: int) -> Counter[Product]:
    counted, width, side = Counter[Product](), vision.width, vision.image_size // 2
    half = width // 2
    for inside, outside in ((3, half), (half, half), (half, width)):
        counted[batch * side**2, 9 * inside, outside] += 1
    side, inside = side // 2, width
    for stage, blocks in enumerate(vision.layers):
        planes = width << stage
        for block in range(blocks):
            before = batch * side**2
            side = side // 2 if stage and not block else side
            after = batch * side**2
            counted[before, inside, planes] += 1
            counted[before, 9 * planes, planes] += 1
            counted[after, planes, 4 * planes] += 1
            if not block:
                counted[after, inside, 4 * planes] += 1
            inside = 4 * planes
    places = batch * (side**2 + 1)
    counted[places, inside, inside] += 2  # keys and values of the attention pool
    counted[batch, inside, inside] += 1
    counted[batch, inside, dim] += 1
    return counted
