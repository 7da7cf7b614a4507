"""What trials answered is looked through without decompressing what nobody has asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from results.records.answers import ValidationAnswers, load_answers
from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from tests.runs import a_line, a_run_dir, an_event

RIGHT = np.eye(2, dtype=np.float16)[[0, 1, 1]]
CHOSEN = np.array([[0, 0, 1], [0, 1, 1]], dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run of three trials, of which the second has answered for another number of classes; three val pictures."""
    lines = [a_line(trial, epoch, 0.1 * epoch) for trial in range(3) for epoch in (1, 2)]
    folder = RunFolder(a_run_dir(tmp_path / "run", lines, [an_event(trial, "finished", after=9) for trial in range(3)]))
    folder.split_csv.write_text("path,label,group,split\n/a,x,a,val\n/b,y,b,val\n/c,y,c,val\n/d,x,d,train\n")
    folder.answers.mkdir()
    for trial, (save, shares) in enumerate(
        ((np.savez_compressed, RIGHT), (np.savez_compressed, RIGHT[:, :1]), (np.savez, RIGHT))
    ):
        save(folder.answers_npz(f"{trial:05}"), chosen=CHOSEN, probabilities=shares, best_epoch=np.int64(2))
    return folder


def answers_in(folder: RunFolder) -> ValidationAnswers:
    return load_answers(folder, load_trials(folder.path), ("x", "y"))


def test_probabilities_are_read_when_they_are_asked_for(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[np.dtype] = []
    read_array = np.lib.format.read_array

    def noted(*given: Any, **more: Any) -> np.ndarray:
        array = read_array(*given, **more)
        read.append(array.dtype)
        return array

    monkeypatch.setattr(np.lib.format, "read_array", noted)
    found = answers_in(folder)
    assert [each.trial.trial_id for each in found.trials] == ["00000", "00002"]
    assert all((each.chosen == CHOSEN).all() for each in found.trials)
    assert read and np.float16 not in read
    assert (found.trials[0].probabilities == RIGHT).all()
    assert read.count(np.float16) == 1
