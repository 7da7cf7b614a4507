"""A model that is saved in a process of its own."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from tests.records import a_task
from trainables.saved import save_found


@pytest.mark.parametrize(("beside_training", "added"), [(True, [save_found.GIVES_WAY]), (False, [])])
def test_beside_a_training_it_gives_way(
    monkeypatch: pytest.MonkeyPatch, beside_training: bool, added: list[int]
) -> None:
    nice: list[int] = []
    saved: list[object] = []
    monkeypatch.setattr(os, "nice", nice.append)
    monkeypatch.setattr(save_found, "_save", saved.append)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"gives_way": beside_training})))
    assert save_found.main() == 0
    assert nice == added
    assert len(saved) == 1


def test_ctrl_c_in_a_terminal_does_not_reach_it(tmp_path: Path) -> None:
    process = save_found.begin_saving(tmp_path / "model", [], a_task(), {})
    try:
        assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    finally:
        process.kill()
        process.communicate()
