"""The rotation of vectors before they are encoded, and an index of rotated vectors.

Every piece of a code gets directions in which vectors vary much and directions in which they vary
little, the same amount in all (as in OPQ's parametric solution, Ge et al. 2013). Codes of four
dimensions a piece then lose a fifth of what is left of a vector beside its centroid, not a third.
"""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

PIECE = 4  # dimensions that a piece of a code stands for


@dataclass(frozen=True)
class Rotated:
    """An index of vectors that are rotated, and the rotation."""

    index: faiss.IndexIVFPQFastScan
    rotation: NDArray[np.float32]  # (R, D): R is D, or a little more to be divided into pieces

    @classmethod
    def of(cls, whole: faiss.IndexPreTransform) -> "Rotated":
        turn: Any = faiss.downcast_VectorTransform(whole.chain.at(0))  # type: ignore[attr-defined]
        rotation = faiss.vector_to_array(turn.A).reshape(turn.d_out, turn.d_in)
        index: Any = faiss.downcast_index(whole.index)
        index.referenced_objects = [whole]  # it owns the index
        return cls(index, rotation)

    def whole(self) -> faiss.IndexPreTransform:
        """Return what FAISS calls this: a transform, and an index of what comes out of it."""
        size, dim = self.rotation.shape
        turn = faiss.LinearTransform(dim, size, False)
        faiss.copy_array_to_vector(np.ravel(self.rotation), turn.A)
        turn.is_trained, turn.is_orthonormal = True, True
        return faiss.IndexPreTransform(turn, self.index)

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rotate vectors: (N, D) -> (N, R)."""
        rotated: NDArray[np.float32] = vectors @ self.rotation.T
        return rotated


def directions_of(
    centred: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how much vectors (N, D) vary, falling, and in which orthonormal directions: (D, D)."""
    much, columns = np.linalg.eigh(centred.T @ centred)  # rising
    return much[::-1], np.ascontiguousarray(columns[:, ::-1].T)


def balanced(rests: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rotation (R, D) after which all pieces of these vectors (N, D) vary alike.

    The product of the variances in a piece says how many bits it needs.
    """
    much, directions = directions_of(rests)
    dim = len(much)
    least_of_all = max(float(much[0]), 1e-9) * 1e-9
    bits = np.log2(np.maximum(much, least_of_all) / least_of_all)
    pieces = [list[int]() for _ in range(-(-dim // PIECE))]
    held = np.zeros(len(pieces))
    for number, each in enumerate(bits):
        least = int(held.argmin())
        pieces[least].append(number)
        held[least] += each if len(pieces[least]) < PIECE else np.inf
    rotation = np.zeros((len(pieces), PIECE, dim), np.float32)
    for piece, numbers in zip(rotation, pieces, strict=True):
        piece[: len(numbers)] = directions[numbers]
    return rotation.reshape(-1, dim)
