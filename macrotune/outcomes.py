"""What the calls return: a run, a re-training, an evaluation, each read from its folder when it is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from macrotune.loaded import Model, load
from macrotune.notebook import as_html
from results.records.best import best_trial
from results.records.found import Found, load_found
from results.records.record import BestTrial
from results.records.retrained import RetrainedModel
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory, load_trials, score_of
from results.statistics.bootstrap import Interval
from results.statistics.ranking import Ranked
from trainables.errors import UserError
from trainables.report import TrialStatus

if TYPE_CHECKING:
    from results.statistics.evaluation import Evaluation


@dataclass(frozen=True)
class SearchResult:
    """A search that has ended."""

    folder: Path
    """Of the run."""

    @property
    def name(self) -> str:
        """Of the run, as `resume` and `retrain(run=...)` take it."""
        return self.folder.name

    @cached_property
    def best(self) -> BestTrial:
        """The best trial at its best epoch: `best.config`, `best.report.val_macro_f1`, what it cost.

        Raises:
            UserError: No trial has a score.
        """
        best = best_trial(self.folder)
        if best is None:
            raise UserError(f"no trial of {self.folder} has a score: events.jsonl in it says what happened")
        return best

    @cached_property
    def found(self) -> Found | None:
        """What the best score is worth, and of which trials the model is made; None where that was not judged."""
        return load_found(RunFolder(self.folder).found_json)

    @cached_property
    def trials(self) -> pandas.DataFrame:
        """A row per trial, the best first, those that failed or have no score last: its state, scores, and settings."""
        trials = sorted(load_trials(self.folder), key=_rank, reverse=True)
        return pandas.DataFrame(map(_row, trials)).set_index("trial_id") if trials else pandas.DataFrame()

    @cached_property
    def model(self) -> Model:
        """The best model there is: re-trained, else what the search left, picked by validation.

        Raises:
            UserError: The run has no model.
        """
        return load(self.folder)

    @property
    def report(self) -> Path:
        """The page about the run."""
        return RunFolder(self.folder).report_html

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self._rows().items())

    def _repr_html_(self) -> str:
        return as_html(self._rows())

    def _rows(self) -> dict[str, str]:
        best, found = self.best, self.found
        worth = found.val_corrected if found is not None else None
        corrected = f"; corrected for the choice {_interval(worth)}" if worth is not None else ""
        return {
            "run": self.name,
            "best trial": f"{best.trial_id}, {best.config.backbone}",
            "validation macro-F1": f"{best.report.val_macro_f1:.4f} in epoch {best.report.epoch}{corrected}",
            "trials": str(best.trials["total"]),
            "report": str(self.report),
        }


def _rank(trial: TrialHistory) -> tuple[bool, float]:
    if trial.best is None or trial.status == TrialStatus.FAILED:
        return False, -math.inf
    return True, score_of(trial.best)


def _row(trial: TrialHistory) -> dict[str, Any]:
    best = trial.best
    return {
        "trial_id": trial.trial_id,
        "state": str(trial.status),
        "val_macro_f1": float("nan") if best is None else best.val_macro_f1,
        "best_epoch": None if best is None else best.epoch,
        "epochs": len(trial.reports),
        "seconds": sum(report.seconds for report in trial.reports),
        "reason": trial.reason,
        **asdict(trial.config),
    }


@dataclass(frozen=True)
class Retrained:
    """What a re-training left."""

    folder: Path
    """`retrained` in the folder of the run."""
    record: RetrainedModel | None
    """The pick and its score; None with `no_final=True`."""
    ranking: Sequence[Ranked]
    """The candidates, best first."""

    @property
    def score(self) -> Interval:
        """Macro-F1 on the test people, whom nothing had seen, with its 95% interval.

        Raises:
            UserError: With `no_final=True` nothing was scored.
        """
        if self.record is None:
            raise UserError("no_final=True only ranks, so there is no score: call retrain without it")
        return Interval.from_json(self.record.test["macro_f1"])

    @cached_property
    def model(self) -> Model:
        """The model that was scored."""
        return load(self.folder)

    @cached_property
    def everyone(self) -> Model:
        """The model of all people, which `final_on="all"` leaves.

        Raises:
            UserError: There is none.
        """
        return load(self.folder / "everyone")

    @property
    def report(self) -> Path:
        """The page about the run."""
        return RunFolder(self.folder.parent).report_html

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self._rows().items())

    def _repr_html_(self) -> str:
        return as_html(self._rows())

    def _rows(self) -> dict[str, str]:
        ranked = ", ".join(f"{each.candidate.name} {each.mean:.4f}" for each in self.ranking)
        rows = {"ranking": ranked, "folder": str(self.folder)}
        if self.record is None:
            return rows
        pick = f"{self.record.pick_in_words}, {self.record.epochs} epochs"
        return {"pick": pick, "test macro-F1": str(self.score), "verdict": self.record.verdict, **rows}


@dataclass(frozen=True)
class Evaluated:
    """Scores of models on labelled pictures."""

    folder: Path
    """Of the report, `report.md`."""
    evaluation: Evaluation
    """All of it: scores by class and attribute, mistakes, the answers themselves."""

    @property
    def macro_f1(self) -> Interval:
        """With its 95% interval over people."""
        return self.evaluation.scores.macro_f1

    @property
    def accuracy(self) -> Interval:
        """Likewise."""
        return self.evaluation.scores.accuracy

    def __repr__(self) -> str:
        return f"macro-F1 {self.macro_f1}, accuracy {self.accuracy}; report: {self.folder / 'report.md'}"


def _interval(values: dict[str, Any]) -> str:
    return str(Interval.from_json(values))
