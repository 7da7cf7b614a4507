"""Writes one page about a run: what was searched, what won, what matters, what failed and what it cost.

    python scripts/report.py NAME                 # writes runs/NAME/report.html
    python scripts/report.py NAME --storage DIR   # a run that lies elsewhere

It takes a few seconds. A search writes the page when it ends; a run that was interrupted, or still runs, can be
reported as well.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

from results.pages.report import write_report
from results.records.run_folder import RUNS, load_run
from scripts.terminal import MARKERS, run_command
from search.flags import refuse_path_as_name
from search.own_parts import with_parts_of
from search.remote_storage import folder_to_read
from trainables.errors import UserError
from trainables.reason import reason_of


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a page about a run into its folder."""

    name: tyro.conf.Positional[str]
    """Name of the run."""
    storage: Path = RUNS
    """Folder of the runs; or s3://bucket/folder and the like: the page is then written here, and copied there."""
    no_pictures: bool = False
    """Leave small copies of your pictures out of the page, for who is to see the numbers alone."""

    def __post_init__(self) -> None:
        refuse_path_as_name(self.name)


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and writes the page; a user's mistake is one message and exit code 2."""
    markers = (*MARKERS, tyro.conf.PositionalMetavarFromFieldName)
    return run_command(Options, report, args, prog="scripts/report.py", markers=markers)


def report(options: Options) -> None:
    """Writes the page and says where it is."""
    storage, mirror = folder_to_read(options.storage)
    with with_parts_of(load_run(storage / options.name)):
        page = write_report(storage / options.name, with_pictures=not options.no_pictures)
    if mirror is not None:
        try:
            mirror.send(page)
        except OSError as error:
            raise UserError(f"{page} is written, but not copied to {mirror.address}: {reason_of(error)}") from error
    print(page)


if __name__ == "__main__":
    sys.exit(main())
