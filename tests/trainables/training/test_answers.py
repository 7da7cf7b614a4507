"""A trial keeps what it answered, and goes on with it where it was interrupted."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ray import tune

from trainables.classifier import train_trial
from trainables.config import TaskConfig, TrialConfig
from trainables.data.rows import read_split
from trainables.training.answers import AnswerKeeper
from trainables.training.metrics import NOT_VALIDATED

CONFIG = {**asdict(TrialConfig(backbone="test_resnet", dropout=0.0, lr=3e-3)), "trial_id": "00000"}


def test_the_answers_of_the_best_epoch_are_kept_whether_or_not_it_was_interrupted(
    task: TaskConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(task, answers_dir=str(tmp_path / "answers"))
    reports: list[dict[str, Any]] = []

    def dies_after_two(report: dict[str, Any]) -> None:
        reports.append(report)
        if report["training_iteration"] == 3 and len(reports) == 3:
            raise SystemExit  # as Ray ends a thread, before the epoch counts

    monkeypatch.setattr(tune, "report", dies_after_two)
    with pytest.raises(SystemExit):
        train_trial(CONFIG, task)
    cut = dict(np.load(tmp_path / "answers" / "00000.npz"))
    train_trial(CONFIG, task)
    assert len(reports) > 3
    last = reports[-1]
    kept = dict(np.load(tmp_path / "answers" / "00000.npz"))
    assert [each.name for each in (tmp_path / "answers").iterdir()] == ["00000.npz"]
    assert kept["best_epoch"] == last["best_epoch"]
    labels = [task.classes.index(row.label) for row in read_split(task.split_path) if row.split == "val"]
    assert kept["probabilities"].shape == (len(labels), 3)
    assert kept["probabilities"].dtype == np.float16
    assert kept["chosen"].shape == (3, len(labels))
    right = (kept["chosen"][-1] == labels).mean()
    assert right == pytest.approx(last["val_accuracy"])
    for name, values in kept.items():
        assert (values == cut[name]).all()


def test_probabilities_are_compressed_in_the_best_epochs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[np.dtype] = []
    write_array = np.lib.format.write_array

    def counted(file: Any, array: np.ndarray, *settings: Any, **more: Any) -> None:
        written.append(array.dtype)
        write_array(file, array, *settings, **more)

    monkeypatch.setattr(np.lib.format, "write_array", counted)
    logits = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0))
    best = [1, 2, 2, 2]

    def go_on(keeper: AnswerKeeper, epochs: range) -> None:
        for epoch in epochs:
            evaluation = replace(NOT_VALIDATED, logits=logits[epoch - 1])
            keeper.note(SimpleNamespace(evaluation=evaluation, epoch=epoch, best_epoch=best[epoch - 1]))
            kept = dict(np.load(tmp_path / "0.npz"))
            assert kept["best_epoch"] == best[epoch - 1]
            assert (kept["probabilities"] == logits[kept["best_epoch"] - 1].softmax(1).numpy().astype(np.float16)).all()
            assert (kept["chosen"] == logits[:epoch].softmax(2).numpy().argmax(2)).all()

    go_on(AnswerKeeper(tmp_path / "0.npz", 0), range(1, 5))
    assert written.count(np.float16) == 2
    go_on(AnswerKeeper(tmp_path / "0.npz", 2), range(3, 5))  # after a kill
    assert written.count(np.float16) == 3
