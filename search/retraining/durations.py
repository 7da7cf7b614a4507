"""How long the trainings of a re-training take, by what the search's epochs took, and how many fit into a budget."""

from __future__ import annotations

import heapq
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
from results.statistics.ranking import Candidate, Ranked
from search.machine.forecast import (
    END_SECONDS,
    KNOWN_SPREAD,
    START_SECONDS,
    Forecast,
    share_of_pace,
)
from search.retraining.plan import Retraining, ranking_jobs, trained_at_last
from search.terminal import say, warn
from trainables.errors import UserError
from trainables.machine.hardware import hardware_in_words
from trainables.networks.known_costs import EVALUATION_SPEED

ROUND_SECONDS = 15.0
"""From the end of one round of trainings to the first step of the next: models are saved, workers end and begin."""


@dataclass(frozen=True)
class Plan:
    """What a re-training is made of."""

    candidates: Sequence[Candidate]
    """What is ranked."""
    num_rounds: int
    """Trainings of each, one a seed or fold."""
    final_seeds: int
    """Final trainings of a configuration."""

    def less_than(self, asked: Plan) -> str:
        """What it lacks of what was asked for, such as `2 of 3 seeds, without 00003`."""
        out = [candidate.name for candidate in asked.candidates if candidate not in self.candidates]
        seeds = f"{self.num_rounds} of {asked.num_rounds} seeds" if self.num_rounds < asked.num_rounds else ""
        finals = ""
        if self.final_seeds < asked.final_seeds:
            finals = f"{self.final_seeds} of {asked.final_seeds} final trainings"
        return ", ".join(filter(None, (seeds, f"without {', '.join(out)}" if out else "", finals)))


@dataclass(frozen=True)
class Durations:
    """Seconds that a re-training takes when nothing else runs on the machine.

    A training's time is counted as its share of the whole machine, as a search and its re-training both fill all cores
    or GPUs, and as more of it where fewer trainings run side by side than in the search.
    """

    retraining: Retraining
    budget: float = math.inf
    """Seconds that the whole command may take."""
    ends: float = math.inf
    """When the time budget is over, by `time.monotonic`; infinite without one."""
    everyone: bool = False
    """Whether a model of all people is trained too."""
    ranks_only: bool = False
    """Whether there are no final trainings."""
    pace: float = 1.0
    """As `pace_of`; 1 while nothing has been trained."""
    done: frozenset[str] = frozenset()
    """Names of the trainings that are done before it begins, and take no time."""
    planned: Plan | None = None
    """What a time budget is thought to have room for; None where all that was asked for has."""

    @property
    def have_end(self) -> bool:
        """Whether there is a time budget."""
        return math.isfinite(self.ends)

    @property
    def has_rounds(self) -> bool:
        """Whether seeds are trained round after round; folds answer for all people, or for none."""
        return self.have_end and self.retraining.folds is None

    @property
    def are_known(self) -> bool:
        """Whether the search trained on a machine like this one, and on the same part of it."""
        run = self.retraining.source.run
        if run is None or run.task.device != self.retraining.task.device:
            return False
        return run.hardware == hardware_in_words()

    def epoch_seconds(self, candidate: Candidate) -> float:
        """Seconds of a whole epoch of a candidate in the search, or of its backbone, or of all where it has none."""
        trials = [trial for trial in self.retraining.source.trials if trial.reports]
        own = [trial for trial in trials if trial.config == candidate.config]
        like = [trial for trial in trials if trial.config.backbone == candidate.config.backbone]
        sides = self.retraining.split.table["split"]
        train_pictures = int((sides == "train").sum())
        for alike, are_whole in (
            (own, True),
            (like, True),
            (own, False),
            (like, False),
            (trials, True),
            (trials, False),
        ):
            reports = [report for trial in alike for report in trial.reports]
            seconds = [report.seconds for report in reports if report.trained_share == 1]
            if not are_whole:  # all that they had was an epoch that the time budget cut short
                seconds = [report.whole_seconds(train_pictures) for report in reports]
            if seconds:
                return statistics.fmean(seconds)
        return 0.0

    def long_first(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates in the order in which a round trains them, so that no core waits long for the last."""
        return sorted(candidates, key=self.epoch_seconds, reverse=True)

    def training_seconds(self, ranked: Ranked) -> float:
        """Of a training of so many epochs as were best, beside others as in the search."""
        return ranked.epoch * self.epoch_seconds(ranked.candidate)

    def left_of_round(self, candidates: Sequence[Candidate], number: int) -> list[Candidate]:
        """The candidates whose training of a round, counted from 0, is not done yet."""
        return [one for one in candidates if ranking_jobs(self.retraining, one)[number].name not in self.done]

    def round_seconds(self, trained: Sequence[Candidate], rounds: int = 1) -> float:
        """Of a training of each of these, of one round or of several that begin as soon as there is a core."""
        if not trained:
            return 0.0
        epochs = self.retraining.task.epochs * self.pace
        return rounds * ROUND_SECONDS + self._one_after_another(
            [epochs * self._machine_seconds(one) for one in trained]
        )

    def final_seconds(self, candidates: Sequence[Candidate], final_seeds: int) -> float:
        """Of so many final trainings of the pick and of the default, for all epochs: which are best is not known yet.

        Args:
            candidates: Those of whom they may be.
            final_seeds: How many networks answer together.
        """
        models = min(2, len(candidates))  # the default may be all there is
        mean = statistics.fmean(map(self._machine_seconds, candidates))
        return self._finals([self.retraining.task.epochs * mean] * models, final_seeds)

    def total_seconds(self, plan: Plan) -> float:
        """Of everything that is left to do."""
        left = [self.left_of_round(plan.candidates, number) for number in range(plan.num_rounds)]
        if self.has_rounds:
            rounds = sum(map(self.round_seconds, left))
        else:
            rounds = self.round_seconds(list(itertools.chain(*left)), plan.num_rounds)
        return START_SECONDS + rounds + self.final_seconds(plan.candidates, plan.final_seeds)

    def have_time_for_round(self, done: Iterable[TrialHistory], ranking: Sequence[Ranked], num_rounds: int) -> bool:
        """Whether another round, and the final trainings after it, would end in the time budget.

        For a round of the plan there must be time for the final trainings of the plan, for one beyond it for all that
        were asked for. Each counts as the epochs that are best so far, and half of all at least, since another round
        may find others best; where their number was asked for, so that none can be left out then, as all epochs.

        Args:
            done: The trainings so far, whose pace is taken for that of the rest.
            ranking: What they say, the pick first.
            num_rounds: How many rounds they are.
        """
        retraining, paced = self.retraining, replace(self, pace=self.pace_of(done))
        if not (left := self.left_of_round(retraining.candidates, num_rounds)):
            return True
        count, most = retraining.final_seeds, retraining.task.epochs
        if self.planned is not None and num_rounds < self.planned.num_rounds:
            count = self.planned.final_seeds
        if ranking and retraining.final_seeds_open:
            finals = paced._finals(self._final_trainings(ranking, least=math.ceil(most / 2)), count)
        else:
            finals = paced.final_seconds(retraining.candidates, count)
        return time.monotonic() + paced.round_seconds(left) + finals <= self.ends

    def final_seeds_in_time(self, done: Iterable[TrialHistory], ranking: Sequence[Ranked]) -> int:
        """How many final trainings would end in the time budget, 1 at least; all where their number was asked for.

        Args:
            done: The trainings so far, whose pace is taken for that of the final ones.
            ranking: What they say, the pick first.
        """
        retraining, paced = self.retraining, replace(self, pace=self.pace_of(done))
        if not retraining.final_seeds_open or not self.have_end:
            return retraining.final_seeds
        trainings = self._final_trainings(ranking)
        for count in range(retraining.final_seeds, 1, -1):
            if time.monotonic() + paced._finals(trainings, count) <= self.ends:
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

    def _final_trainings(self, ranking: Sequence[Ranked], least: int = 1) -> list[float]:
        """Seconds that the epochs of the final trainings took in the search, of the pick and of the default."""
        at_last = trained_at_last(self.retraining, ranking)
        return [max(least, ranked.epoch) * self._machine_seconds(ranked.candidate) for ranked in at_last]

    def _finals(self, trainings: Sequence[float], final_seeds: int) -> float:
        """Seconds of final trainings.

        Args:
            trainings: Of each configuration, the pick's first, the seconds that its epochs took in the search.
            final_seeds: How many of each.
        """
        if self.ranks_only:
            return END_SECONDS
        sides = self.retraining.split.table["split"].value_counts()
        train, val, test = (int(sides.get(side, 0)) for side in ("train", "val", "test"))
        pictures = train + val / EVALUATION_SPEED
        shares = [seconds * self.pace / pictures for seconds in trainings]
        seconds = self._one_after_another([(train + val) * share for share in shares] * final_seeds)
        seconds += self._one_after_another([(train + val + test) * shares[0]] * self.everyone * final_seeds)
        return END_SECONDS + (1 + self.everyone) * ROUND_SECONDS + seconds

    def _one_after_another(self, seconds: Sequence[float]) -> float:
        """Of trainings that take so long with the machine for themselves, as many side by side as fit, long ones first.

        Whoever ends first takes the next. The last have all cores, too, if they are fewer than fit side by side
        (`spread_over_cores`), which makes less of them.
        """
        beside = self.retraining.study.concurrency
        num_last = len(seconds) % beside
        first, last = np.split(np.sort(seconds)[::-1], [len(seconds) - num_last])
        slots = [0.0] * beside
        for each in first:
            heapq.heapreplace(slots, slots[0] + each * beside)
        end = last.max() * num_last / self._share_of_pace(num_last) if num_last else 0.0
        return float(max(slots) + end)

    def _machine_seconds(self, candidate: Candidate) -> float:
        """Of an epoch, as if it had the machine for itself."""
        return self.epoch_seconds(candidate) / self._beside

    def _share_of_pace(self, trainings: int) -> float:
        """That so many trainings at a time have of what those of the search made together.

        Where a training has a place of its own, as on a GPU, fewer of them leave the other places empty.
        """
        if not self.retraining.study.cores_open:
            return min(trainings, self._beside) / self._beside
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
    where their number was left open, final trainings. Candidates are left out for good, as all have the same seeds;
    seeds and final trainings come back where those before them take less than was thought.

    Raises:
        UserError: Not even the pick and the default would fit.
    """
    retraining = durations.retraining
    if not durations.are_known or not durations.epoch_seconds(retraining.control):
        _say_unknown(durations, console)
        return durations
    left = durations.ends - time.monotonic()
    plans = list(_smaller(durations))
    for plan in plans:
        seconds = durations.total_seconds(plan)
        if seconds <= left:
            break
    else:
        if seconds / KNOWN_SPREAD > left:
            raise UserError(
                f"{' and '.join(candidate.name for candidate in plan.candidates)} alone take about {duration(seconds)} "
                f"to train again, the time budget ends in {duration(max(left, 0))}: give a longer --time-budget"
            )
    forecast = Forecast(seconds, seconds / KNOWN_SPREAD, seconds * KNOWN_SPREAD)
    say(console, f"Forecast: {forecast}")
    if plan == plans[0]:
        return durations
    say(console, f"The time budget has room for less: {plan.less_than(plans[0])}")
    return replace(durations, retraining=replace(retraining, candidates=plan.candidates), planned=plan)


def _say_unknown(durations: Durations, console: Console) -> None:
    """Says what a time budget is worth where nothing tells how long the trainings take."""
    if not durations.have_end:
        return
    if not durations.has_rounds:
        warn(
            console,
            "the time budget cannot be kept with --folds, as it is not known how fast this machine trains: all of them "
            "are trained, however long they take. Of --seeds, only those that there is time for are",
        )
        return
    say(
        console,
        "How long trainings take on this machine is not known before the first seed: that is trained in any case, and "
        "what there is no time for after it is left out",
    )


def _smaller(durations: Durations) -> Iterable[Plan]:
    """What may be trained, from all that was asked for to the least."""
    retraining = durations.retraining
    fewest = 1 if retraining.final_seeds_open and not durations.ranks_only else retraining.final_seeds
    for final_seeds in range(retraining.final_seeds, fewest - 1, -1):
        for candidates, num_rounds in _smaller_rankings(retraining):
            yield Plan(candidates, num_rounds, final_seeds)


def _smaller_rankings(retraining: Retraining) -> Iterable[tuple[list[Candidate], int]]:
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
