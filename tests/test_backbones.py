"""Backbones learn and answer on the CPU as their space proposes to train them.

One of each family, the first; every backbone of every space by `pytest tests/test_backbones.py --all-backbones`,
before a change to the spaces or a newer timm is taken.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from spaces import get_space
from spaces.all import BACKBONES, FAMILIES
from spaces.sampling import RecordedTrial, at_share
from spaces.toy import BACKBONES as TINY
from trainables.config import TaskConfig, TrialConfig
from trainables.data.batches import load_data
from trainables.training.loop import fit
from trainables.training.state import TrainState

IMAGE_SIZE = 32
"""The smallest that all of them take, and twice the patch of a transformer."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One backbone a family, or all of them where that is asked for."""
    if "backbone" in metafunc.fixturenames:
        first = tuple(family.BACKBONES[0] for family in FAMILIES)
        chosen = (*TINY, *BACKBONES) if metafunc.config.getoption("--all-backbones") else first
        metafunc.parametrize("backbone", chosen)


def proposed(backbone: str) -> TrialConfig:
    """A random sample of a space that holds this backbone alone."""
    rng = np.random.default_rng(0)
    return get_space("toy" if backbone in TINY else "all", [backbone]).suggest(
        RecordedTrial(lambda _, spread: at_share(spread, rng.random()))
    )


@pytest.mark.slow
def test_a_backbone_trains_a_step_and_answers(backbone: str, task: TaskConfig) -> None:
    task = replace(task, image_size=IMAGE_SIZE, epochs=1, batch_size=64)  # all 64 pictures in one step
    data = load_data(task, torch.device("cpu"))
    state = TrainState.start(proposed(backbone), task, steps_per_epoch=1)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    (report,) = fit(state, data)
    changed = {name for name, value in state.model.state_dict().items() if not torch.equal(value, before[name])}
    learnt = [name for name, parameter in state.model.named_parameters() if name in changed]
    assert learnt, "no parameter has moved"
    assert not report.diverged
    assert math.isfinite(report.val_loss)
    assert 0 <= report.val_macro_f1 <= 1
