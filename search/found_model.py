"""What a search leaves to answer with: the folder `model` of its run, picked by validation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from results.records.record import BestTrial, SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from search.terminal import say_if_it_fails, warn
from trainables.atomic import TORN, torn_name
from trainables.checkpoints import BEST
from trainables.report import TrialStatus
from trainables.saved.save_found import begin_saving, end_saving


@contextmanager
def leaving_model(
    run: SearchRun, folder: RunFolder, best: BestTrial | None, trials: Sequence[TrialHistory], console: Console
) -> Iterator[None]:
    """Saves the best trial whose weights are there as a model that predict, evaluate and export_onnx take.

    It is saved in a process of its own while the inside runs. The folder is then replaced as a whole, so nothing lies
    in it that was made from another model. What fails becomes a warning.
    """
    model = None if best is None else pick(folder, trials)
    if best is None or model is None:
        yield
        if best is not None:
            warn(console, "no trial's weights were kept, so there is no model: --keep says how many are")
        return
    assert model.best is not None
    record = {
        "run": run.name,
        "picked_by": "validation",
        "trial_id": model.trial_id,
        "epoch": model.best.epoch,
        "val_macro_f1": model.best.val_macro_f1,
        "config": asdict(model.config),
        "split_hash": best.split_hash,
        "versions": best.versions,
    }
    for torn in folder.path.glob(f"{folder.model.name}{TORN}"):  # of a process that was killed while it wrote
        shutil.rmtree(torn, ignore_errors=True)
    draft, saving = torn_name(folder.model), None
    failed = f"the model {folder.model} could not be written"
    with say_if_it_fails(console, failed):
        saving = begin_saving(draft, folder.checkpoints / model.trial_id, model.config, run.task, record)
    try:
        yield
        if saving is not None:
            with say_if_it_fails(console, failed):
                end_saving(saving)
                _put_in_place(draft, folder)
    finally:
        if saving is not None and saving.poll() is None:
            saving.kill()
            saving.wait()
        shutil.rmtree(draft, ignore_errors=True)


def pick(folder: RunFolder, trials: Sequence[TrialHistory]) -> TrialHistory | None:
    """The best trial whose weights are there, by its best epoch; None if there is none."""
    there = [(score, trial) for trial in trials if (score := _score(trial)) is not None and _has_weights(folder, trial)]
    return max(there, key=lambda pair: pair[0])[1] if there else None


def _score(trial: TrialHistory) -> float | None:
    """By which it is picked; None for one that failed or has no score."""
    return None if trial.status == TrialStatus.FAILED or trial.best is None else trial.best.val_macro_f1


def _has_weights(folder: RunFolder, trial: TrialHistory) -> bool:
    return (folder.checkpoints / trial.trial_id / BEST).is_file()


def _put_in_place(draft: Path, folder: RunFolder) -> None:
    shutil.copyfile(folder.split_csv, RunFolder(draft).split_csv)  # which pictures it has seen
    shutil.rmtree(folder.model, ignore_errors=True)
    draft.rename(folder.model)
