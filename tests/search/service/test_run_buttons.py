"""The buttons of a run: those are there that make sense for the state it is in."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from results.records.presence import Presence
from results.records.summary import RunState, RunSummary

pytest.importorskip("nicegui", reason="the page needs the extra ui")

from search.service.run_buttons import RunButtons

ALL = ("stop", "stop_now", "resume", "extend", "retrain", "delete")


def shown(row: RunSummary) -> set[str]:
    """The buttons that a run has."""
    visible: set[str] = set()
    buttons: Any = RunButtons.__new__(RunButtons)
    buttons._service = SimpleNamespace(can_stop=lambda _: True)
    for name in ALL:
        sees = SimpleNamespace(set_visibility=lambda is_so, name=name: visible.add(name) if is_so else None)
        setattr(buttons, f"_{name}", sees)
    buttons.show(row)
    return visible


@pytest.mark.parametrize(
    ("state", "done", "lacks_its_end", "resumes"),
    [
        (RunState.FINISHED, 8, False, False),
        (RunState.INTERRUPTED, 5, False, True),
        (RunState.TIME_USED, 5, False, True),
        (RunState.INTERRUPTED, 8, True, True),
        (RunState.FAILED, 8, True, True),
        (RunState.FAILED, 8, False, False),
        (RunState.UNREADABLE, 0, False, False),
    ],
)
def test_resume_is_there_where_trials_are_left_or_what_comes_behind_them(
    state: RunState, done: int, lacks_its_end: bool, resumes: bool
) -> None:
    asked = 0 if state == RunState.UNREADABLE else 8
    row = RunSummary(name="a", state=state, done=done, asked=asked, best=0.5, lacks_its_end=lacks_its_end)
    assert ("resume" in shown(row)) == resumes
    assert "delete" in shown(row)


def test_a_run_that_cannot_be_read_can_only_be_deleted_and_not_while_somebody_is_at_it() -> None:
    row = RunSummary(name="a", state=RunState.UNREADABLE)
    assert shown(row) == {"delete"}
    assert shown(replace(row, presence=Presence.of_this_process("searched"))) == set()
