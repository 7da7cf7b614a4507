from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts.benchmarks.curve_family import COSTS, CurveTask
from scripts.benchmarks.regret import WORKERS, SyntheticTask, random_config
from scripts.benchmarks.regret_seconds import POLICIES, SYNE_TUNE, full_training, main, simulation


def test_backbones_cost_one_to_thirty_seconds_an_epoch() -> None:
    task, rng = CurveTask(0), np.random.default_rng(0)
    configs = [random_config(SyntheticTask(0).space, rng) for _ in range(100)]
    for config in configs:
        seconds = task.seconds(config)
        assert len(seconds) == task.epochs
        assert 0.3 * COSTS[config["backbone"]] < np.mean(seconds) < 1.5 * COSTS[config["backbone"]]
        assert seconds == task.seconds(config)


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy not in (*SYNE_TUNE, "gp", "tpe")])
def test_no_policy_spends_more_than_its_budget(policy: str) -> None:
    task = SyntheticTask(1)
    seconds = 0.7 * full_training(task) / WORKERS
    done = simulation(policy, task, 3, seconds).run()
    assert 0 < done.busy <= WORKERS * seconds
    assert done.busy == pytest.approx(sum(sum(run.seconds[: len(run.values)]) for run in done.trials.values()))
    assert 0 < done.best(3) <= done.best() <= 1


def test_a_comparison_goes_on_where_it_was_and_ends_with_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--tasks", "synthetic-0", "--policies", "random", "--out", str(tmp_path)]
    assert main(arguments) == 0
    lines = (tmp_path / "runs.jsonl").read_text()
    assert main(arguments) == 0
    assert (tmp_path / "runs.jsonl").read_text() == lines
    assert json.loads(lines)["6"]["trials"] > 1
    assert "random, Ray's ASHA(3, 3)" in (tmp_path / "table.md").read_text()
    assert main([*arguments, "--budgets", "1"]) == 0
    written = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [line.keys() & {"1", "2", "6"} for line in written] == [{"2", "6"}, {"1"}]
    assert "1 trainings' time" in (tmp_path / "table.md").read_text()
    assert main(["--fold", "both"]) == 2
    assert "--fold both" in capsys.readouterr().err
