"""Trains the best configurations of a search again, picks one, and scores it once on people or pictures never seen.

    python scripts/retrain.py --space efficientnet --time-budget 11m

It ends with the test macro-F1 and its 95% interval in the README's row, and with the weights in
runs/<name>/retrained, for scripts/evaluate.py, scripts/predict.py or plain timm.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

STARTED = time.monotonic()
ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro
from rich.console import Console

from scripts.terminal import run_command, voiced
from search.flags import MachineFlags, PlaceFlags
from search.retraining.flags import RetrainFlags
from search.study import AskedStudy
from search.terminal import VoiceFlags, started_at, warn
from trainables.data.manifest import DataConfig
from trainables.errors import UserError
from trainables.machine.home import can_write

if TYPE_CHECKING:
    from results.records.retrained import RetrainedModel
    from results.statistics.ranking import Ranked


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train the winner of a search again and score it on what it has never seen."""

    retrain: tyro.conf.OmitArgPrefixes[RetrainFlags] = field(default_factory=RetrainFlags)
    machine: tyro.conf.OmitArgPrefixes[MachineFlags] = field(default_factory=MachineFlags)
    places: tyro.conf.OmitArgPrefixes[PlaceFlags] = field(default_factory=PlaceFlags)
    data: tyro.conf.OmitArgPrefixes[DataConfig] = field(default_factory=DataConfig)
    voice: tyro.conf.OmitArgPrefixes[VoiceFlags] = field(default_factory=VoiceFlags)

    def __post_init__(self) -> None:
        if self.retrain.device == "cuda" and self.machine.gpus_per_trial == 0:
            raise UserError("--device cuda needs a GPU, or a part of one, by --gpus-per-trial")

    def asked(self) -> AskedStudy:
        """As the flags of a search."""
        machine = vars(self.machine)
        if self.retrain.device == "cpu":
            machine = {**machine, "gpus_per_trial": 0.0}
        named = {"space": self.retrain.space or "efficientnet", "parts": self.retrain.parts}
        places = replace(self.places, readme=self.places.readme or self._readme_of_run())
        return AskedStudy.of(**named, weights=self.retrain.weights, **machine, **vars(places)).absolute().where_told()

    def _readme_of_run(self) -> Path | None:
        """The README with the row of the run that is asked for, as a resume has it, too."""
        from results.records.scorings import readme_of

        run_dir = self.places.runs_dir / (self.retrain.run or "")
        is_there = self.retrain.run is not None and self.places.remote is None and (run_dir / "run.json").is_file()
        readme = readme_of(run_dir) if is_there else None
        return readme if readme is not None and can_write(readme.parent) else None


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and trains; a user's mistake is one message and exit code 2."""
    return run_command(
        Options,
        lambda options: voiced(
            options.voice,
            lambda console: retrain(options.retrain, options.asked(), options.data.absolute(), console).exit_code,
            STARTED,
        ),
        args,
        prog="scripts/retrain.py",
    )


@dataclass(frozen=True)
class Ended:
    """How a re-training ended, and where what it left is."""

    exit_code: int
    """0 where all was done that was asked for, 1 where something failed, 130 after Ctrl-C."""
    folder: Path
    result: RetrainedModel | None = None
    """The pick and its score on people never seen; None where it did not come to that."""
    ranking: Sequence[Ranked] = ()
    """The candidates, the pick first, then by their mean; empty where it did not come to that."""


def retrain(config: RetrainFlags, asked: AskedStudy, data: DataConfig, console: Console) -> Ended:
    """The pipeline: search, pictures, ranking, final trainings, the test side, record, table."""
    from results.records.run_folder import RunFolder
    from search.machine.ray_session import ray_session
    from search.pipeline import show_all_runs
    from search.remote_storage import mirrored, open_mirror, refuse_if_elsewhere, take_over
    from search.retraining.begin import begin_retraining, run_of_record
    from search.retraining.durations import Durations, fit_into_time
    from search.retraining.everyone import train_everyone
    from search.retraining.finals import score_finals, train_finals
    from search.retraining.plan import done_before, trained_at_last
    from search.retraining.rank_again import rank_again
    from search.retraining.settled import recall, remember
    from search.retraining.summary import clear, export, summarize
    from search.run_trials import crashes_noted
    from search.stop import StopRequest

    with ray_session(asked.machine.address) as session, ExitStack() as stack:
        stack.callback(show_all_runs, asked.places.runs_dir, console)
        mirror = open_mirror(asked.places, None, config.run)
        if mirror is not None and config.run is None:  # its record has been copied down by now
            take_over(mirror, run_of_record(config, asked, data.data))
        retraining = begin_retraining(config, asked, data, session, stack, console)
        name = retraining.source.name
        if mirror is not None:  # again: to open it may have taken minutes
            refuse_if_elsewhere(mirror, name)
        session.copy_soon = stack.enter_context(mirrored(mirror, name, partial(warn, console)))
        with crashes_noted(RunFolder(retraining.folder), "the same command"):
            durations = Durations(
                retraining,
                budget=config.time_budget_seconds,
                ends=started_at(console) + config.time_budget_seconds,
                everyone=config.final_on == "all",
                ranks_only=config.no_final,
                done=done_before(retraining),
            )
            stop = StopRequest()
            ranked = rank_again(recall(durations, console) or fit_into_time(durations, console), stop, console)
            if ranked is None:
                return Ended(stop.exit_code or 1, retraining.folder)
            retraining, ranking = ranked
            if config.no_final:
                return Ended(stop.exit_code, retraining.folder, ranking=ranking)
            remember(durations, retraining, ranking)
            finals = trained_at_last(retraining, ranking)
            jobs = train_finals(retraining, finals, durations.training_seconds, stop, console)
            if jobs is None:
                return Ended(stop.exit_code or 1, retraining.folder, ranking=ranking)
            result = score_finals(retraining, ranking, jobs)
            said = export(retraining, result, console)
            summarize(retraining, result, said, console)
            if config.final_on == "all" and not train_everyone(retraining, ranking[0], result, stop, console):
                return Ended(stop.exit_code or 1, retraining.folder, result, ranking)
            clear(retraining.folder)
            return Ended(0, retraining.folder, result, ranking)


if __name__ == "__main__":
    sys.exit(main())
