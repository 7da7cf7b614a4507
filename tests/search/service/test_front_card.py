"""What the page draws of a front."""

from __future__ import annotations

from pathlib import Path

from results.records.front import front_of, priced
from results.records.run_folder import load_run
from results.records.trials import load_trials
from search.service.front_card import front_options
from tests.results.records.test_front import a_priced_run_dir


def test_the_chart_has_every_trial_and_a_staircase_from_the_cheapest_point_up(tmp_path: Path) -> None:
    run_dir = a_priced_run_dir(tmp_path / "r", [0.8, 0.6, 0.5, 0.9], [8, 2, 4, 1], objective="f1,ms")
    run, trials = load_run(run_dir), load_trials(run_dir)
    dots, stairs = front_options(front_of(run, trials), priced(run, trials), "ms")["series"]
    assert [point["value"] for point in dots["data"]] == [[8, 0.8], [2, 0.6], [4, 0.5]]
    assert [point["value"] for point in stairs["data"]] == [[2, 0.6], [8, 0.8]]
    assert stairs["step"] == "end"
    assert stairs["data"][0]["name"] == "00001 net1, 2 ms (1.8 to 2.4), 200k parameters"
