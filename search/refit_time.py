"""How much of a search's time its model has at the end, to learn from the validation pictures (`search.refit`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from results.records.found import Found
from results.records.record import SearchRun
from results.records.trials import TrialHistory
from search.flags import budget_seconds
from search.lengths import LEAST_TOGETHER
from search.study import SettledStudy
from trainables.data.whole_batches import num_batches

SHARE = 0.3
"""Of a time budget that has room for one network alone, and of any at most: four or five epochs in the five minutes in
which a network has a dozen before."""
EPOCHS_EACH = 2
"""Of each network where there is room for more than one: most of what is gained, further networks gain the rest."""
STEPS_EACH = 100
"""That these have at least: two epochs of the sets that were measured have 110 and more, of a small set a dozen."""
LONGEST = 1 / 2
"""Of the epochs that a network was trained for before: with more, none says that it has gone on for too long."""
LEAST_SECONDS = 5.0
"""With less nothing would come of it."""
FEWEST_EPOCHS = 6
"""That a budget must be expected to have room for: behind four epochs nothing was gained, behind eight .014."""
BEGINS_AFTER = 15.0
"""Seconds from the last epoch of a search of several trials at a time to the first step of this: 15 to 18 on two cores,
eight of them for new processes."""
NEXT_ROW = 3.0
"""Seconds from one training to the next in the same process."""


def seconds_kept_back(study: SettledStudy, seconds_left: float, longer: float, each: int = EPOCHS_EACH) -> float:
    """Seconds of a time budget that the trials leave for it; 0 where nothing is to come of it.

    Args:
        study: Settled, with trials for all of the time.
        seconds_left: Of the time budget.
        longer: An epoch with them, over one without.
        each: Epochs of each network, of several.
    """
    if not (_is_wanted(study) and study.goes_on) or study.epochs_that_fit < FEWEST_EPOCHS:
        return 0.0
    if study.networks_that_fit == 1:
        return _at_most_a_share(seconds_left, seconds_left)
    members = 1 if study.single else min(study.keep, study.networks_that_fit)
    an_epoch = longer * seconds_left / study.epochs_that_fit
    return _at_most_a_share(_seconds_of_several(members, each * an_epoch, study), seconds_left)


def epochs_each(run: SearchRun, epochs: float) -> int:
    """Epochs that each of several networks is trained on for, which were trained for so many before."""
    sides: Mapping[str, Mapping[str, int]] = run.data["sides"]
    pictures = sides["train"]["pictures"] + sides["val"]["pictures"]
    wanted = max(EPOCHS_EACH, math.ceil(STEPS_EACH / max(1, num_batches(pictures, run.task.batch_size))))
    return min(wanted, most_epochs(epochs))


def refits_without_budget(study: SettledStudy) -> bool:
    """Whether a search that no time budget ends trains its model on: where nobody has said how long it shall be.

    Args:
        study: Settled, before what was left open is filled in.
    """
    return may_refit(study) and math.isinf(study.time_budget_seconds)


def may_refit(study: SettledStudy) -> bool:
    """Whether a search may train its model on: one of open length.

    Args:
        study: Settled, before what was left open is filled in.
    """
    return _is_wanted(study) and study.trials_open and study.epochs_open


def epochs_without_budget(run: SearchRun, study: SettledStudy) -> float:
    """Epochs without validation pictures that take as long as those with them in a place for a trial, at most."""
    if not run.refits or run.trials_open or not study.refit:
        return 0.0
    members = 1 if study.single else min(study.keep, run.trials_asked)
    return math.ceil(members / study.concurrency) * epochs_each(run, run.task.epochs) * longer_with_validation(run)


def _is_wanted(study: SettledStudy) -> bool:
    return study.refit and bool(study.keep) and study.cost.second is None  # of a front no one trial is the model yet


def is_worth_it(before: SettledStudy, after: SettledStudy) -> bool:
    """Whether what is left for trials when it was kept back is still as good for them as all of the time.

    A second network is worth more (.025), and so are epochs of networks that have few.

    Args:
        before: Settled, with trials for all of the time.
        after: The same for the time that is left.
    """
    if before.networks_that_fit == 1:
        return True
    enough = after.epochs_that_fit >= min(LEAST_TOGETHER, before.epochs_that_fit)
    return enough and after.networks_that_fit > 1


def seconds_kept_back_again(
    run: SearchRun, study: SettledStudy, seconds_left: float, earlier: Found | None, trials: Sequence[TrialHistory]
) -> float:
    """The same for a search that goes on: what those need that answered, or may answer as things are.

    Args:
        run: The search.
        study: Settled.
        seconds_left: Of its time budget.
        earlier: What its last end found; None where there was none.
        trials: Those of before.
    """
    wants = run.refits or (earlier is not None and bool(earlier.refit_epochs))
    if not (wants and study.refit and study.keep and study.fills_its_budget):
        return 0.0
    names = {trial.trial_id for trial in trials[: study.keep]} if earlier is None else names_of(earlier)
    members = [trial for trial in trials if trial.trial_id in names and trial.reports]
    if study.single:
        members = members[:1]
    if earlier is None and len(members) < 2:  # it was killed early: much as if it began now
        planned = min(seconds_left, budget_seconds(run.options.get("time_budget")))
        an_epoch = longer_with_validation(run) * planned / run.task.epochs
        if members:
            an_epoch = seconds_of_epoch(members[0], run)
        many = 1 if study.single else min(study.keep, study.concurrency)
        if many == 1:
            return _at_most_a_share(LONGEST * run.task.epochs * an_epoch, seconds_left)
        each = epochs_each(run, run.task.epochs) * an_epoch
        return _at_most_a_share(_seconds_of_several(many, each, study), seconds_left)
    if not members:
        return 0.0
    an_epoch = max(seconds_of_epoch(trial, run) for trial in members)
    if len(members) == 1:
        return _at_most_a_share(most_epochs(len(members[0].reports)) * an_epoch, seconds_left)
    longest = epochs_each(run, max(len(member.reports) for member in members))
    return _at_most_a_share(_seconds_of_several(len(members), longest * an_epoch, study), seconds_left)


def longer_with_validation(run: SearchRun) -> float:
    """How many times as many pictures an epoch has with those of validation."""
    sides: Mapping[str, Mapping[str, int]] = run.data["sides"]
    return 1 + sides["val"]["pictures"] / sides["train"]["pictures"]


def seconds_of_epoch(trial: TrialHistory, run: SearchRun) -> float:
    """What an epoch takes with the validation pictures, by those that the trial had without."""
    pictures = run.data["sides"]["train"]["pictures"]
    return longer_with_validation(run) * median(report.whole_seconds(pictures) for report in trial.reports)


def _seconds_of_several(members: int, each: float, study: SettledStudy) -> float:
    """What it takes to train them all on, as many at a time as trials, for so many seconds each."""
    rows = math.ceil(members / study.concurrency)
    return BEGINS_AFTER + (rows - 1) * NEXT_ROW + rows * each


def _at_most_a_share(seconds: float, seconds_left: float) -> float:
    seconds = min(seconds, SHARE * seconds_left)
    return seconds if seconds >= LEAST_SECONDS else 0.0


def most_epochs(epochs: float) -> int:
    """That a network is trained on for which was trained for so many before."""
    return max(1, round(LONGEST * epochs))


def names_of(found: Found) -> set[str]:
    """The trials that answer."""
    return {member["trial_id"] for member in found.members}
