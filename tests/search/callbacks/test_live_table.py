"""What the live table shows of trials that run, and what it makes of what they tell of themselves."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from search.callbacks.live_table import STALE_SECONDS, LiveTable, Row, read_pulse
from trainables.checkpoints import PULSE
from trainables.report import TrialStatus


def drawn(rows: dict[str, Row], folder: Path | None = None, width: int = 120, height: int = 30) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=False)
    console.print(LiveTable(console, folder).draw(rows, 8, "1 running of 8 | 0:07 gone", "best 0.5000 by 00001"))
    return out.getvalue()


def tell(folder: Path, trial_id: str, **told: object) -> Path:
    path = folder / trial_id / PULSE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told))
    return path


def test_a_running_trial_shows_its_batch_its_loss_and_its_score_so_far(tmp_path: Path) -> None:
    tell(tmp_path, "00000", stage="training", epoch=3, batch=5, batches=15, loss=1.25, macro_f1=0.375)
    said = drawn({"00000": Row("resnet18", 6, epoch=2, best=0.25)}, tmp_path)
    assert all(word in said for word in ("00000", "resnet18", "3/6", "5/15", "1.2500", "0.3750", "0.2500"))


def test_before_its_first_batch_it_says_in_words_what_it_does(tmp_path: Path) -> None:
    tell(tmp_path, "00000", stage="loading pictures, weights")
    assert "loading pictures, weights" in drawn({"00000": Row("net", 6)}, tmp_path)
    assert "starting its worker" in drawn({"00001": Row("net", 6)}, tmp_path)
    assert "starting workers" in drawn({})


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"epo'])
def test_what_a_trial_left_half_written_is_passed_over(content: bytes, tmp_path: Path) -> None:
    tell(tmp_path, "00000").write_bytes(content)
    assert read_pulse(tmp_path, "00000") == {}


def test_what_a_trial_told_long_ago_is_not_believed(tmp_path: Path) -> None:
    path = tell(tmp_path, "00000", stage="training")
    old = path.stat().st_mtime - STALE_SECONDS - 1
    os.utime(path, (old, old))
    assert read_pulse(tmp_path, "00000") == {}


def test_the_share_counts_the_batches_of_the_epoch_that_runs_and_of_no_other() -> None:
    row = Row("net", 4, epoch=1)
    assert row.share({"epoch": 2, "batch": 5, "batches": 10}) == 0.375
    assert row.share({"epoch": 1, "batch": 9, "batches": 10}) == 0.25
    row.state = TrialStatus.STOPPED
    assert row.share({}) == 1.0


def test_a_thousand_trials_fit_the_screen_and_narrow_ones_are_not_wrapped() -> None:
    rows = {f"{number:05}": Row("a_backbone_with_a_long_name", 6, 6, 0.1, 0.1, 9.0, TrialStatus.STOPPED) for number in
            range(1000)}  # fmt: skip
    said = drawn(rows, width=60, height=24)
    assert len(said.splitlines()) <= 24
    assert max(map(len, said.splitlines())) <= 60
    assert "more trials" in said


def test_names_stay_whole_on_a_terminal_of_80_columns(tmp_path: Path) -> None:
    tell(tmp_path, "00000", stage="training", epoch=3, batch=105, batches=115, loss=1.25, macro_f1=0.375)
    tell(tmp_path, "00001", stage="loading pictures, weights")
    rows = {f"0000{number}": Row("tf_efficientnet_lite0", 30, epoch=12, best=0.25) for number in (0, 1)}
    said = drawn(rows, tmp_path, width=80)
    assert said.count("tf_efficientnet_lite0") == 2
    assert all(word in said for word in ("105/115", "1.2500", "13/30", "loading pictures, weights"))
    assert max(map(len, said.splitlines())) <= 80
