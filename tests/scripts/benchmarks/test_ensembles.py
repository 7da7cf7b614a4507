"""The benchmark of ensembles says what its rows say, and names a run that cannot be judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.statistics.bootstrap import Interval
from results.statistics.ensemble import BEST_K, GREEDY, SINGLE
from scripts.benchmarks.ensembles import Row, main, render
from tests.runs import a_line, a_run_dir


def a_row(run: str, best: float, greedy: float, *, taken: str = GREEDY, rule_used: bool = False) -> Row:
    return Row(
        run=run,
        trials=5,
        people=25,
        shown=best + 0.1,
        corrected=Interval(best + 0.02, best - 0.05, best + 0.08),
        best_test=best,
        test={SINGLE: best, BEST_K: best, GREEDY: greedy},
        taken=taken,
        promised=0.03,
        came=greedy - best,
        rule_used=rule_used,
        rule_promised=0.01,
        rule_came=-0.01,
    )


def test_gains_are_against_the_best_alone_and_count_searches_that_took_nothing() -> None:
    said = render([a_row("a", 0.5, 0.54), a_row("b", 0.4, 0.38, taken=SINGLE, rule_used=True)])
    assert "| a | 5 | 25 | 0.500 | 0.500 | 0.540 | – | greedy ensemble | +0.030 | +0.040 |" in said
    assert "2 searches. An ensemble was taken in 1; on test people what was taken is +0.020 ± 0.020" in said
    assert "promised +0.030 ± 0.000, +0.010 ± 0.030 came" in said
    assert "The rule was used in 1." in said
    assert "reads +0.100 ± 0.000 against the same trial's test score, corrected +0.020" in said
    assert "holds the test score in 2 of 2" in said


def test_a_run_without_answers_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run_dir(tmp_path / "run", [a_line(0, 1, 0.5)])
    (run / "split.csv").write_text("path,label,group,split\n/a.png,x,a,val\n/b.png,y,b,test\n/c.png,x,c,train\n")
    assert main([str(run)]) == 2
    assert "it takes a finished search" in "".join(capsys.readouterr()).replace("\n", " ")
