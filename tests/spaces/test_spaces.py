"""Every space proposes valid configurations, replays them and travels as a plain pickle."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from search.engine.searcher import build_searcher
from spaces import SPACES, Space, get_space
from spaces.all import FAMILIES
from spaces.sampling import RecordedTrial, at_share
from trainables.config import FORMULATIONS, RANGES, TrialConfig

ROOT = Path(__file__).resolve().parents[2]


def sampled(name: str, count: int, formulations: Sequence[str] = ()) -> list[tuple[RecordedTrial, TrialConfig]]:
    rng = np.random.default_rng(0)
    trials = [RecordedTrial(lambda _, spread: at_share(spread, rng.random())) for _ in range(count)]
    suggest = get_space(name, formulations=formulations).suggest
    return [(trial, suggest(trial)) for trial in trials]


@pytest.mark.parametrize("name", SPACES)
def test_a_hundred_samples_are_valid_named_like_their_fields_and_replay(name: str) -> None:
    space = get_space(name)
    for trial, config in sampled(name, 100):
        assert isinstance(config, TrialConfig)
        assert set(trial.params) <= {field.name for field in fields(TrialConfig)}
        assert all(getattr(config, key) == value for key, value in trial.params.items())
        assert space.suggest(optuna.trial.FixedTrial(asdict(config))) == config
        assert pickle.loads(pickle.dumps(config)) == config


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
    mixing = ("cutmix", "mixup") if name != "mobilenet" else ()
    photometric = ("sharpness", "contrast", "brightness")
    for knob in ("flip", "crop", "blur", "noise", "affine", "erasing", *photometric, *mixing):
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
    with pytest.raises(ValueError, match=r"no space 'effnet': did you mean 'efficientnet'"):
        get_space("effnet")
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
        "import sys, spaces, results.records.record, results.pages.table, results.records.run_folder;"
        "sys.exit(bool({'torch', 'ray', 'timm', 'pandas'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


DEFAULTS = {"weight_decay": 0.01, "warmup_share": 0.1, "sampling": "sqrt", "flip": 0.5, "crop": 0.2}


def test_the_defaults_that_records_compare_against_change_only_on_purpose() -> None:
    default = TrialConfig(
        backbone="efficientnet_b0", dropout=0.2, lr=1e-3, label_smoothing=0.1, frozen_stages=4, **DEFAULTS
    )
    assert get_space("efficientnet").starting_points[0] == default
    assert get_space("all").starting_points[0] == default
    assert get_space("toy").starting_points[0] == TrialConfig(backbone="test_efficientnet", dropout=0.0, lr=3e-3)


@pytest.mark.parametrize("name", [family.__name__.split(".")[1] for family in FAMILIES])
def test_a_family_starts_from_three_or_four_points_over_its_backbones_alone(name: str) -> None:
    space = get_space(name)
    assert 3 <= len(space.starting_points) <= 4
    assert len(set(space.starting_points)) == len(space.starting_points)
    assert len(get_space(name, space.backbones[-1:]).starting_points) == len(space.starting_points)


def test_only_backbones_whose_blocks_can_be_skipped_are_searched_over_drop_path() -> None:
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    for family in FAMILIES:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        trial = study.ask()
        family.suggest(trial)
        drop_path = {"drop_path_rate": 0.1} if "drop_path" in trial.params else {}
        for backbone in family.BACKBONES[:1] + family.BACKBONES[-1:]:
            with torch.device("meta"):
                model = timm.create_model(backbone, num_classes=2, drop_rate=0.1, **drop_path)
            skipped = any(isinstance(module, timm.layers.DropPath) for module in model.modules())
            assert skipped == bool(drop_path), backbone


def test_parameters_are_there_only_where_they_matter() -> None:
    for trial, config in sampled("toy", 200):
        suggested = set(trial.params)
        assert ("effective_beta" in suggested) == (config.loss == "effective_number")
        assert ("focal_gamma" in suggested) == (config.loss == "focal")
        assert ("logit_tau" in suggested) == (config.loss == "logit_adjusted")
        assert ("policy_magnitude" in suggested) == (config.policy == "rand")
        assert suggested.isdisjoint({"sharpness", "contrast", "brightness"}) == (config.policy != "none")
        assert config.label_smoothing == 0 or config.loss != "focal"
        assert config.sampling == "natural" or config.loss in ("cross_entropy", "focal")


def test_in_the_space_of_all_the_backbone_decides_what_else_there_is() -> None:
    seen = {}
    for trial, config in sampled("all", 300):
        family = next(family for family in FAMILIES if config.backbone in family.BACKBONES)
        seen.setdefault(family.__name__, set()).update(trial.params)
        assert family.suggest(optuna.trial.FixedTrial(asdict(config))) == config
    assert len(seen) == len(FAMILIES)
    assert "drop_path" not in seen["spaces.densenet"]
    assert "layer_decay" in seen["spaces.vit"]
    assert "layer_decay" not in seen["spaces.resnet"]
    assert "optimizer" not in seen["spaces.efficientnet"]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_search_over_all_families_is_one_study(on_disk: bool, tmp_path: Path) -> None:
    space = get_space("all", formulations=FORMULATIONS)
    num_points = 12 if on_disk else 100  # SQLite writes every parameter by itself
    points = [asdict(config) for _, config in sampled("all", num_points, formulations=FORMULATIONS)]
    searcher = build_searcher(
        space.suggest,
        metric="score",
        mode="max",
        max_epochs=1,
        seed=0,
        points=points,
        storage=tmp_path / "study.journal" if on_disk else None,
    )
    for number in range(num_points + 4):  # the last are proposed, some of them near trials of other families
        config = searcher.suggest(str(number))
        assert number >= num_points or config == points[number]
        again = space.suggest(optuna.trial.FixedTrial(config))
        assert pickle.loads(pickle.dumps(again)) == TrialConfig(**config)
        score = config["lr"] + ("resnet" in config["backbone"]) + (config["loss"] == "focal")
        searcher.on_trial_complete(str(number), {"training_iteration": 1, "score": score})
    searcher.close()
    trials = searcher.study.trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * (num_points + 4)
    for trial in trials:
        for name, distribution in trial.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(trial.params[name])), name


def test_formulations_are_fixed_or_searched_from_outside_the_space() -> None:
    assert {config.formulation for _, config in sampled("toy", 5)} == {"joint"}
    heads = get_space("toy", formulations=["heads"])
    assert {point.formulation for point in heads.starting_points} == {"heads"}
    several = get_space("toy", formulations=FORMULATIONS)
    assert several.formulations == FORMULATIONS
    assert [point.formulation for point in several.starting_points[:3]] == list(FORMULATIONS)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        config = pickle.loads(pickle.dumps(several.suggest))(trial)
        assert trial.params["formulation"] == config.formulation
        assert several.suggest(optuna.trial.FixedTrial(asdict(config))) == config
    assert get_space("baseline", formulations=FORMULATIONS).num_configs == 3


def refuse_proposals_of(setting: str, space: Space, count: int) -> TrialConfig:
    """Fails unless a setting is 0 in all that a space starts from or proposes, and nobody asks for it; the last."""
    assert {getattr(point, setting) for point in space.starting_points} == {0}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(count):
        trial = study.ask()
        config: TrialConfig = pickle.loads(pickle.dumps(space.suggest))(trial)
        assert getattr(config, setting) == 0 and setting not in trial.params
        assert space.suggest(optuna.trial.FixedTrial(asdict(config))) == config
    return config


@pytest.mark.parametrize("name", ["efficientnet", "all", "toy"])
def test_from_random_weights_no_stage_is_frozen_and_nobody_asks_how_many(name: str) -> None:
    config = refuse_proposals_of("frozen_stages", get_space(name, pretrained=False), 20)
    both = get_space(name, flips=False, pretrained=False)
    assert both.suggest(optuna.trial.FixedTrial(asdict(config))) == replace(config, flip=0.0)
    assert both.fixed == {"flip": 0.0, "frozen_stages": 0}


@pytest.mark.parametrize("name", ["baseline", "toy", "all"])
def test_without_flips_none_is_proposed_nor_started_from(name: str) -> None:
    space = get_space(name, flips=False)
    assert space.fixed == {"flip": 0.0}
    refuse_proposals_of("flip", space, 10)
