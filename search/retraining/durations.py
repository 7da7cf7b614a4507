"""How long the trainings of a re-training take, by what the search's epochs took, and how many fit into a budget."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console

from results.records.cost import duration
from results.records.trials import TrialHistory
from results.statistics.ranking import Candidate
from search.machine.forecast import (
    END_SECONDS,
    EVALUATION_SPEED,
    KNOWN_SPREAD,
    START_SECONDS,
    Forecast,
    share_of_pace,
)
from search.retraining.plan import Retraining
from search.terminal import say
from trainables.errors import UserError
from trainables.machine.hardware import hardware_in_words

ROUND_SECONDS = 15.0
"""From the end of one round of trainings to the first step of the next: models are saved, workers end and begin."""


@dataclass(frozen=True)
class Durations:
    """Seconds that a re-training takes when nothing else runs on the machine.

    A training's time is counted as its share of the whole machine, as a search and its re-training both fill all cores
    or GPUs, and as more of it where fewer trainings run side by side than in the search.
    """

    retraining: Retraining
    ends: float = math.inf
    """When the time budget is over, by `time.monotonic`; infinite without one."""
    everyone: bool = False
    """Whether a model of all people is trained too."""
    ranks_only: bool = False
    """Whether there are no final trainings."""
    pace: float = 1.0
    """As `pace_of`; 1 while nothing has been trained."""

    @property
    def have_end(self) -> bool:
        """Whether there is a time budget."""
        return math.isfinite(self.ends)

    @property
    def are_known(self) -> bool:
        """Whether the search ran on a machine like this one."""
        run = self.retraining.source.run
        return run is not None and run.hardware == hardware_in_words()

    def epoch_seconds(self, candidate: Candidate) -> float:
        """Seconds of a whole epoch of a candidate in the search, or of its backbone, or of all where it has none."""
        trials = [trial for trial in self.retraining.source.trials if trial.reports]
        for alike in (
            [trial for trial in trials if trial.config == candidate.config],
            [trial for trial in trials if trial.config.backbone == candidate.config.backbone],
            trials,
        ):
            reports = [report for trial in alike for report in trial.reports if report.trained_share == 1]
            if reports:  # else all that they had was an epoch that the time budget cut short
                return statistics.fmean(report.seconds for report in reports)
        return 0.0

    def long_first(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates in the order in which a round trains them, so that no core waits long for the last."""
        return sorted(candidates, key=self.epoch_seconds, reverse=True)

    def round_seconds(self, candidates: Sequence[Candidate]) -> float:
        """Of one training of each candidate."""
        epochs = self.retraining.task.epochs * self.pace
        return ROUND_SECONDS + self._one_after_another([epochs * self._machine_seconds(one) for one in candidates])

    def final_seconds(self, candidates: Sequence[Candidate]) -> float:
        """Of the final trainings of the pick and the default, for all epochs: which are best is not known before."""
        if self.ranks_only:
            return END_SECONDS
        sides = self.retraining.split.table["split"].value_counts()
        train, val, test = (int(sides.get(side, 0)) for side in ("train", "val", "test"))
        models = min(2, len(candidates))  # the default may be all there is
        seeds = self.retraining.final_seeds
        mean = statistics.fmean(map(self._machine_seconds, candidates)) * self.pace
        picture = self.retraining.task.epochs * mean / (train + val / EVALUATION_SPEED)
        seconds = self._one_after_another([(train + val) * picture] * models * seeds)
        seconds += self._one_after_another([(train + val + test) * picture] * self.everyone * seeds)
        return END_SECONDS + (1 + self.everyone) * ROUND_SECONDS + seconds

    def total_seconds(self, candidates: Sequence[Candidate], num_rounds: int) -> float:
        """Of everything that is left to do."""
        return START_SECONDS + num_rounds * self.round_seconds(candidates) + self.final_seconds(candidates)

    def have_time_for_round(self, done: Iterable[TrialHistory]) -> bool:
        """Whether another round, and the final trainings after it, would end in the time budget.

        Args:
            done: The trainings so far, whose pace is taken for that of the rest.
        """
        candidates, paced = self.retraining.candidates, replace(self, pace=self.pace_of(done))
        return time.monotonic() + paced.round_seconds(candidates) + paced.final_seconds(candidates) <= self.ends

    def with_final_seeds(self, count: int) -> Durations:
        """The same with so many final trainings of a configuration."""
        return replace(self, retraining=replace(self.retraining, final_seeds=count))

    def final_seeds_in_time(self, done: Iterable[TrialHistory]) -> int:
        """How many final trainings would end in the time budget, 1 at least; all where their number was asked for.

        Args:
            done: The trainings so far, whose pace is taken for that of the final ones.
        """
        retraining, paced = self.retraining, replace(self, pace=self.pace_of(done))
        if not retraining.final_seeds_open or not self.have_end:
            return retraining.final_seeds
        for count in range(retraining.final_seeds, 1, -1):
            if time.monotonic() + paced.with_final_seeds(count).final_seconds(retraining.candidates) <= self.ends:
                return count
        return 1

    def pace_of(self, done: Iterable[TrialHistory]) -> float:
        """Seconds that trainings of rounds took, per second of what the search's epochs had told."""
        candidates = self.long_first(self.retraining.candidates)
        beside = min(self.retraining.study.concurrency, len(candidates))
        together = candidates[: len(candidates) - len(candidates) % beside]  # the last have more cores each
        by_config = {candidate.config: candidate for candidate in together}
        took = told = 0.0
        for trial in done:
            if trial.config in by_config:
                took += sum(report.seconds for report in trial.reports) / beside
                told += len(trial.reports) * self._machine_seconds(by_config[trial.config])
        return took * self._share_of_pace(beside) / told if told else self.pace

    def _one_after_another(self, seconds: Sequence[float]) -> float:
        """Of trainings that take so long with the machine for themselves, as many side by side as fit, long ones first.

        The last have all cores, too, if they are fewer (`spread_over_cores`), which makes less of them.
        """
        num_last = len(seconds) % self.retraining.study.concurrency
        first, last = np.split(np.sort(seconds)[::-1], [len(seconds) - num_last])
        return float(first.sum() + last.sum() / self._share_of_pace(max(1, num_last)))

    def _machine_seconds(self, candidate: Candidate) -> float:
        """Of an epoch, as if it had the machine for itself."""
        return self.epoch_seconds(candidate) / self._beside

    def _share_of_pace(self, trainings: int) -> float:
        """That so many trainings at a time have of what those of the search made together."""
        return share_of_pace(self._beside, trainings)

    @property
    def _beside(self) -> int:
        """Trials that the search trained at a time."""
        run = self.retraining.source.run
        beside = run.options.get("concurrency") if run is not None else None
        return beside if isinstance(beside, int) else self.retraining.study.concurrency


def fit_into_time(durations: Durations, console: Console) -> Durations:
    """Says how long a re-training takes, and leaves out of it what a time budget has no room for.

    Seeds are left out first, down to two, then the candidates that the search ranked last, then the second seed; then,
    where their number was left open, final trainings.

    Raises:
        UserError: Not even the pick and the default would fit.
    """
    retraining = durations.retraining
    if not durations.are_known or not durations.epoch_seconds(retraining.control):
        return durations
    left = durations.ends - time.monotonic()
    shapes = list(_smaller(retraining))
    fewest = 1 if retraining.final_seeds_open else retraining.final_seeds
    finals = range(retraining.final_seeds, fewest - 1, -1)
    for final_seeds, (listed, num_rounds) in itertools.product(finals, shapes):
        seconds = durations.with_final_seeds(final_seeds).total_seconds(listed, num_rounds)
        if seconds <= left:
            break
    else:
        if seconds / KNOWN_SPREAD > left:
            raise UserError(
                f"{' and '.join(candidate.name for candidate in listed)} alone take about {duration(seconds)} to train "
                f"again, the time budget ends in {duration(max(left, 0))}: give a longer --time-budget"
            )
    forecast = Forecast(seconds, seconds / KNOWN_SPREAD, seconds * KNOWN_SPREAD)
    say(console, f"Forecast: {forecast}")
    if (final_seeds, listed, num_rounds) != (retraining.final_seeds, *shapes[0]):
        out = [candidate.name for candidate in retraining.candidates if candidate not in listed]
        words = f"{num_rounds} of {shapes[0][1]} seeds" if num_rounds < shapes[0][1] else ""
        without = f"without {', '.join(out)}" if out else ""
        most = retraining.final_seeds
        fewer = f"{final_seeds} of {most} final trainings" if final_seeds < most else ""
        say(console, f"The time budget has room for less: {', '.join(filter(None, (words, without, fewer)))}")
    seeds = retraining.seeds if retraining.folds is not None else retraining.seeds[:num_rounds]
    return replace(durations, retraining=replace(retraining, candidates=listed, seeds=seeds, final_seeds=final_seeds))


def _smaller(retraining: Retraining) -> Iterable[tuple[list[Candidate], int]]:
    """What may be ranked, with rounds of it, from all that was asked for to the least."""
    listed, most = list(retraining.candidates), len(retraining.seeds)
    fixed = retraining.folds is not None
    fewest = most if fixed else min(2, most)
    yield from ((list(listed), number) for number in range(most, fewest - 1, -1))
    while others := [one for one in listed[1:] if one != retraining.control and one.name != retraining.pick]:
        listed.remove(others[-1])
        yield list(listed), fewest
    if fewest > 1 and not fixed:
        yield list(listed), 1
