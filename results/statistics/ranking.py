"""Candidates trained again over several seeds or folds, ranked by what they score on average: pure numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.records.trials import TrialHistory, score_of
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.report import TrialStatus

DEFAULT = "default"
"""Name of the default configuration where no trial of the search had it."""


@dataclass(frozen=True)
class Candidate:
    """A configuration that may be picked."""

    name: str
    """trial_id in the search, or `DEFAULT`."""
    config: TrialConfig
    search_score: float | None
    """Its best validation score in the search, flattered by having been picked; None if it was not tried there."""


@dataclass(frozen=True)
class Ranked:
    """A candidate after it was trained again."""

    candidate: Candidate
    epoch: int
    """Where the mean over seeds or folds is highest, of equals where that of the losses is lowest."""
    scores: tuple[float, ...]
    """Validation macro-F1 at that epoch, one a seed or fold."""

    @property
    def mean(self) -> float:
        """What it is ranked by."""
        return statistics.fmean(self.scores)

    @property
    def std(self) -> float:
        """Over seeds or folds; 0 with one."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0

    def to_json(self) -> dict[str, Any]:
        """As in `RetrainedModel.ranking`."""
        return {
            "trial_id": self.candidate.name,
            "backbone": self.candidate.config.backbone,
            "search": self.candidate.search_score,
            "scores": list(self.scores),
            "mean": self.mean,
            "std": self.std,
            "epoch": self.epoch,
        }


def candidates(
    trials: Sequence[TrialHistory], default: TrialConfig, top_k: int, only: str | None = None
) -> tuple[list[Candidate], Candidate]:
    """The best trials of a search, and the default configuration, which is always among those trained.

    Trials that trained all their epochs come first, then stopped ones, by their best score; the best of all is
    always among them. Of two that have the same configuration the better counts, a failed one never.

    Args:
        trials: All trials of the search.
        default: The default configuration of its space.
        top_k: How many trials.
        only: One trial_id, instead of the best.

    Returns:
        The candidates, the default among them, and the default.

    Raises:
        UserError: No trial has a score, or there is none of that name; says which there are.
    """
    scored = [trial for trial in trials if trial.best is not None and trial.status != TrialStatus.FAILED]
    if only is not None:
        chosen = [trial for trial in scored if trial.trial_id == only]
        if not chosen:
            raise UserError(
                f"--trial {only}: the search has no trial of that name with a score; it has "
                f"{', '.join(trial.trial_id for trial in scored) or 'none'}"
            )
    else:
        ranked = sorted(scored, key=lambda trial: (trial.status != TrialStatus.FINISHED, -_best(trial), trial.trial_id))
        different = {trial.config: trial for trial in reversed(ranked)}
        ranked = [trial for trial in ranked if different[trial.config] is trial]
        best = max(ranked, key=_best, default=None)
        chosen = ranked[:top_k] if best in ranked[:top_k] or best is None else [*ranked[: top_k - 1], best]
    if not chosen:
        raise UserError("no trial of the search has a score, so there is nothing to train again")
    listed = [Candidate(trial.trial_id, trial.config, _best(trial)) for trial in chosen]
    for candidate in listed:
        if candidate.config == default:
            return listed, candidate
    tried = max((trial for trial in scored if trial.config == default), key=_best, default=None)
    control = Candidate(DEFAULT, default, None) if tried is None else Candidate(tried.trial_id, default, _best(tried))
    return [*listed, control], control


def rank(
    listed: Sequence[Candidate], trainings: Mapping[str, Sequence[TrialHistory]]
) -> tuple[list[Ranked], dict[str, str]]:
    """Ranks candidates by their mean, the best first; of equals the first listed.

    Args:
        listed: The candidates.
        trainings: Each candidate's trainings by its name, one a seed or fold.

    Returns:
        The ranking, and the reason for each candidate that cannot be ranked, because one of its trainings failed.
    """
    ranking, failed = [], {}
    for candidate in listed:
        runs = trainings[candidate.name]
        reasons = [trial.reason or trial.status for trial in runs if trial.status != TrialStatus.FINISHED]
        if reasons or not runs:
            failed[candidate.name] = reasons[0] if reasons else "it did not start"
            continue
        by_epoch = list(zip(*(trial.reports for trial in runs), strict=True))
        means = [statistics.fmean(map(score_of, reports)) for reports in by_epoch]
        losses = [statistics.fmean(report.val_loss for report in reports) for reports in by_epoch]
        best = max(range(len(by_epoch)), key=lambda number: (means[number], -losses[number]))
        ranking.append(Ranked(candidate, best + 1, tuple(map(score_of, by_epoch[best]))))
    return best_first(ranking), failed


def best_first(ranking: Iterable[Ranked]) -> list[Ranked]:
    """Candidates by their mean, the best first; of equals the first stays first."""
    return sorted(ranking, key=lambda ranked: -ranked.mean)


def repeats_in_words(seeds: Sequence[int], folds: int | None) -> str:
    """Over what candidates are ranked, such as `3 seeds` or `5 folds`."""
    return f"{len(seeds)} seed{'s' * (len(seeds) > 1)}" if folds is None else f"{folds} folds"


def _best(trial: TrialHistory) -> float:
    assert trial.best is not None
    return trial.best.val_score
