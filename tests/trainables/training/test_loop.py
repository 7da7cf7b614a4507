"""The train loop: exact, resumable, and never counting a diverged network."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trainables.config import OPTIMIZERS, SCHEDULES, TaskConfig, TrialConfig
from trainables.data.batches import load_data
from trainables.networks.model import choose_device, create_backbone
from trainables.report import EpochReport
from trainables.training.loop import endless, fit, steps_per_epoch, to_training
from trainables.training.metrics import NOT_VALIDATED
from trainables.training.optim import peak_lr
from trainables.training.state import ANEW_OVER, FIRST_SCALE, Checkpointer, TrainState

TOY = TrialConfig(backbone="test_efficientnet", dropout=0.1, lr=3e-3)
EVERYTHING_ON = TrialConfig(
    backbone="test_efficientnet",
    dropout=0.3,
    optimizer="sgd",
    lr=0.02,
    label_smoothing=0.1,
    flip=0.5,
    crop=0.3,
    blur=1.0,
    noise=0.05,
    sharpness=0.5,
    contrast=0.2,
    cutmix=0.5,
)
ALL_KNOBS = TrialConfig(
    backbone="test_efficientnet",
    dropout=0.3,
    drop_path=0.1,
    optimizer="nadamw",
    lr=3e-3,
    layer_decay=0.8,
    frozen_share=0.34,
    ema=0.9,
    label_smoothing=0.1,
    loss="focal",
    sampling="sqrt",
    brightness=0.3,
    contrast=0.2,
    affine=0.5,
    erasing=0.3,
    cutmix=0.3,
    mixup=0.3,
)
POLICY = dataclasses.replace(ALL_KNOBS, optimizer="lamb", loss="effective_number", sampling="balanced", policy="rand")
TRIVIAL = dataclasses.replace(
    ALL_KNOBS, optimizer="sgd", lr=0.02, loss="logit_adjusted", policy="trivial", frozen_share=0.5
)
EVERY_WAY = {"plain": TOY, "everything on": EVERYTHING_ON, "all knobs": ALL_KNOBS, "rand": POLICY, "trivial": TRIVIAL}


def start(config: TrialConfig, task: TaskConfig) -> tuple[TrainState, object]:
    data = load_data(task, choose_device(task.device))
    return TrainState.start(config, task, steps_per_epoch(task, len(data.train))), data


def rescale(state: TrainState, scale: float) -> None:
    """Has the loss multiplied by this in float16."""
    state.scaler.load_state_dict({**state.scaler.state_dict(), "scale": scale})


def numbers(report: EpochReport) -> dict[str, object]:
    """The report without what a clock or the kernel decides."""
    timed = ("seconds", "images_per_second", "peak_memory_bytes", "gpu_utilization")
    return {name: value for name, value in dataclasses.asdict(report).items() if name not in timed}


@pytest.mark.parametrize("config", EVERY_WAY.values(), ids=EVERY_WAY)
def test_two_epochs_and_a_restore_and_one_more_equal_three_bit_for_bit(
    config: TrialConfig, task: TaskConfig, tmp_path: Path
) -> None:
    whole, data = start(config, task)
    expected = [numbers(report) for report in fit(whole, data)]

    first, data = start(config, task)
    reports = fit(first, data)
    got = [numbers(next(reports)), numbers(next(reports))]
    first.save(tmp_path / "last.pt")
    torch.manual_seed(99)  # what another trial in the process would leave behind
    np.random.seed(99)
    second, data = start(config, task)
    second.load(tmp_path / "last.pt")
    got += [numbers(report) for report in fit(second, data)]

    assert got == expected
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
        scored = whole.scored_model.state_dict()[name], second.scored_model.state_dict()[name]
        assert torch.equal(*scored), name


@pytest.mark.parametrize("config", (TOY, ALL_KNOBS), ids=("plain", "all knobs"))
def test_in_float16_a_trial_learns_as_in_float32_and_goes_on_bit_for_bit(
    config: TrialConfig, task: TaskConfig, tmp_path: Path
) -> None:
    exact, data = start(config, task)
    losses = [report.train_loss for report in fit(exact, data)]
    task = dataclasses.replace(task, precision="float16")
    whole, data = start(config, task)
    expected = [numbers(report) for report in fit(whole, data)]
    assert [report["train_loss"] for report in expected] == pytest.approx(losses, rel=0.1)
    assert [report["train_loss"] for report in expected] != losses

    first, data = start(config, task)
    reports = fit(first, data)
    got = [numbers(next(reports)), numbers(next(reports))]
    rescale(first, 2.0**20)
    first.save(tmp_path / "last.pt")
    second, data = start(config, task)
    second.load(tmp_path / "last.pt")
    assert second.scaler.get_scale() == 2.0**20
    rescale(second, FIRST_SCALE)
    assert got + [numbers(report) for report in fit(second, data)] == expected


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_in_float16_a_step_whose_gradient_overflows_is_left_out(optimizer: str, task: TaskConfig) -> None:
    config = dataclasses.replace(TOY, optimizer=optimizer)
    state, data = start(config, dataclasses.replace(task, precision="float16", epochs=1))
    rescale(state, 2.0**40)
    before = {name: value.clone() for name, value in state.model.named_parameters()}
    next(iter(fit(state, data, seconds_left=lambda: -1.0)))  # one step
    assert all(torch.equal(value, before[name]) for name, value in state.model.named_parameters())
    assert state.scaler.get_scale() == 2.0**39
    rescale(state, FIRST_SCALE)
    state.epoch = 0
    next(iter(fit(state, data, seconds_left=lambda: -1.0)))  # the next begins as if there had been none
    assert all(torch.isfinite(value).all() for value in state.model.parameters())
    assert not all(torch.equal(value, before[name]) for name, value in state.model.named_parameters())


def test_a_state_of_float32_goes_on_in_float16(task: TaskConfig, tmp_path: Path) -> None:
    state, _ = start(TOY, task)
    state.save(tmp_path / "last.pt")
    again, _ = start(TOY, dataclasses.replace(task, precision="float16"))
    again.load(tmp_path / "last.pt")
    assert again.scaler.get_scale() == FIRST_SCALE


def test_a_trial_gives_the_same_numbers_first_and_fifth_in_its_process(task: TaskConfig) -> None:
    runs = []
    for _ in range(3):
        state, data = start(EVERYTHING_ON, task)
        runs.append([numbers(report) for report in fit(state, data)])
        other, data = start(dataclasses.replace(TOY, backbone="test_resnet"), task)
        next(iter(fit(other, data)))
    assert runs[0] == runs[1] == runs[2]


def test_an_epoch_that_the_time_ends_in_is_scored_with_what_it_has_trained(task: TaskConfig) -> None:
    state, data = start(TOY, task)
    steps = steps_per_epoch(task, len(data.train))
    assert steps > 1
    reports = list(fit(state, data, seconds_left=lambda: -1.0))
    assert [report.trained_share for report in reports] == [1 / steps] * task.epochs
    assert state.schedule.last_epoch == task.epochs
    assert all(0 <= report.val_macro_f1 <= 1 for report in reports)
    assert EpochReport.from_json(reports[-1].to_json()).trained_share == 1 / steps


def test_where_nothing_comes_behind_it_an_epoch_is_cut_short_when_the_time_is_over(task: TaskConfig) -> None:
    state, data = start(TOY, dataclasses.replace(task, validate_on=()))
    steps = steps_per_epoch(task, len(data.train))
    assert data.val is None
    reports = list(fit(state, data, seconds_left=lambda: -1.0))
    assert [report.trained_share for report in reports] == [1 / steps] * task.epochs


def test_time_that_is_enough_changes_no_number(task: TaskConfig) -> None:
    always, enough = (
        [numbers(report) for report in fit(*start(TOY, task), seconds_left=left)] for left in (endless, lambda: 1e9)
    )
    assert always == enough


def test_the_network_learns_what_can_be_learnt(task: TaskConfig) -> None:
    longer = dataclasses.replace(task, epochs=12)
    state, data = start(dataclasses.replace(TOY, dropout=0.0), longer)
    reports = list(fit(state, data))
    assert reports[-1].train_loss < reports[0].train_loss
    assert reports[-1].best_val_macro_f1 > 0.6  # chance is about .3


def test_reports_carry_the_best_epoch_so_far(task: TaskConfig) -> None:
    state, data = start(TOY, dataclasses.replace(task, epochs=6))
    ranks = []
    for report in fit(state, data):
        ranks.append((report.val_macro_f1, -report.val_loss))
        assert report.best_val_macro_f1 == max(ranks)[0]
        assert report.best_epoch == ranks.index(max(ranks)) + 1
        assert len(report.class_f1) == 3
        assert report.peak_memory_bytes > 10e6


def test_a_network_whose_loss_is_not_finite_has_no_score_and_ends(task: TaskConfig) -> None:
    state, data = start(TOY, task)
    with torch.no_grad():
        next(state.model.parameters()).fill_(math.nan)
    reports = list(fit(state, data))
    assert len(reports) == 1
    assert math.isnan(reports[0].val_macro_f1)
    assert reports[0].best_epoch == 0
    assert math.isnan(reports[0].best_val_macro_f1)
    assert reports[0].to_json()["val_macro_f1"] is None
    assert math.isnan(EpochReport.from_json(reports[0].to_json()).val_macro_f1)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_learning_rate_does_not_depend_on_where_a_trial_is_stopped(task: TaskConfig, schedule: str) -> None:
    task = dataclasses.replace(task, schedule=schedule)
    state, data = start(TOY, task)
    whole = [report.lr for report in fit(state, data)]
    state, data = start(TOY, task)
    reports = fit(state, data)
    stopped = [next(reports).lr, next(reports).lr]
    reports.close()
    assert stopped == whole[:2]
    assert whole[-1] < whole[0] if schedule == "cosine" else len(set(whole)) == 1


def test_the_checkpointer_restores_the_last_epoch_and_keeps_the_best_weights(task: TaskConfig, tmp_path: Path) -> None:
    folder = tmp_path / "00000"
    state, data = start(TOY, task)
    checkpointer = Checkpointer(folder)
    best = {}
    for report in fit(state, data):
        checkpointer.note_best(state)
        if report.best_epoch == report.epoch:
            best = {name: value.clone() for name, value in state.scored_model.state_dict().items()}
        if report.epoch == 2:
            checkpointer.after_epoch(state)
    checkpointer.close()
    saved = torch.load(folder / "best.pt", weights_only=True)
    assert all(torch.equal(best[name], saved[name]) for name in best)

    again, _ = start(TOY, task)
    Checkpointer(folder).restore(again, steps_per_epoch(task, len(data.train)))
    assert again.epoch == 2
    assert sorted(path.name for path in folder.iterdir()) == ["best.pt", "last.pt"]


def test_weights_alone_are_gone_on_from_as_if_their_epochs_lay_behind(task: TaskConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(TOY, ema=0.99)
    state, data = start(config, task)
    list(fit(state, data))
    weights = {name: value.clone() for name, value in state.scored_model.state_dict().items()}
    torch.save(weights, tmp_path / "start.pt")
    more = dataclasses.replace(task, epochs=5, start_epoch=3, train_on=("train", "val"), validate_on=())
    again, both = start(config, more)
    steps = steps_per_epoch(more, len(both.train))
    Checkpointer(tmp_path).restore(again, steps)
    assert again.ema is not None
    for network in (again.model, again.ema.module):
        assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())
    assert again.schedule.last_epoch == 3 * steps
    assert peak_lr(again.optimizer) == config.lr  # the warm-up lies behind, too
    assert [report.epoch for report in fit(again, both)] == [4, 5]
    assert not torch.equal(weights["classifier.weight"], again.scored_model.state_dict()["classifier.weight"])


def test_weights_of_another_network_are_named(task: TaskConfig, tmp_path: Path) -> None:
    state, data = start(TOY, task)
    torch.save({"classifier.weight": torch.zeros(1)}, tmp_path / "start.pt")
    with pytest.raises(ValueError, match=r"start\.pt holds no weights of this trial's network"):
        Checkpointer(tmp_path).restore(state, steps_per_epoch(task, len(data.train)))


def test_without_the_weights_to_go_on_from_nothing_is_trained(task: TaskConfig, tmp_path: Path) -> None:
    state, data = start(TOY, dataclasses.replace(task, start_epoch=2))
    with pytest.raises(ValueError, match=r"start\.pt is gone"):
        Checkpointer(tmp_path).restore(state, steps_per_epoch(task, len(data.train)))


def test_a_broken_checkpoint_is_named(task: TaskConfig, tmp_path: Path) -> None:
    state, _ = start(TOY, task)
    (tmp_path / "last.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"last\.pt is no checkpoint of this trial"):
        state.load(tmp_path / "last.pt")


def test_saving_that_fails_leaves_the_old_checkpoint(task: TaskConfig, tmp_path: Path, monkeypatch) -> None:
    state, _ = start(TOY, task)
    state.save(tmp_path / "last.pt")
    before = (tmp_path / "last.pt").read_bytes()

    def full(content: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        state.save(tmp_path / "last.pt")
    assert (tmp_path / "last.pt").read_bytes() == before
    assert [path.name for path in tmp_path.glob("last.pt*")] == ["last.pt"]


def test_a_full_disk_is_named_where_torch_hides_it(task: TaskConfig, tmp_path: Path, monkeypatch) -> None:
    state, _ = start(TOY, task)

    def full(content: object, path: Path) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RuntimeError, match="inline_container"):
        state.save(tmp_path / "last.pt")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="No space left on device"):
        state.save(tmp_path / "last.pt")


def test_a_trial_killed_while_frozen_goes_on_frozen(task: TaskConfig, tmp_path: Path) -> None:
    config, longer = dataclasses.replace(ALL_KNOBS, frozen_share=0.5), dataclasses.replace(task, epochs=4)
    whole, data = start(config, longer)
    expected = [numbers(report) for report in fit(whole, data)]
    first, data = start(config, longer)
    got = [numbers(next(fit(first, data)))]
    first.save(tmp_path / "last.pt")
    second, data = start(config, longer)
    second.load(tmp_path / "last.pt")
    got += [numbers(report) for report in fit(second, data)]
    assert got == expected


def test_only_the_classifier_is_trained_in_the_frozen_share(task: TaskConfig) -> None:
    state, data = start(dataclasses.replace(TOY, frozen_share=0.1), task)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    reports = fit(state, data)
    next(reports)
    changed = {name for name, value in state.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    next(reports)
    changed = {name for name, value in state.model.state_dict().items() if not torch.equal(value, before[name])}
    assert {"conv_stem.weight", "bn1.running_mean"} <= changed


@pytest.mark.parametrize("config", [TOY, ALL_KNOBS], ids=["plain", "all knobs"])
def test_frozen_stages_stay_as_they_came_also_through_a_restore(
    config: TrialConfig, task: TaskConfig, tmp_path: Path
) -> None:
    torch.save(create_backbone("test_efficientnet", 1000, 64).state_dict(), tmp_path / "weights.pt")
    task = dataclasses.replace(task, weights={"test_efficientnet": str(tmp_path / "weights.pt")})
    config = dataclasses.replace(config, frozen_stages=3)
    whole, data = start(config, task)
    came = {name: value.clone() for name, value in whole.model.state_dict().items()}
    expected = [numbers(report) for report in fit(whole, data)]
    first, data = start(config, task)
    reports = fit(first, data)
    got = [numbers(next(reports)), numbers(next(reports))]
    first.save(tmp_path / "last.pt")
    second, data = start(config, task)
    second.load(tmp_path / "last.pt")
    got += [numbers(report) for report in fit(second, data)]
    assert got == expected
    to_training(whole)
    is_trained = {name: module.training for name, module in whole.model.named_modules()}
    assert (is_trained["bn1"], is_trained["blocks.0.0.bn1"], is_trained["bn2"]) == (False, False, True)
    for network in (whole.model, second.model, whole.scored_model):
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, came[name])}
        assert changed and not [
            name for name in changed if name.startswith(("conv_stem", "bn1", "blocks.0", "blocks.1"))
        ]


def test_the_averaged_weights_are_scored_and_kept(task: TaskConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(TOY, ema=0.99)
    state, data = start(config, task)
    plain, _ = start(dataclasses.replace(TOY, ema=0.0), task)
    checkpointer = Checkpointer(tmp_path)
    for report, without in zip(fit(state, data), fit(plain, data), strict=True):
        checkpointer.note_best(state)
        assert report.train_loss == without.train_loss
        assert report.val_loss != without.val_loss
        if report.best_epoch == report.epoch:
            best = {name: value.clone() for name, value in state.scored_model.state_dict().items()}
    checkpointer.close()
    saved = torch.load(tmp_path / "best.pt", weights_only=True)
    assert saved.keys() == state.model.state_dict().keys()
    assert all(torch.equal(best[name], saved[name]) for name in best)
    trained, scored = state.model.state_dict(), state.scored_model.state_dict()
    assert not torch.equal(trained["classifier.weight"], scored["classifier.weight"])
    assert torch.equal(trained["bn1.num_batches_tracked"], scored["bn1.num_batches_tracked"])


def test_statistics_of_batch_normalization_are_averaged_as_the_weights_are(task: TaskConfig) -> None:
    state, data = start(dataclasses.replace(TOY, ema=0.99), task)
    assert state.ema is not None
    mean, update = state.ema.module.bn1.running_mean.clone(), state.ema.update

    def watched(model: torch.nn.Module, step: int) -> None:
        mean.lerp_(model.bn1.running_mean, 1 - state.ema.get_decay(step))
        update(model, step=step)

    state.ema.update = watched  # type: ignore[method-assign]
    next(fit(state, data))
    assert torch.allclose(state.scored_model.bn1.running_mean, mean)
    assert not torch.allclose(mean, state.model.bn1.running_mean)


def test_averages_follow_the_weights_from_the_start_of_a_short_training(task: TaskConfig) -> None:
    state, data = start(dataclasses.replace(TOY, ema=0.9999), dataclasses.replace(task, epochs=12))
    initial = state.model.classifier.weight.detach().clone()
    list(fit(state, data))
    moved = (state.scored_model.classifier.weight - initial).norm() / (state.model.classifier.weight - initial).norm()
    assert moved > 0.5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("config", EVERY_WAY.values(), ids=EVERY_WAY)
def test_training_on_a_gpu_reports_its_memory(config: TrialConfig, task: TaskConfig) -> None:
    state, data = start(config, dataclasses.replace(task, device="cuda"))
    reports = list(fit(state, data))
    assert len(reports) == 3
    assert 0 < reports[-1].peak_memory_bytes < 2e9


def test_the_latest_that_is_as_good_as_the_highest_is_the_best_after_a_restart_too(
    task: TaskConfig, tmp_path: Path
) -> None:
    state, _ = start(TOY, task)
    seen = []
    scored = dataclasses.replace(NOT_VALIDATED, loss=0.5, pictures=100)  # of which two are worth .02
    for epoch, score in enumerate((0.5, 0.49, 0.47, 0.6, 0.585, 0.59, 0.57, 0.6), start=1):
        state.epoch = epoch
        state.note(dataclasses.replace(scored, macro_f1=score), diverged=False)
        seen.append((state.best_epoch, state.best_val_score, state.highest_epoch))
        state.save(tmp_path / "last.pt")
        state, _ = start(TOY, task)
        state.load(tmp_path / "last.pt")
    assert seen == [
        *((1, 0.5, 1), (2, 0.49, 1), (2, 0.49, 1)),
        *((4, 0.6, 4), (5, 0.585, 4), (6, 0.59, 4), (6, 0.59, 4), (8, 0.6, 4)),
    ]
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    del saved["highest_val_score"], saved["highest_epoch"]
    torch.save(saved, tmp_path / "last.pt")
    state.load(tmp_path / "last.pt")
    assert (state.highest_val_score, state.highest_epoch) == (0.6, 8), "a checkpoint of before had the highest"


def test_averages_are_short_where_a_training_goes_on_with_other_pictures_also_after_a_kill(
    task: TaskConfig, tmp_path: Path
) -> None:
    more = dataclasses.replace(task, epochs=12, start_epoch=10, train_on=("train", "val"), validate_on=())
    state, _ = start(TOY, task)
    state.epoch, state.schedule.last_epoch = 10, 10_000
    state.save(tmp_path / "last.pt")
    torch.save(state.scored_model.state_dict(), tmp_path / "start.pt")
    counts = []
    for begin in (lambda new: new.load(tmp_path / "last.pt"), lambda new: new.begin_with(tmp_path / "start.pt", 1000)):
        again, _ = start(TOY, more)
        begin(again)
        counts.append(again.schedule.last_epoch - again.averaged_from)
        again.epoch, again.schedule.last_epoch = 11, 10_100
        again.save(tmp_path / "killed.pt")
        resumed, _ = start(TOY, more)
        resumed.load(tmp_path / "killed.pt")
        counts.append(resumed.schedule.last_epoch - resumed.averaged_from)
    assert counts == [3 * ANEW_OVER, 3 * ANEW_OVER + 100] * 2
    state.schedule.last_epoch = 100
    state.save(tmp_path / "last.pt")
    again, _ = start(TOY, more)
    again.load(tmp_path / "last.pt")
    assert again.averaged_from == 0, "they are no longer than that yet"
