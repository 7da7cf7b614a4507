"""What trials answered on validation, as their workers kept it (`trainables.training.answers`).

Letters: `N` pictures of the side, `C` classes, `E` epochs.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from trainables.data.rows import read_split
from trainables.report import TrialStatus


@dataclass(frozen=True)
class TrialAnswers:
    """One trial's answers, in the order of the side."""

    trial: TrialHistory
    """Whose they are."""
    chosen: np.ndarray
    """`(E, N)` class indices, a row an epoch from the first, of the smallest unsigned integers that hold them."""
    path: Path
    """Their file."""

    @cached_property
    def probabilities(self) -> np.ndarray:
        """`(N, C) float32` of its best epoch, read when it is asked for: those of all trials may be gigabytes."""
        with np.load(self.path) as kept:
            probabilities: np.ndarray = kept["probabilities"].astype(np.float32)
        return probabilities


@dataclass(frozen=True)
class ValidationAnswers:
    """The validation side and what the trials of a run answered on it."""

    labels: np.ndarray
    """`(N,) int64`, true class indices."""
    groups: np.ndarray
    """`(N,) str`, the person of each picture."""
    prior: np.ndarray
    """`(C,) float64`, share of each class in the pictures that the trials trained on; one that has none counts as one
    picture."""
    trials: tuple[TrialAnswers, ...]
    """Trials that did not fail and have a score, in the order of their ids; those of before answers were kept lack."""


def load_answers(
    folder: RunFolder, trials: Sequence[TrialHistory], classes: Sequence[str], split: Path | None = None
) -> ValidationAnswers:
    """Reads the answers of a run; a trial whose file is missing or does not fit its logs is left out.

    Args:
        folder: Of the run.
        trials: Its trials.
        classes: Names of the classes, in order.
        split: Its split; by default that in the folder.

    Raises:
        UserError: The split is none.
        OSError: It cannot be read.
    """
    index = {name: place for place, name in enumerate(classes)}
    rows = read_split(split or folder.split_csv)
    side = [row for row in rows if row.split == "val"]
    counts = np.bincount([index[row.label] for row in rows if row.split == "train"], minlength=len(classes))
    counts = np.maximum(counts, 1).astype(np.float64)
    found = (_load(folder.answers_npz(trial.trial_id), trial, (len(side), len(classes))) for trial in trials)
    return ValidationAnswers(
        labels=np.array([index[row.label] for row in side], dtype=np.int64),
        groups=np.array([row.group for row in side], dtype=str),
        prior=counts / counts.sum(),
        trials=tuple(answers for answers in found if answers is not None),
    )


def _load(path: Path, trial: TrialHistory, shape: tuple[int, int]) -> TrialAnswers | None:
    if trial.status == TrialStatus.FAILED or trial.best is None:
        return None
    try:
        with np.load(path) as kept:
            answered, chosen, epoch = _shape(path, "probabilities"), kept["chosen"], int(kept["best_epoch"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    if answered != shape or epoch != trial.best.epoch or chosen.shape[1:] != shape[:1]:
        return None
    return TrialAnswers(trial, chosen[: trial.reports[-1].epoch], path)


def _shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of an array by its header alone: the rest may take seconds to decompress."""
    with zipfile.ZipFile(path) as arrays, arrays.open(f"{name}.npy") as member:
        np.lib.format.read_magic(member)
        shape: tuple[int, ...] = np.lib.format.read_array_header_1_0(member)[0]
    return shape
