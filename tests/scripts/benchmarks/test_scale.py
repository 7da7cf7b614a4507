"""The benchmark of scale: what it says of its numbers, and a search of stubs through the real machinery."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmarks.scale import ScaleConfig, made_up_curve, main, run_stubs
from scripts.benchmarks.scale_report import Measured, draw, render_table
from spaces import get_space


def measured(num: int = 100) -> Measured:
    """Two workers, a trial a second each, memory that grows by a MB every ten trials from 500 MB on."""
    ended = [1.0 + number / 2 for number in range(num)]
    memory = [(when, 500 + number / 10) for number, when in enumerate(ended)]
    return Measured(
        trials=num,
        workers=2,
        epochs=27,
        hardware="2 cores",
        finished=ended,
        memory=memory,
        suggestions=[0.001 * number for number in range(num)],
        after={"record": 0.5, "report": 1.0},
    )


def test_numbers_follow_from_the_times() -> None:
    found = measured()
    assert found.search_seconds == 50.5
    assert found.overhead_seconds == pytest.approx(1.0)
    assert found.last_suggestion_seconds == pytest.approx(0.097)
    assert found.growth_mb_per_1000_trials == pytest.approx(100, rel=0.02)
    assert found.after_seconds == 1.5
    found.worker_memory = [600.0] * 6 + [610.0] * 4
    assert found.worker_growth_mb == 10


def test_a_missed_target_is_said() -> None:
    table = render_table(measured())
    assert "| growth of the driver's memory per 1,000 trials, MB | 100 | < 50 | **missed** |" in table
    assert "| 100 stub trials on 2 workers, s | 50.5 | < 300 | kept |" in table
    assert "a real trial" not in table
    assert draw(measured()).axes


def test_a_curve_depends_on_configuration_and_seed_alone() -> None:
    config = vars(get_space("efficientnet").starting_points[0])
    assert made_up_curve(config, 5, 0) == made_up_curve(config, 5, 0) != made_up_curve(config, 5, 1)


@pytest.mark.parametrize("flags", [("--trials", "9"), ("--workers", "0"), ("--real-trials", "2")])
def test_a_value_out_of_range_is_one_message(flags: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(flags)
    assert f"{flags[0]} is {flags[1]}" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.long
def test_stubs_run_through_the_real_search(tmp_path: Path) -> None:
    found = run_stubs(ScaleConfig(trials=12, workers=2, epochs=4, space="toy", out=tmp_path), tmp_path / "stubs")
    assert len(found.finished) == len(found.suggestions) == 12
    assert found.num_reports >= 12
    assert set(found.after) == {"record", "table", "report"}
