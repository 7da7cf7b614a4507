"""How long trials are, and how many there are, where that was left open: by the pictures, and by the time there is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from search.engine.rungs import default_grace_period
from search.machine.forecast import END_SECONDS
from search.study import SettledStudy
from trainables.data.whole_batches import num_batches

FULL_STEPS = 3000
"""Training steps that a full length has: about where the longest measured trainings ended, whose second half still
gained .019 macro-F1 (two sets, n = 5; docs/recipe.md)."""
LEAST_EPOCHS, MOST_EPOCHS = 9, 30
"""Epochs of a full length: a network sees a picture so often at least, whatever their number, and at most."""
MOST_IN_A_BUDGET = 60
"""The same where time is what there is: a small set is then trained for longer."""
FIRST_STEP_SECONDS = 8.0
"""From the settling of the lengths to the first step: the imports of the workers."""


def suit_lengths(
    study: SettledStudy,
    *,
    train_pictures: int,
    epoch_seconds: Mapping[str, float] | None = None,
    seconds_left: float = math.inf,
    most_trials: int | None = None,
) -> SettledStudy:
    """Fills in epochs and trials where they were left open.

    The default configuration comes first and is never stopped early, so its length decides what a search promises: not
    to be worse than that configuration, trained alone for the same time. In a time budget that is shorter than a full
    length it is trained until the end, as the learning rate does not ask when that is; in a longer one the rest is for
    the others, of which as many are allowed as would fit if ASHA stopped them all at its first look.

    Args:
        study: Settled, but for that.
        train_pictures: Pictures that an epoch trains on.
        epoch_seconds: Seconds of an epoch of each backbone; None where that cannot be known.
        seconds_left: Of the time budget; infinite without one.
        most_trials: Configurations that the space has, if they are so few that all can be tried.
    """
    steps = max(1, num_batches(train_pictures, study.batch_size))
    room = max(0.0, seconds_left - FIRST_STEP_SECONDS - END_SECONDS)
    seconds = epoch_seconds if math.isfinite(seconds_left) and epoch_seconds else None
    epochs, trials = study.epochs, study.trials
    if study.epochs_open:
        most = MOST_IN_A_BUDGET if math.isfinite(seconds_left) else MOST_EPOCHS
        epochs = min(most, max(LEAST_EPOCHS, round(FULL_STEPS / steps)))
    grace = default_grace_period(epochs) if study.grace_open else study.grace_period
    if study.trials_open and seconds is not None:
        shortest = grace * sum(seconds.values()) / len(seconds)
        fitting = max(study.concurrency, math.ceil(study.concurrency * room / shortest))
        trials = min(fitting, most_trials or fitting)
    options = {**study.options, "epochs": epochs, "trials": trials}
    by_time = study.trials_open and seconds is not None
    return replace(study, epochs=epochs, trials=trials, trials_open=by_time, grace_period=grace, options=options)
