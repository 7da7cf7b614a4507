from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from scripts.benchmarks.curve_family import BACKBONES, CurveTask
from scripts.benchmarks.regret import (
    POLICIES,
    SyntheticTask,
    build_policy,
    half_interval,
    main,
    random_config,
    reference,
    regret,
    render_table,
    simulate,
)


def test_a_made_up_curve_is_the_same_every_time_and_differs_from_task_to_task() -> None:
    config = random_config(SyntheticTask(0).space, np.random.default_rng(4))
    assert CurveTask(0).curve(config) == CurveTask(0).curve(config)
    assert CurveTask(0).curve(config) != CurveTask(1).curve(config)


def test_made_up_curves_stay_between_zero_and_one_and_some_diverge() -> None:
    rng = np.random.default_rng(0)
    task = SyntheticTask(1)
    curves = np.array([task.curve(random_config(task.space, rng)) for _ in range(200)])
    assert curves.shape == (200, task.epochs)
    assert np.nanmin(curves) >= 0
    assert np.nanmax(curves) <= 1
    diverged = np.isnan(curves[:, -1])
    assert 0.02 < diverged.mean() < 0.4
    first = [list(np.isnan(curve)).index(True) for curve in curves[diverged]]
    assert all(np.isnan(curve[epoch:]).all() for curve, epoch in zip(curves[diverged], first, strict=True))


def test_the_made_up_space_is_conditional_and_reaches_every_backbone() -> None:
    rng = np.random.default_rng(0)
    configs = [random_config(SyntheticTask(0).space, rng) for _ in range(100)]
    assert {config["backbone"] for config in configs} == set(BACKBONES)
    assert all(("momentum" in config) == (config["optimizer"] == "sgd") for config in configs)
    assert all(("drop_path" in config) == config["backbone"].startswith("efficientnet") for config in configs)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_spends_exactly_its_epochs_on_four_workers(policy: str) -> None:
    task = SyntheticTask(2)
    histories = [[(random_config(task.space, np.random.default_rng(i)), [0.1, 0.1 * i]) for i in range(8)]]
    best, trials = simulate(task, *build_policy(policy, task, 0, histories), 60)
    assert best.shape == (60,)
    assert (np.diff(best[4:]) >= 0).all()
    assert sum(len(values) for _, values in trials) == 60
    assert 4 <= len(trials) < 60
    assert all(len(values) <= task.epochs for _, values in trials)


def test_regret_is_zero_for_the_best_random_configuration_and_one_for_the_median() -> None:
    task = SyntheticTask(0)
    top, median = reference(task)
    np.testing.assert_allclose(regret(task, np.array([top, median])), [0, 1])


def test_the_table_shows_mean_and_interval_at_each_mark() -> None:
    lines = [{"policy": "random", "regret": [value] * 1500} for value in (0.1, 0.3)]
    last = render_table(lines, ["random"]).splitlines()[-1]
    assert last == f"| {POLICIES['random']} |" + " 0.200 ± 0.196 |" * 4
    assert math.isnan(half_interval(np.zeros((1, 3)))[0])


def test_the_command_writes_table_picture_and_runs_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["--runs", "1", "--epochs", "40", "--tasks", "synthetic-0", "synthetic-1"]
    command += ["--policies", "ours", "ours-history", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    table = (tmp_path / "out" / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == table.strip()
    assert (tmp_path / "out" / "regret.png").stat().st_size > 10_000
    lines = [json.loads(text) for text in (tmp_path / "out" / "runs.jsonl").read_text().splitlines()]
    assert [(line["policy"], line["task"]) for line in lines] == [
        ("ours", "synthetic-0"),
        ("ours", "synthetic-1"),
        ("ours-history", "synthetic-0"),
        ("ours-history", "synthetic-1"),
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--policies", "ours-history"], "ours-history without ours"),
        (["--policies", "best"], "policies has best"),
        (["--tasks", "other"], "tasks has other"),
        (["--lcbench", "nowhere"], "--lcbench nowhere: there is no model.onnx"),
    ],
)
def test_a_wrong_wish_is_named(wrong: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([*wrong, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
