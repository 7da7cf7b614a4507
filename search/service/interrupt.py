"""Sends Ctrl-C to the process that is at a run: what the page has a cluster's head do, where that process is.

python search/service/interrupt.py RUN_DIR 2     # twice: it ends at once
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

from results.records.presence import who_is_at_run
from results.records.run_folder import RunFolder
from search.terminal import exit_code
from trainables.errors import UserError

BETWEEN_SECONDS = 1.0
"""From one Ctrl-C to the next, which a process hears between two lines of Python only."""


def main(args: Sequence[str] | None = None) -> int:
    """Interrupts; a run that nobody here is at is one message and exit code 2."""
    folder, times = sys.argv[1:] if args is None else args
    return exit_code(lambda: interrupt(Path(folder), int(times)))


def interrupt(run_dir: Path, times: int) -> None:
    """Sends the signal to the process that searches a run, or trains it again.

    Args:
        run_dir: Folder of the run.
        times: How often: running trials end with their epoch after the first, the second ends at once.

    Raises:
        UserError: No process of this machine is at it.
    """
    presence = who_is_at_run(RunFolder(run_dir))
    if presence is None:
        raise UserError(f"{run_dir.name} is not running any more")
    if not presence.is_here:
        raise UserError(f"{run_dir.name} runs on {presence.host}: stop it there")
    for number in range(times):
        if number:  # two of the same signal that arrive together are one
            time.sleep(BETWEEN_SECONDS)
        try:
            os.kill(presence.pid, signal.SIGINT)
        except ProcessLookupError as error:
            if number:  # the first was enough
                return
            raise UserError(f"{run_dir.name} is not running any more") from error


if __name__ == "__main__":
    sys.exit(main())
