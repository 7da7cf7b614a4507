"""The report shows score against cost where a search asked for it, and nothing of it elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

from results.pages.report import render_report
from tests.final_models import a_final
from tests.results.records.test_front import a_priced_run_dir
from tests.runs import a_line, a_run_dir, an_event


def test_the_page_shows_the_front_with_its_points_and_what_every_network_costs(tmp_path: Path) -> None:
    page = render_report(a_priced_run_dir(tmp_path / "r", [0.8, 0.6, 0.5, 0.9], [8, 2, 4, 1], objective="f1,ms"))
    assert "2 of 3 trials with a score are on the front" in page
    assert 'id="front"' in page
    assert "<td>00001</td><td>net1</td>" in page and "2 ms (1.8 to 2.4)" in page
    assert "net3" in page and f"--run r --storage {tmp_path} --pick TRIAL</code>" in page
    assert "--objective f1,ms" in page


def test_a_limit_alone_shows_costs_and_no_front(tmp_path: Path) -> None:
    page = render_report(a_priced_run_dir(tmp_path / "r", [0.8, 0.6, 0.5], [8, 2, 4], objective="f1", max_ms=9.0))
    assert "within --max-ms 9" in page
    assert "The Pareto front" not in page and "--pick" not in page


def test_a_search_that_did_not_ask_for_costs_shows_nothing_of_them(tmp_path: Path) -> None:
    page = render_report(a_run_dir(tmp_path / "r", [a_line(0, 1, 0.5)], [an_event(0, "finished", after=9)]))
    assert "Score against cost" not in page


def test_a_point_can_be_taken_after_a_re_training_too(tmp_path: Path) -> None:
    run_dir = a_priced_run_dir(tmp_path / "r", [0.8, 0.6, 0.5, 0.9], [8, 2, 4, 1], objective="f1,ms")
    (run_dir / "retrained").mkdir()
    final = a_final(ranking=[{**each, "scores": [0.7]} for each in a_final().ranking])
    (run_dir / "retrained" / "model.json").write_text(json.dumps({"record": final.to_json()}))
    page = render_report(run_dir)
    assert "Re-trained, and scored" in page and page.count("scripts/retrain.py") == 1
    assert f"python scripts/retrain.py --run r --storage {tmp_path} --pick TRIAL" in page
