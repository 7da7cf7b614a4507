"""What a trial tells of itself within an epoch: once a second, and without touching its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from trainables.training.pulse import Pulse


def batch(pulse: Pulse, done: int) -> None:
    right = [torch.tensor([0, 1])] * done
    pulse.batch(1, done, 10, torch.tensor(4.0 * done), right, right, 2)


def test_it_tells_how_far_it_is_at_most_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pulse = Pulse(tmp_path / "00000" / "pulse.json")
    batch(pulse, 1)
    batch(pulse, 2)
    told = json.loads((tmp_path / "00000" / "pulse.json").read_text())
    assert told == {"stage": "training", "epoch": 1, "batch": 1, "batches": 10, "loss": 2.0, "macro_f1": 1.0}
    now += 1.0
    batch(pulse, 3)
    assert json.loads((tmp_path / "00000" / "pulse.json").read_text())["batch"] == 3


def test_a_loss_that_is_no_number_is_told_as_none(tmp_path: Path) -> None:
    Pulse(path := tmp_path / "pulse.json").batch(
        1, 1, 1, torch.tensor(torch.nan), [torch.tensor([0])], [torch.tensor([0])], 2
    )
    assert json.loads(path.read_text())["loss"] is None


def test_a_disk_that_is_full_or_gone_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pulse = Pulse(tmp_path / "file" / "pulse.json")
    pulse.stage("loading")
    batch(pulse, 1)
    pulse.close()


def test_closed_it_leaves_nothing(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path / "pulse.json")
    pulse.stage("loading")
    pulse.close()
    assert list(tmp_path.iterdir()) == []
