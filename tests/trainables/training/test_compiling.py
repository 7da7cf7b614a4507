"""torch.compile: the same numbers but for rounding, resumed bit for bit, its cost told, its compiler checked.

Networks are traced and run without kernels of their own, which take a compiler minutes; `pytest --compile
tests/trainables/training/test_compiling.py` makes them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from trainables.config import TaskConfig, TrialConfig
from trainables.data.batches import load_data
from trainables.report import EpochReport
from trainables.training.compiling import CompileWatch, refuse_without_compiler
from trainables.training.loop import fit, steps_per_epoch
from trainables.training.state import TrainState

PLAIN = TrialConfig(backbone="test_resnet", dropout=0.0, flip=0.0, crop=0.0)


def train(task: TaskConfig, config: TrialConfig = PLAIN, saved: Path | None = None, last: int = 3) -> list[EpochReport]:
    """The reports up to an epoch, from a saved state where there is one; saves the state that it ends in."""
    data = load_data(task, torch.device("cpu"))
    state = TrainState.start(config, task, steps_per_epoch(task, len(data.train)))
    if saved is not None and saved.exists():
        state.load(saved)
    reports = []
    for report in fit(state, data):
        reports.append(report)
        if report.epoch == last:
            break
    if saved is not None:
        state.save(saved)
    return reports


@pytest.fixture(autouse=True)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --compile: none."""
    if not request.config.getoption("--compile"):
        monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own deprecations
def test_what_is_compiled_anew_when_it_thaws_goes_on_bit_for_bit(task: TaskConfig, tmp_path: Path) -> None:
    task, config = (
        replace(task, epochs=3, compile=True),
        replace(PLAIN, dropout=0.2, flip=0.5, frozen_share=0.1, ema=0.9),
    )
    whole, saved = train(task, config), tmp_path / "state.pt"
    assert [report.compile_seconds > 0 for report in whole] == [True, True, False]  # frozen, thawed
    parts = train(task, config, saved, last=1) + train(task, config, saved)
    for name in ("train_loss", "val_loss", "val_macro_f1"):
        assert [getattr(report, name) for report in parts] == [getattr(report, name) for report in whole]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_training_is_the_same_but_for_rounding_and_goes_on_bit_for_bit(
    task: TaskConfig, tmp_path: Path
) -> None:
    task = replace(task, epochs=3)
    compiling = replace(task, compile=True)
    plain, whole = train(task), train(compiling)
    assert [report.train_loss for report in whole] == pytest.approx([report.train_loss for report in plain], rel=1e-3)
    assert [report.compile_seconds for report in plain] == [0, 0, 0]
    assert [report.compile_seconds > 0 for report in whole] == [True, False, False]
    assert whole[0].compile_seconds < whole[0].seconds
    saved = tmp_path / "state.pt"
    parts = train(compiling, saved=saved, last=1) + train(compiling, saved=saved)
    assert [report.train_loss for report in parts] == [report.train_loss for report in whole]
    assert [report.val_macro_f1 for report in parts] == [report.val_macro_f1 for report in whole]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_is_saved_of_a_compiled_network_is_plain(task: TaskConfig) -> None:
    config = replace(PLAIN, ema=0.9)
    state = TrainState.start(config, replace(task, compile=True), 2)
    names = set(TrainState.start(config, task, 2).model.state_dict())
    assert set(state.model.state_dict()) == set(state.scored_model.state_dict()) == names


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_trial_that_goes_on_in_parts_is_not_compiled(task: TaskConfig, tmp_path: Path) -> None:
    task = replace(task, compile=True)
    in_parts = TrainState.start(PLAIN, task, 2, micro_batches=2)
    assert in_parts.compiled is None
    in_parts.save(tmp_path / "state.pt")
    again = TrainState.start(PLAIN, task, 2)
    assert again.compiled is not None
    again.load(tmp_path / "state.pt")
    assert again.compiled is None


def test_without_a_compiler_it_is_refused_before_the_first_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.training.compiling.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--compile needs triton on a GPU"):
        refuse_without_compiler("cuda")
    monkeypatch.setattr("trainables.training.compiling.find_spec", lambda name: object())
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="--compile needs a C compiler for triton: install gcc or clang"):
        refuse_without_compiler("cuda")
    monkeypatch.setenv("CC", "gcc")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": "/nowhere"})
    with pytest.raises(ValueError, match=r"there is no /nowhere/Python.h: install python3-dev, or leave --compile out"):
        refuse_without_compiler("cuda")
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "no-such-compiler"))
    with pytest.raises(ValueError, match=r"--compile needs a C\+\+ compiler .*install g\+\+, or leave --compile out"):
        refuse_without_compiler("cpu")


def test_seconds_of_compiling_are_added_up() -> None:
    from torch._dynamo.callback import CallbackTrigger, callback_handler

    with CompileWatch(on=True) as watch:
        for _ in range(2):
            with callback_handler.install_callbacks(CallbackTrigger.DYNAMO, "0"):
                sum(range(100_000))
    assert 0 < watch.seconds < 1
    with callback_handler.install_callbacks(CallbackTrigger.DYNAMO, "0"):
        before = watch.seconds
    assert watch.seconds == before  # no longer watched
