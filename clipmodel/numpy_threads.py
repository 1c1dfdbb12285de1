"""How many threads NumPy's products take."""

from functools import cache

from threadpoolctl import LibController, ThreadpoolController

FEW = 32  # rows of a product; a query in words has some ten


def fit_threads(rows: int) -> None:
    """One thread for products of few rows: more gain a fifth, but where another program keeps a
    processor busy, such as an index run, they wait for each other a hundred times as long.
    """
    for library, most in _libraries():
        library.set_num_threads(1 if rows <= FEW else most)


@cache
def _libraries() -> list[tuple[LibController, int]]:
    """NumPy's, with the threads that they would take; FAISS has one of its own."""
    held = ThreadpoolController().select(user_api="blas").lib_controllers
    return [(each, each.num_threads) for each in held if "faiss" not in each.filepath]
