"""What the page of a run finds out beyond the logs: which knobs matter, and which pictures the best trial gets wrong.

Letters: `N` pictures of the validation side, `C` classes.
"""

from __future__ import annotations

import math
import threading
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from results.records.run_folder import RunFolder
from search.service.run_view import RunView
from trainables.data.rows import SplitRow, read_split
from trainables.errors import UserError
from trainables.saved.model_description import DESCRIPTION
from trainables.strict_json import RecordError, load_object

FEWEST_FOR_IMPORTANCE = 8
"""With fewer scored trials than this a forest finds importance in noise."""
TREES, DEPTH = 32, 6
"""Of the forest: Optuna's default of fully grown trees takes a minute with 1,000 trials, and ranks no differently."""
MISTAKES_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A picture of the validation side that the best trial got wrong."""

    place: int
    """Of the picture in the validation side."""
    path: str
    """The picture."""
    truth: str
    answer: str
    share: float
    """Probability that it gave its answer."""
    truth_share: float
    """Probability that it gave the truth."""


class Importances:
    """Which knobs matter, per run: found out again only once a tenth more trials have ended."""

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[int, list[tuple[str, float]]]] = {}

    def of(self, view: RunView) -> list[tuple[str, float]]:
        """Knobs and the shares of the differences in score that they explain, the largest first.

        Empty where it cannot be told: few trials, no study, nothing that varies.
        """
        name = (view.summary.name, view.run.started)  # another run may get the name of one that was deleted
        with self._lock:
            before = self._known.get(name)
            if before is None or not before[0] <= view.summary.done < max(before[0] + 1, 1.1 * before[0]):
                found = _importance(view.folder.study_journal)
                self._known = {**dict(list(self._known.items())[-20:]), name: (view.summary.done, found)}
            return self._known[name][1]


def mistakes(view: RunView) -> list[Mistake]:
    """The pictures that the best trial, in its best epoch, got wrong with the least belief in the truth."""
    winner, classes = view.winner, view.run.task.classes
    side = validation_side(view.folder)
    if winner is None or not side:
        return []
    try:
        with np.load(view.folder.answers_npz(winner.trial_id)) as kept:
            shares, epoch = kept["probabilities"].astype(np.float64), int(kept["best_epoch"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return []
    index = {name: place for place, name in enumerate(classes)}
    fits = shares.shape == (len(side), len(classes)) and epoch == winner.best_epoch
    if not fits or not all(row.label in index for row in side):
        return []
    labels = np.array([index[row.label] for row in side])
    answers, everyone = shares.argmax(axis=1), np.arange(len(side))
    truth_shares = shares[everyone, labels]
    wrong = [place for place in np.argsort(truth_shares, kind="stable") if answers[place] != labels[place]]
    return [
        Mistake(
            place=int(place),
            path=side[place].path,
            truth=classes[labels[place]],
            answer=classes[answers[place]],
            share=float(shares[place, answers[place]]),
            truth_share=float(truth_shares[place]),
        )
        for place in wrong[:MISTAKES_SHOWN]
    ]


def validation_side(folder: RunFolder) -> list[SplitRow]:
    """The pictures of a run's validation side; none where its split cannot be read."""
    with suppress(UserError, OSError, UnicodeError):
        return [row for row in read_split(folder.split_csv) if row.split == "val"]
    return []


def retraining(folder: RunFolder) -> Mapping[str, Any]:
    """What a re-training wrote of itself; empty where there was none, or it cannot be read."""
    with suppress(RecordError, OSError, KeyError):
        record = load_object(folder.retrained.path / DESCRIPTION)["record"]
        return record if isinstance(record, dict) else {}
    return {}


def _importance(journal: Path) -> list[tuple[str, float]]:
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # that a study was read or made is no news
    try:
        return _fanova(journal)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _fanova(journal: Path) -> list[tuple[str, float]]:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage
    from optuna.trial import TrialState, create_trial

    if not journal.is_file():
        return []
    scored = []
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        trials = optuna.load_study(study_name=None, storage=storage).get_trials(deepcopy=False)
    except (OSError, ValueError, KeyError, TypeError, AssertionError):  # a file that Optuna did not write, or not yet
        return []
    for trial in trials:
        values = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
        if values and trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            scored.append(create_trial(params=trial.params, distributions=trial.distributions, value=max(values)))
    if len(scored) < FEWEST_FOR_IMPORTANCE or len({trial.value for trial in scored}) == 1:
        return []
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction="maximize")
    study.add_trials(scored)
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=0)
    try:
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):
        return []
    return [(name, float(share)) for name, share in found.items()]
