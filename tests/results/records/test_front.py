"""The front is what no other trial beats for as little, derived from a run's own files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results.records.best import best_trial
from results.records.front import cost_in_words, front_of, ms_in_words, priced, short_count, undominated
from results.records.record import BestTrial, SearchRun
from results.records.run_folder import RunFolder, load_run
from results.records.trials import load_trials
from tests.records import a_run
from tests.runs import a_line, a_run_dir, an_event
from trainables.strict_json import RecordError


def costs(*ms: float) -> dict[str, Any]:
    """Those of net0, net1, ..., with as many hundred thousand parameters as milliseconds."""
    return {
        "where": "1 thread",
        "networks": [
            {
                "backbone": f"net{number}",
                "formulation": "joint",
                "parameters": round(each * 1e5),
                "ms": each,
                "ms_low": 0.9 * each,
                "ms_high": 1.2 * each,
            }
            for number, each in enumerate(ms)
        ],
    }


def a_priced_run_dir(folder: Path, scores: list[float], ms: list[float], **options: Any) -> Path:
    """A run with one trial a network; the last one has failed."""
    lines = [a_line(number, 1, value) for number, value in enumerate(scores)]
    states = ["finished"] * (len(scores) - 1) + ["failed"]
    a_run_dir(folder, lines, [an_event(number, state, after=9) for number, state in enumerate(states)])
    files = RunFolder(folder)
    values = {**json.loads(files.run_json.read_text()), "costs": costs(*ms), "options": options}
    SearchRun.from_json(values).save(files.run_json)
    return folder


def test_on_the_front_is_what_is_better_than_all_that_is_not_dearer() -> None:
    points = [("a", 0.5, 2.0), ("b", 0.6, 2.0), ("c", 0.4, 1.0), ("d", 0.6, 3.0), ("e", 0.7, 9.0), ("f", 0.65, 9.5)]
    assert undominated(points) == ["c", "b", "e"]


def test_of_equals_the_first_is_on_the_front_and_what_is_no_number_is_not() -> None:
    assert undominated([("a", 0.5, 1.0), ("b", 0.5, 1.0), ("c", float("nan"), 0.1), ("d", float("inf"), 0.1)]) == ["a"]


@pytest.mark.parametrize(("second", "expected"), [("ms", ["00001", "00000"]), ("parameters", ["00001", "00000"])])
def test_a_run_knows_its_front_and_its_record_tells_it(tmp_path: Path, second: str, expected: list[str]) -> None:
    run_dir = a_priced_run_dir(tmp_path / "r", [0.8, 0.6, 0.5, 0.9], [8, 2, 4, 1], objective=f"f1,{second}")
    run, trials = load_run(run_dir), load_trials(run_dir)
    assert [point.trial_id for point in front_of(run, trials)] == expected
    assert len(priced(run, trials)) == 3, "one failed"
    best = best_trial(run_dir)
    assert best is not None and best.answering is not None
    assert best.answering["best"]["ms"] == 8
    assert [point["trial_id"] for point in best.answering["front"]] == expected
    assert BestTrial.from_json(json.loads(json.dumps(best.to_json()))) == best


def test_a_run_that_only_has_a_limit_has_costs_and_no_front(tmp_path: Path) -> None:
    run_dir = a_priced_run_dir(tmp_path / "r", [0.8, 0.6, 0.5], [8, 2, 4], objective="f1", max_ms=9.0)
    run, trials = load_run(run_dir), load_trials(run_dir)
    assert front_of(run, trials) == []
    best = best_trial(run_dir)
    assert best is not None and best.answering is not None
    assert (best.answering["max_ms"], best.answering["front"]) == (9.0, [])


def test_a_run_of_before_costs_were_asked_for_is_read(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "r", [a_line(0, 1, 0.5)], [an_event(0, "finished", after=9)])
    path = RunFolder(run_dir).run_json
    values = json.loads(path.read_text())
    del values["costs"]
    path.write_text(json.dumps(values))
    best = best_trial(run_dir)
    assert best is not None and best.answering is None


def test_costs_that_are_none_are_named() -> None:
    with pytest.raises(RecordError, match="not what networks cost"):
        SearchRun.from_json({**a_run().to_json(), "costs": {"where": "here"}}, "run.json")


def test_numbers_are_short() -> None:
    assert [short_count(value) for value in (586_000, 3_390_417, 999)] == ["586k", "3.39M", "999"]
    assert [cost_in_words(value, "ms") for value in (7.594, 1234)] == ["7.59 ms", "1,234 ms"]


def test_the_unit_of_a_number_is_that_of_what_is_shown_and_none_has_an_exponent() -> None:
    counts = {999_499: "999k", 999_500: "1M", 999_999: "1M", 999: "999", 12_000_000: "12M", 1_234_567_890: "1230M"}
    assert {count: short_count(count) for count in counts} == counts
    point = SimpleNamespace(ms=1234.4, ms_low=99.96, ms_high=12345.0)
    assert ms_in_words(point) == "1,234 ms (100 to 12,345)"
    assert cost_in_words(0.00001, "ms") == "0.00001 ms"
