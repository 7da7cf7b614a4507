"""Searches for the best configuration of a space on a folder of pictures.

    python search/run.py --space efficientnet --time-budget 5m

It ends with a model under runs/, a new row in the README's table of results, a report and TensorBoard curves. Without
--time-budget it says first how long it will take.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

STARTED = time.monotonic()
ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

from search.study import AskedStudy
from search.terminal import Terminal, VoiceFlags, exit_code
from trainables.called import as_called
from trainables.data.manifest import DataConfig


@dataclass(frozen=True, kw_only=True)
class Options:
    """Search a space for the configuration that is best on your pictures, by macro-F1."""

    study: tyro.conf.OmitArgPrefixes[AskedStudy] = field(default_factory=AskedStudy)
    data: tyro.conf.OmitArgPrefixes[DataConfig] = field(default_factory=DataConfig)
    check: bool = False
    """Say what would be searched, on which pictures, what is wrong and how long it takes, and end there."""
    voice: tyro.conf.OmitArgPrefixes[VoiceFlags] = field(default_factory=VoiceFlags)


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and searches; `search.terminal.exit_code` says how it ends."""
    return exit_code(lambda: _search(parse(args)))


def parse(args: Sequence[str] | None = None) -> Options:
    """The command line; with --resume on top of the settings of that run."""
    config = (tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff)
    return settled(
        lambda default: tyro.cli(Options, prog=as_called("search/run.py"), args=args, config=config, default=default)
    )


def settled(read: Callable[[Options], Options]) -> Options:
    """What was asked for, however it was: every path absolute, and of a run that goes on the settings that it has.

    Args:
        read: The options, from what they are where nothing is said.
    """
    asked = _absolute(read(Options()))
    if asked.study.run.resume is None:
        return asked
    from search.remote_storage import open_mirror
    from search.resume import refuse_contradictions, saved_options  # with Ray, which a help text does without

    places, resume = asked.study.places, asked.study.run.resume
    open_mirror(places, None, resume)
    study, data = saved_options(places, resume, with_budget=not asked.study.run.add_trials)  # which say when it ends
    asked = _absolute(read(Options(study=study, data=data)))
    refuse_contradictions((study, data), (asked.study, asked.data))
    return asked


def _absolute(options: Options) -> Options:
    return replace(options, study=options.study.absolute().where_told(), data=options.data.absolute())


def _search(options: Options) -> int:
    console = Terminal(options.voice, STARTED)
    console.doing("starting")
    try:
        from search.pipeline import check, search  # with Ray, which a help text and a wrong flag do without

        if options.check:
            return check(options.study, options.data, console, STARTED)
        return search(options.study, options.data, console, STARTED).exit_code
    finally:
        console.idle()


if __name__ == "__main__":
    sys.exit(main())
