"""`retrieve` on a machine whose device fails.

python -m tests.retrieval.mortal_program FOLDER HOW DEATHS SECONDS index photos --device cuda:0

FOLDER, HOW and DEATHS are those of `Mortal`; SECONDS is how long Ctrl-C waits for a device.
"""

import sys
from pathlib import Path
from typing import Any

from retrieval.cli.main import main
from retrieval.indexing import start
from retrieval.indexing.encoders import queue
from retrieval.models import devices
from tests.retrieval.mortal import Mortal, MortalDevice


def run(folder: str, how: Any, deaths: str, seconds: str, *arguments: str) -> None:
    """Run a command on the device, which is there."""
    start._encoder = MortalDevice(Mortal(Path(folder), how, int(deaths)))  # type: ignore[assignment]
    devices.check_present = lambda device: None
    queue.RESCUE_SECONDS = float(seconds)
    sys.argv[1:] = arguments
    main()


if __name__ == "__main__":
    run(*sys.argv[1:])
