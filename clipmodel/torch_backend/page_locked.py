"""Page-locked memory, which a GPU reads by itself while the processor does something else."""

import numpy as np
import torch
from numpy.typing import NDArray


def lock(memory: NDArray[np.uint8]) -> bool:
    """Lock the pages of an array for CUDA devices; return whether that worked.

    Copies from it are slower without, and nothing else changes. The pages stay locked until the
    process ends: the array must outlive every copy.
    """
    try:
        cuda = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        return int(cuda.cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)) == 0
    except (RuntimeError, AssertionError):  # no such device, or a torch without CUDA
        return False
