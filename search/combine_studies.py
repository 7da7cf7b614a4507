"""Puts the Optuna studies of several runs into one file, so that one dashboard shows and compares them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage

from results.records.run_folder import RunFolder
from search.engine.study_journal import OBJECTIVE, UnsyncedJournal
from trainables.atomic import replacing
from trainables.errors import UserError

COMBINED = "studies.journal"
"""The file, in the folder of the runs."""


def combine_studies(storage: Path, names: Sequence[str]) -> tuple[Path, dict[str, int], dict[str, str]]:
    """Writes the studies of runs into `studies.journal`, whole or not at all; a study has the name of its run.

    It is a copy of the moment: runs that go on are in it as far as they were.

    Args:
        storage: Folder of the runs.
        names: Of the runs.

    Returns:
        The file; how many trials each run has in it; and why runs were left out, by name.

    Raises:
        UserError: None of them has a study.
        OSError: It cannot be written.
    """
    studies: dict[str, optuna.Study] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            studies[name] = _study_in(RunFolder(storage / name).study_journal)
        except UserError as error:
            left_out[name] = str(error)
    if not studies:
        raise UserError("no study to show: " + ("; ".join(left_out.values()) or f"there is no run in {storage}"))
    path, counts = storage / COMBINED, {}
    with replacing(path) as temporary:
        temporary.touch()
        combined = JournalStorage(UnsyncedJournal(temporary))
        for name, study in studies.items():
            study_id = combined.create_new_study(study.directions, name)
            with warnings.catch_warnings():  # that its interface may change is for us to know
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna.load_study(study_name=name, storage=combined).set_metric_names(_objectives(study))
            trials = study.get_trials(deepcopy=False)
            for trial in trials:
                combined.create_new_trial(study_id, trial)
            counts[name] = len(trials)
    return path, counts, left_out


def _objectives(study: optuna.Study) -> list[str]:
    """What a study is about, by name; those of before had none."""
    return study.metric_names or [OBJECTIVE]


def _study_in(path: Path) -> optuna.Study:
    """The one study of a file that a search may still be writing: it is neither locked nor changed.

    Raises:
        UserError: There is none, or another program wrote the file.
    """
    if not path.is_file():
        raise UserError(f"{path} is not there; a resume of the run writes it")
    try:
        return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(path))))
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} cannot be read ({reason}); a resume of the run writes it anew") from error
