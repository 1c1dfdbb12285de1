"""The exception of an interrupted index run; in its own module so that `--help` imports little."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.records import Summary


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during an index run; everything encoded so far is kept.

    Not a RetrieveError: an `except RetrieveError` around one folder of many must not continue with
    the next.
    """

    def __init__(self, summary: "Summary") -> None:
        super().__init__("interrupted; finished work is kept")
        self.summary = summary
