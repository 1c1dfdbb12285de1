"""A forked child searches and builds, whatever its parent did before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")

PROGRAM = """
import os, signal, sys
from pathlib import Path
import numpy as np
from indexes import IndexSpec, VectorIndex

vectors = np.random.default_rng(0).standard_normal((4_000, 32)).astype(np.float32)
vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
some = vectors[:50].astype(np.float32)

def build(name):
    batches, spec = [(np.arange(4_000), vectors)], IndexSpec("ivf", lists=40)
    return VectorIndex.build(Path(sys.argv[1]) / name, batches, spec, 32)

def found(index):
    return [index.search(some[:count], 5)[1].tolist() for count in (1, 50)]

index = build("parent")
wanted = found(index)
if not (child := os.fork()):
    signal.alarm(30)
    os._exit(0 if found(index) == wanted and found(build("child")) == wanted else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_searches_and_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=root)
    assert ran.returncode == 0, ran.stderr
