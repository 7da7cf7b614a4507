"""How long trials are, and how many there are, where that was left open: by the pictures, and by the time there is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from search.engine.rungs import default_grace_period
from search.machine.forecast import share_of_pace
from search.study import SettledStudy
from trainables.data.whole_batches import num_batches

FULL_STEPS = 3000
"""Training steps that a full length has: about where the longest measured trainings ended, whose second half still
gained .019 macro-F1 (two sets, n = 5; docs/recipe.md)."""
LEAST_EPOCHS, MOST_EPOCHS = 9, 30
"""Epochs of a full length: a network sees a picture so often at least, whatever their number, and at most."""
MOST_IN_A_BUDGET = 60
"""The same where time is what there is: a small set is then trained for longer."""
MOST_STEPS_IN_A_BUDGET = 30_000
"""Steps of a length at most, where time is what there is: a large set in a long budget is trained for longer, too, as
its default alone would be. Nothing near it was measured."""
LENGTH_OF_MANY = 3.2
"""Times the root of the epochs that a budget has room for: about the length at which networks that answer together gain
most, between one long training and many short ones (docs/recipe.md)."""
LEAST_TOGETHER = 15
"""Epochs that each of them shall come to at least, one after another on the same cores."""
EPOCHS_BESIDE = 20
"""Epochs that a trial shall come to in a budget, before another is trained beside it: with fewer, two that answer
together were not better than one that has seen more, though side by side they make 1.4 times its epochs
(docs/recipe.md)."""
MORE_THAN_FIT = 3
"""Times as many trials as are expected to fit into a budget: the estimate may be too slow, and none begins too late."""
FIRST_LOOK = 1 / 3
"""Of the full length, before a trial may be stopped. Of configurations that are all fit to win, the ranks after less
say nothing, or the reverse of the ranks at the end (docs/recipe.md)."""
WORTH_A_NEW_ONE = 1 / 2
"""Of the full length: with less time than that, a trial that has come to its length goes on until the time is over, as
its schedule has no end, and makes no room for another, which would come to too little (docs/recipe.md)."""
SPARE_EPOCHS = 2
"""That must be left beside those of a training that is just long enough: for its start, and for slower epochs."""
LONG_TOGETHER = 10
"""Epochs that two trainings of one configuration must have come to each, to answer as one: two of ten were better
together than either (docs/score.md)."""
NEARLY_WHOLE = 2 / 3
"""Of the full length: the same where that is less."""
PATIENCE = 8
"""Epochs without a higher score after which a trial makes room for another, where one fits: of 34 trainings of 20 to
123 epochs 16 would have ended so, which loses .008 on validation in the mean, where a second network gains .02 and more
(docs/recipe.md)."""
PATIENCE_STEPS = 300
"""That these have at least: 8 epochs of the smallest set that was measured. Epochs of a smaller one are a few steps."""
MOST_LENGTHS = 2
"""Lengths as planned that a trial which goes on may come to, even if that is more than a trial has at most."""
ANY_NUMBER = 10**9
"""Of trials."""
LEAST_OF_A_TRIAL = 20.0
"""Seconds: of a time budget in which nobody knows how long an epoch takes, there are no more trials than of such."""
LEAST_SECONDS = 1e-3
"""Of an epoch."""
SETTLED_BY_LENGTHS = ("epochs", "trials", "grace_period", "concurrency", "cpus_per_trial")
"""Flags to which `suit_lengths` may give another value."""
FIRST_STEP_SECONDS = 8.0
"""From the settling of the lengths to the first step: the imports of the workers."""


def suit_lengths(
    study: SettledStudy,
    *,
    train_pictures: int,
    epoch_seconds: Mapping[str, float] | None = None,
    default: str = "",
    seconds_left: float = math.inf,
    most_trials: int | None = None,
) -> SettledStudy:
    """Fills in epochs, trials and the first look at them, where they were left open.

    The default configuration comes first and is never stopped early, so its length decides what a search promises: not
    to be worse than that configuration, trained alone for the same time. In a time budget the length is the one at
    which several networks together are worth most, or, for score and cost, the one that every network has once. There
    are more trials than fit even if all were stopped at the first look, so that the time is what ends it; how much
    longer a trial is trained, `PacedLength` decides while it runs. A budget that is too short for several at a time
    gives all cores to one after another. Where nobody knows how long an epoch takes, as on a cluster of a new kind, the
    length is what the pictures ask for, and the time ends the search all the same. How many epochs a place has room for
    is noted, too: what is tried in the first round of whole lengths can be trained again in the last.

    Args:
        study: Settled, but for that.
        train_pictures: Pictures that an epoch trains on.
        epoch_seconds: Seconds of an epoch of each backbone; None where that cannot be known.
        default: The backbone of the default configuration, by which lengths are measured; of those in between where it
            is none of them.
        seconds_left: Of the time budget, to its last epoch; infinite without one.
        most_trials: Configurations that the space has, if they are so few that all can be tried.
    """
    room = max(0.0, seconds_left - FIRST_STEP_SECONDS)
    seconds = epoch_seconds if math.isfinite(seconds_left) and epoch_seconds else None
    if seconds is None:
        found = _settled(study, _full_length(study, train_pictures))
        if not (study.trials_open and math.isfinite(seconds_left)):
            return found
        fitting = max(study.trials, study.concurrency * math.ceil(room / LEAST_OF_A_TRIAL))
        return _with_open_trials(found, fitting, most_trials)
    mean = sum(seconds.values()) / len(seconds)
    room_epochs = study.concurrency * room / seconds.get(default, mean)
    count = (most_trials or ANY_NUMBER) if study.trials_open else study.trials
    found = study.with_fewer_at_a_time(max(1, min(_at_a_time(study, int(room_epochs / EPOCHS_BESIDE)), count)))
    pace = share_of_pace(study.concurrency, found.concurrency)
    room_epochs *= pace
    in_a_slot = room_epochs / found.concurrency
    rounds = min(_rounds_together(in_a_slot, found.concurrency), math.ceil(count / found.concurrency))
    length = int(in_a_slot / rounds)
    if study.cost.second is not None:  # a front wants every network once
        one_each = int(study.concurrency * pace * room / sum(seconds.values()))
        length = min(round(LENGTH_OF_MANY * math.sqrt(room_epochs)), one_each)
    most = _longest_in_a_budget(study, train_pictures)
    found = _settled(found, max(LEAST_EPOCHS, min(most, length)))
    found = replace(found, epochs_that_fit=in_a_slot)
    if not study.trials_open:
        return found
    shortest = min(found.grace_period, long_together(found.epochs)) * min(seconds.values())
    fitting = MORE_THAN_FIT * max(study.concurrency, math.ceil(study.concurrency * room / shortest))
    return _with_open_trials(found, fitting, most_trials)


def _at_a_time(study: SettledStudy, most: int) -> int:
    """So many trials, or the next fewer of which each has more cores: with three on four cores, none would."""
    while 1 < most < study.concurrency and study.cores // most <= study.cpus_per_trial:
        most -= 1
    return most


def _with_open_trials(study: SettledStudy, trials: int, most: int | None) -> SettledStudy:
    trials = max(1, min(trials, most or trials))
    return replace(study, trials=trials, trials_open=True, options={**study.options, "trials": trials})


@dataclass
class PacedLength:
    """The full length of a search's trials, which grows where epochs take less time than was expected."""

    planned: int
    """Epochs, by what was expected."""
    slots: int
    """Trials at a time."""
    most: int
    """Epochs that a trial comes to at most, however fast."""
    patience: int = PATIENCE
    """Epochs without a better one after which it makes room for another."""
    grown: dict[str, int] = field(default_factory=dict)
    """Epochs of each backbone's trials now, where these are more. They never become less: of the last round, too, a
    training shall be as long as the one that it repeats."""

    @property
    def end(self) -> int:
        """Epochs after which no trial goes on."""
        return max(MOST_LENGTHS * self.planned, self.most)

    def goes_on(self, backbone: str, epoch: int, an_epoch: float, seconds_left: float) -> bool:
        """Whether a trial that has come to the planned length had better go on than make room for another.

        It is asked after every epoch from then on, and goes on until it has the length that the time from its
        beginning to the end of the budget has room for by what an epoch really takes, if another of that length fits
        behind it; and where another would come to too little, since the time ends the one, and the other would have
        that much less.

        Args:
            backbone: Of the trial.
            epoch: It has come to.
            an_epoch: Seconds that its latest ones took, in the median.
            seconds_left: Of the time budget.
        """
        if epoch >= self.end:
            return False
        epochs_left = epochs_in(seconds_left, an_epoch)
        in_a_slot = epoch + epochs_left
        if (rounds := _rounds_together(in_a_slot, self.slots)) > 1:
            self.grown[backbone] = max(self.epochs(backbone), min(self.most, int(in_a_slot / rounds)))
        length = self.epochs(backbone)
        too_little = max(WORTH_A_NEW_ONE * length, self._least_left)
        return epoch < length or epochs_left < too_little

    def is_past_its_best(self, epoch: int, highest_epoch: int, an_epoch: float, seconds_left: float) -> bool:
        """Whether a trial had better make room before its length: long no better, and another fits behind it.

        Args:
            epoch: It has come to.
            highest_epoch: Of its highest score so far.
            an_epoch: As in `goes_on`.
            seconds_left: As in `goes_on`.
        """
        is_long = epoch >= long_together(self.planned)
        return (
            is_long and epoch - highest_epoch >= self.patience and epochs_in(seconds_left, an_epoch) >= self._least_left
        )

    @property
    def _least_left(self) -> float:
        """Epochs that must be left for another training to be just long enough."""
        return long_together(self.planned) + SPARE_EPOCHS

    def epochs(self, backbone: str) -> int:
        """The length of a trial of this backbone as it is now."""
        return self.grown.get(backbone, self.planned)


def paced_length(study: SettledStudy, train_pictures: int) -> PacedLength:
    """The length of the trials of a settled search in which they may go on.

    Where score and cost count, it does not grow: every network shall have its turn.
    """
    most = study.epochs
    if study.cost.second is None:
        most = max(most, _longest_in_a_budget(study, train_pictures))
    patience = max(PATIENCE, math.ceil(PATIENCE_STEPS / _steps(study, train_pictures)))
    return PacedLength(study.epochs, study.concurrency, most, patience)


def epochs_in(seconds: float, an_epoch: float) -> float:
    """Epochs of so many seconds that others have room for."""
    return seconds / max(an_epoch, LEAST_SECONDS)


def long_together(length: int) -> float:
    """Epochs that two trainings of one configuration must have come to, to answer as one, where so many are whole."""
    return min(LONG_TOGETHER, NEARLY_WHOLE * length)


def _rounds_together(in_a_slot: float, slots: int) -> int:
    """How many whole networks, one after another in each slot, are best in the epochs that a slot has room for."""
    rounds = round(math.sqrt(in_a_slot / slots) / LENGTH_OF_MANY)  # of LENGTH_OF_MANY x sqrt(slots x in_a_slot) each
    return max(1, min(rounds, int(in_a_slot / LEAST_TOGETHER)))


def _full_length(study: SettledStudy, train_pictures: int) -> int:
    """Epochs that the pictures ask for, by the steps of one."""
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, round(FULL_STEPS / _steps(study, train_pictures))))


def _longest_in_a_budget(study: SettledStudy, train_pictures: int) -> int:
    """Epochs that a trial has at most, where time is what there is."""
    return min(MOST_IN_A_BUDGET, max(LEAST_EPOCHS, round(MOST_STEPS_IN_A_BUDGET / _steps(study, train_pictures))))


def _steps(study: SettledStudy, train_pictures: int) -> int:
    return max(1, num_batches(train_pictures, study.batch_size))


def _settled(study: SettledStudy, epochs: int) -> SettledStudy:
    """The study with this length, if it was left open, and the first look at it."""
    epochs = epochs if study.epochs_open else study.epochs
    grace = study.grace_period
    if study.grace_open:
        grace = max(1, round(FIRST_LOOK * epochs)) if study.epochs_open else default_grace_period(epochs)
    options = {**study.options, "epochs": epochs, "grace_period": grace}
    return replace(study, epochs=epochs, trials_open=False, grace_period=grace, options=options)
