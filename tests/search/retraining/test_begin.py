"""What a re-training begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results.records.found import Found
from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from search.retraining.begin import _as_long_as_any, _may_mirror, _trainings_in_model
from search.retraining.flags import RetrainFlags
from search.study import AskedStudy
from tests.records import a_task
from tests.runs import a_line, a_run_dir


@pytest.mark.parametrize(("trained", "epochs"), [((2, 1), 6), ((2, 9), 9), ((), 6)])
def test_what_a_trial_that_went_on_has_learned_is_trained_again_as_long(
    trained: tuple[int, ...], epochs: int, tmp_path: Path
) -> None:
    lines = [a_line(trial, epoch, 0.5) for trial, last in enumerate(trained) for epoch in range(1, last + 1)]
    trials = load_trials(a_run_dir(tmp_path, lines))
    assert _as_long_as_any(a_task(epochs=6), trials).epochs == epochs


@pytest.mark.parametrize(
    ("members", "trainings"),
    [(("00001",), 1), (("00001", "00003"), 2), (("00002", "00003", "00001"), 2), ((), 1), (("00002",), 1), (None, 1)],
)
def test_the_final_training_is_repeated_as_often_as_one_configuration_answers_in_the_search_s_model(
    members: tuple[str, ...] | None, trainings: int, tmp_path: Path
) -> None:
    run_dir = a_run_dir(tmp_path, [a_line(trial, 1, 0.5) for trial in range(4)])
    trials = load_trials(run_dir)
    trials = [trial if trial.trial_id == "00002" else replace(trial, config=trials[0].config) for trial in trials]
    if members is not None:
        nothing: Any = dict.fromkeys(("val_interval", "val_corrected", "selection"))
        counts = {"people": 1, "trials": 1, "epochs": 1, "model_bytes": 1, "time_factor": 1.0}
        listed = [{"trial_id": name} for name in members]
        Found(trial_id="00001", members=listed, **nothing, **counts).save(RunFolder(run_dir).found_json)
    source: Any = SimpleNamespace(run_dir=run_dir, trials=trials, study=AskedStudy.of(storage=tmp_path))
    assert _trainings_in_model(source) == trainings
    source.study = AskedStudy.of(storage=tmp_path, max_ms=10.0)
    assert _trainings_in_model(source) == 1


@pytest.mark.parametrize(
    ("flags", "search", "mirror"),
    [
        ({}, {}, True),
        ({"no_mirror": True}, {}, False),
        ({}, {"no_mirror": True}, False),
        ({"pick": " ms = 10"}, {}, False),
        ({"pick": "parameters=3M"}, {}, True),
    ],
)
def test_a_mirror_image_is_left_out_where_the_search_or_the_re_training_was_told_so(
    flags: dict[str, Any], search: dict[str, Any], mirror: bool, tmp_path: Path
) -> None:
    source: Any = SimpleNamespace(study=AskedStudy.of(storage=tmp_path, **search))
    assert _may_mirror(RetrainFlags(**flags), source) is mirror
