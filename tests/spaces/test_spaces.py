"""Every space proposes valid configurations, replays them and travels as a plain pickle."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import optuna
import pytest

from spaces import SPACES, get_space
from trainables.config import RANGES, TrialConfig

ROOT = Path(__file__).resolve().parents[2]


def sampled(name: str, count: int) -> list[tuple[optuna.trial.Trial, TrialConfig]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(count)]
    return [(trial, get_space(name).suggest(trial)) for trial in trials]


@pytest.mark.parametrize("name", SPACES)
def test_a_hundred_samples_are_valid_named_like_their_fields_and_replay(name: str) -> None:
    space = get_space(name)
    for trial, config in sampled(name, 100):
        assert isinstance(config, TrialConfig)
        assert set(trial.params) <= {field.name for field in fields(TrialConfig)}
        assert all(getattr(config, key) == value for key, value in trial.params.items())
        assert space.suggest(optuna.trial.FixedTrial(asdict(config))) == config


@pytest.mark.parametrize("name", SPACES)
def test_a_space_pickles_plainly(name: str) -> None:
    space = get_space(name)
    again = pickle.loads(pickle.dumps(space.suggest))
    point = asdict(space.starting_points[0])
    assert again(optuna.trial.FixedTrial(point)) == space.suggest(optuna.trial.FixedTrial(point))


@pytest.mark.parametrize("name", SPACES)
def test_starting_points_lie_in_the_space_and_the_first_is_the_default(name: str) -> None:
    space = get_space(name)
    assert space.starting_points[0].backbone == space.backbones[0]
    for point in space.starting_points:
        assert space.suggest(optuna.trial.FixedTrial(asdict(point))) == point


@pytest.mark.parametrize("name", [name for name in SPACES if name != "baseline"])
def test_off_is_a_value_of_its_own_for_every_augmentation(name: str) -> None:
    configs = [config for _, config in sampled(name, 100)]
    for knob in ("flip", "crop", "blur", "noise", "sharpness", "contrast", "cutmix"):
        values = {getattr(config, knob) for config in configs}
        assert 0 in values
        assert max(values) > 0


def test_a_space_is_narrowed_to_some_of_its_backbones() -> None:
    space = get_space("efficientnet", ["tf_efficientnet_lite0", "efficientnet_b1"])
    assert space.backbones == ("efficientnet_b1", "tf_efficientnet_lite0")
    trial = optuna.create_study().ask()
    assert space.suggest(trial).backbone in space.backbones
    assert {point.backbone for point in space.starting_points} <= set(space.backbones)


def test_an_unknown_space_or_backbone_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no space 'eficientnet': did you mean 'efficientnet'"):
        get_space("eficientnet")
    with pytest.raises(ValueError, match=r"no backbone 'efficientnetb1': did you mean 'efficientnet_b1'"):
        get_space("efficientnet", ["efficientnetb1"])


@pytest.mark.parametrize("name", RANGES)
def test_a_configuration_outside_its_range_names_field_value_and_range(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} is -1: it must be between"):
        TrialConfig(backbone="resnet18", **{name: -1})


def test_every_backbone_is_one_that_timm_knows() -> None:
    timm = pytest.importorskip("timm")
    for module in SPACES.values():
        for backbone in module.BACKBONES:
            assert timm.is_model(backbone), backbone


def test_spaces_and_records_import_without_torch_or_ray() -> None:
    code = (
        "import sys, spaces, results.record, results.table, results.collect;"
        "sys.exit(bool({'torch', 'ray', 'timm', 'pandas'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
