"""Who ends a search is told what happens, and which command writes what is missing should it be killed meanwhile."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time

import pytest

from search.stop import LAST_SECONDS, StopRequest, seconds_to_search
from tests.conftest import ROOT

WAY_ON = "python search/run.py --resume first"


@pytest.mark.parametrize(
    ("number", "reason", "code"), [(signal.SIGTERM, "SIGTERM", 143), (signal.SIGINT, "Ctrl-C", 130)]
)
def test_the_first_signal_asks_and_the_second_ends_at_once(
    number: int, reason: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = StopRequest()
    with stop.on_interrupt(WAY_ON):
        os.kill(os.getpid(), number)
        assert (stop.reason, stop.exit_code) == (reason, code)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    said = capsys.readouterr().out
    assert f"{reason}: running trials end with this epoch" in said
    assert f"{WAY_ON}" in said


def test_the_command_is_said_before_a_kill_three_seconds_later() -> None:
    code = (
        "import time\nfrom search.stop import StopRequest\n"
        f"with StopRequest().on_interrupt({WAY_ON!r}):\n  print('on', flush=True)\n  time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "on\n"
    process.terminate()
    time.sleep(1)
    process.kill()  # as `ray job stop` does
    assert WAY_ON in process.communicate()[0]


@pytest.mark.parametrize(("budget", "left"), [(40.0, 32.0), (300.0, 300 - LAST_SECONDS), (math.inf, math.inf)])
def test_a_budget_is_that_of_the_whole_command(budget: float, left: float) -> None:
    assert seconds_to_search(budget) == left


def test_what_ctrl_c_ends_is_said_as_it_is_by_then(capsys: pytest.CaptureFixture[str]) -> None:
    stop = StopRequest()
    with stop.on_interrupt():
        stop.what_ends = "what is being written is written to its end"
        os.kill(os.getpid(), signal.SIGINT)
    assert "Ctrl-C: what is being written is written to its end; a second one ends at once." in capsys.readouterr().out
