"""Draws people with and without masks, in the layout of the mask-status competition.

    python scripts/make_demo_data.py demo

At the defaults this takes about ten seconds on two cores and makes 1,120 pictures (13 MB): 120 people in demo/train
and 40 others in demo/eval, whose true classes are in demo/eval/answers.csv.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

from scripts.terminal import run_command
from trainables.data.demo.draw import PICTURES, make_demo_data


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw people with and without masks as the mask-status competition has them."""

    out: tyro.conf.Positional[Path]
    """Folder to make. One that holds the same demo data is left as it is."""
    people: int = 120
    """People in train, 6 or more; seven pictures each."""
    eval_people: int = 40
    """Other people, in eval, 1 or more."""
    seed: int = 0
    """Which people; the same seed draws the same ones."""
    height: int = 256
    """Height of a picture in pixels, a multiple of 4, 64 to 2048; the width is three quarters of it."""
    workers: int | None = None
    """Processes that draw; one for each CPU if not given, at most 16."""


def main() -> int:
    """Parses the command line and draws; a user's mistake is one line and exit code 2."""
    markers = (tyro.conf.DisallowNone, tyro.conf.PositionalMetavarFromFieldName)
    return run_command(Options, draw, None, prog="scripts/make_demo_data.py", markers=markers)


def draw(options: Options) -> None:
    """Draws, and says how many pictures that made and how long it took."""
    start = time.perf_counter()
    make_demo_data(**vars(options))
    num_pictures = len(PICTURES) * (options.people + options.eval_people)
    print(f"{options.out}: {num_pictures:,} pictures, {time.perf_counter() - start:.1f} seconds")


if __name__ == "__main__":
    sys.exit(main())
