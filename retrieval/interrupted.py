"""What an index run that was interrupted raises; apart, as `--help` waits for no records."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.records import Summary


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during an index run, after what was encoded has been kept. Not a RetrieveError: an
    `except RetrieveError` around one folder of many must not go on with the next.
    """

    def __init__(self, summary: "Summary") -> None:
        super().__init__("interrupted; what was done is kept")
        self.summary = summary
