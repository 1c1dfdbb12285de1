"""Run by the peers' Python: `onnx_encode.py FILE SIZE SECONDS BATCH...` times ONNX Runtime.

FILE is an image tower in float32, SIZE its pixels per side. Prints JSON: for fp32 and int8,
images per second at each batch size, and the lowest cosine of a vector to that of fp32.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process


def main(file: Path, size: int, seconds: float, batches: list[int]) -> None:
    plain, small = file.with_name("plain.onnx"), file.with_name("int8.onnx")
    # Equal weights, as a new ResNet has, are exported once and copied, which is not understood.
    quant_pre_process(str(file), str(plain), skip_symbolic_shape=True)
    quantize_dynamic(str(plain), str(small), weight_type=QuantType.QInt8)
    generator = np.random.default_rng(0)
    pixels = generator.standard_normal((max(batches), 3, size, size), dtype=np.float32)
    exact = None
    for precision, model in (("fp32", file), ("int8", small)):
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        vectors = encode(session, pixels)
        exact = vectors if exact is None else exact
        rates = [rate(session, pixels[:batch], seconds) for batch in batches]
        cosine = float((vectors * exact).sum(axis=1).min())
        print(json.dumps({"precision": precision, "rates": rates, "cosine": cosine}))


def rate(session: onnxruntime.InferenceSession, pixels: NDArray[np.float32], least: float) -> float:
    """Return images per second, measured for at least that many seconds."""
    encode(session, pixels)
    calls, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < least:
        encode(session, pixels)
        calls += 1
    return calls * len(pixels) / passed


def encode(
    session: onnxruntime.InferenceSession, pixels: NDArray[np.float32]
) -> NDArray[np.float32]:
    (vectors,) = session.run(None, {"input": pixels})
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), [*map(int, sys.argv[4:])])
