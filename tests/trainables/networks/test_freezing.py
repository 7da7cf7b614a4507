"""First stages of a pretrained network that stay as they are, in networks of several families and formulations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainables.config import TaskConfig, TrialConfig
from trainables.errors import UserError
from trainables.networks.formulation import build_network
from trainables.networks.freezing import choose_trained
from trainables.networks.model import create_backbone
from trainables.networks.network_costs import training_step
from trainables.training.optim import build_optimizer
from trainables.training.state import TrainState

CPU = torch.device("cpu")
BACKBONE = "test_efficientnet"
FAMILIES = (BACKBONE, "test_resnet", "test_convnext", "test_vit")
STEMS = ("conv_stem", "bn1", "conv1", "stem", "patch_embed")
ATTRIBUTES = {"shape": ("round", "square", "round", "square"), "size": ("small", "small", "large", "large")}
TASK = TaskConfig(
    cache_path="",
    split_path="",
    checkpoint_dir="",
    classes=("a", "b", "c", "d"),
    attributes=ATTRIBUTES,
    image_size=64,
    epochs=10,
    device="cpu",
)


@pytest.fixture
def pretrained(tmp_path: Path) -> TaskConfig:
    """A task whose network has weights of its own."""
    torch.manual_seed(1)
    torch.save(create_backbone(BACKBONE, 1000, 64).state_dict(), tmp_path / "weights.pt")
    return replace(TASK, weights={BACKBONE: str(tmp_path / "weights.pt")})


def step(model: nn.Module, config: TrialConfig) -> None:
    optimizer = build_optimizer(config, model)
    torch.manual_seed(2)
    for _ in range(2):  # blocks that begin with a scale of 0 wait a step
        optimizer.zero_grad(set_to_none=True)
        model(torch.randn(4, 3, 64, 64)).logsumexp(1).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lamb"])
@pytest.mark.parametrize("backbone", FAMILIES)
def test_the_first_stages_keep_weights_and_statistics_while_all_others_learn(backbone: str, optimizer: str) -> None:
    torch.manual_seed(0)
    model = create_backbone(backbone, 3, 64).train()
    stem = {name for name in model.state_dict() if name.startswith(STEMS)}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    choose_trained(model, 2)
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert stem & frozen and len(frozen) < len(before) / 2
    step(model, TrialConfig(backbone=backbone, optimizer=optimizer, weight_decay=0.1, layer_decay=0.8))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not changed & (frozen | stem)
    learns = {name for name, _ in model.named_parameters()} - frozen
    assert len(learns & changed) > 0.8 * len(learns)  # a scale of 1 needs more steps to move
    choose_trained(model, 0)
    assert all(value.requires_grad for value in model.parameters())


def test_only_pretrained_stages_are_frozen(pretrained: TaskConfig) -> None:
    config = TrialConfig(backbone=BACKBONE, frozen_stages=3)
    for task, num in ((TASK, 0), (pretrained, 3)):
        state = TrainState.start(config, task, 1)
        assert state.frozen_stages == config.stages_frozen(task) == num
        assert all(value.requires_grad for value in state.model.parameters()) == (num == 0)
    held = {id(value) for group in state.optimizer.param_groups for value in group["params"]}
    assert held == {id(value) for value in state.model.parameters() if value.requires_grad}


@pytest.mark.parametrize("formulation", ["joint", "heads", "separate"])
def test_each_network_of_a_formulation_keeps_its_first_stages(pretrained: TaskConfig, formulation: str) -> None:
    model = build_network(TrialConfig(backbone=BACKBONE, formulation=formulation), pretrained, CPU).train()
    choose_trained(model, 3)
    still = [name for name, value in model.named_parameters() if not value.requires_grad]
    assert len([name for name in still if name.endswith("conv_stem.weight")]) == (2 if formulation == "separate" else 1)
    choose_trained(model, 3, classifier_alone=True)
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    assert trained and all("classifier" in name for name in trained)


def test_the_classifier_learns_however_many_stages_are_frozen() -> None:
    model = create_backbone("test_resnet", 3, 64).train()
    choose_trained(model, 6)
    assert [name for name, value in model.named_parameters() if value.requires_grad] == ["fc.weight", "fc.bias"]


def test_a_network_without_stages_is_refused_with_the_way_out() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def get_classifier(self) -> nn.Module:
            return self.fc

    choose_trained(Plain(), 0)
    with pytest.raises(UserError, match=r"Plain does not say what its stages are .* set frozen_stages to 0"):
        choose_trained(Plain(), 2)


def test_a_timing_trains_no_frozen_stage() -> None:
    model = create_backbone(BACKBONE, 2, 64).train()
    choose_trained(model, 3)
    before = {name: value.clone() for name, value in model.named_parameters()}
    training_step(model, 64, 4, CPU, torch.channels_last)()
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name, value in model.named_parameters() if value.requires_grad}


@pytest.mark.parametrize("value", [-1, 7, 2.0])
def test_other_numbers_of_stages_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="frozen_stages is"):
        TrialConfig(backbone=BACKBONE, frozen_stages=value)
