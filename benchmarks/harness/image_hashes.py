"""Run by the peers' Python: `image_hashes.py FOLDER OUT.npz` writes imagehash's hashes of every
picture in a folder, by name, as (N, 64) bits.
"""

import sys
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

files = sorted(Path(sys.argv[1]).iterdir())
hashes = {"dhash": imagehash.dhash, "phash": imagehash.phash}
pictures = [Image.open(file) for file in files]
bits = {name: [of(each).hash.ravel() for each in pictures] for name, of in hashes.items()}
np.savez(sys.argv[2], allow_pickle=False, **{name: np.stack(rows) for name, rows in bits.items()})
