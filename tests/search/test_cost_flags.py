"""What may be said about costs, and one message for what may not."""

from __future__ import annotations

from typing import Any

import pytest

from search.cost_flags import CostFlags
from search.run import main
from search.study import AskedStudy
from trainables.errors import UserError


@pytest.mark.parametrize(
    ("words", "count"), [("5M", 5_000_000), ("1.5m", 1_500_000), ("500k", 500_000), ("7", 7), (" 2 M ", 2_000_000)]
)
def test_a_number_of_parameters_is_read_with_its_unit(words: str, count: int) -> None:
    assert CostFlags(max_parameters=words).most_parameters == count


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"max_parameters": "5X"}, "--max-parameters '5X'.*as in 5M"),
        ({"max_parameters": "0"}, "above 0"),
        ({"max_parameters": "-3M"}, "above 0"),
        ({"max_ms": 0.0}, "--max-ms is 0.*above 0"),
        ({"max_ms": float("nan")}, "above 0"),
        ({"objective": "f1,size"}, "'f1,size'.*f1,ms"),
        ({"objective": "ms"}, "'ms'"),
        ({"ms_device": "cpu"}, "--max-ms or --objective f1,ms"),
        ({"ms_device": "cpu", "objective": "f1,parameters"}, "--max-ms or --objective f1,ms"),
    ],
)
def test_what_is_no_limit_and_no_objective_is_refused(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        CostFlags(**flags)


@pytest.mark.parametrize("flags", [("--max-ms", "0"), ("--max-parameters", "5X"), ("--objective", "f2")])
def test_a_bad_value_is_one_message_and_exit_code_2(flags: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(flags))
    said = "".join(capfd.readouterr())
    assert ended.value.code == 2
    assert said.count(flags[0]) == 1 and "Traceback" not in said


def test_the_flags_survive_a_resume() -> None:
    asked = AskedStudy.of(objective="f1, ms", max_parameters="5M", max_ms=10.0)
    again = AskedStudy.restored({**asked.flat(), "max_ms": 10})
    assert (again.cost.second, again.cost.most_parameters, again.cost.max_ms) == ("ms", 5_000_000, 10)
