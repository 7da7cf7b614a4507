"""What of the GPU check can be held where there is no GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from scripts.benchmarks.gpu_check import use_channels_first
from tests.trainables.training import test_loop
from trainables.config import TaskConfig, TrialConfig
from trainables.networks import formulation
from trainables.networks.formulation import build_network
from trainables.training import loop


def test_weights_and_pictures_lie_channel_by_channel_where_that_is_measured(
    task: TaskConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (loop, formulation):
        monkeypatch.setattr(module, "memory_format", module.memory_format)  # and is put back
    config = TrialConfig(backbone="mobilenetv3_small_050")

    def lie_apart() -> bool:
        network = build_network(config, task, torch.device("cpu"))
        return all(weights.is_contiguous() for weights in network.parameters() if weights.dim() == 4)

    assert not lie_apart()
    use_channels_first()
    assert lie_apart()
    assert loop.memory_format(config.backbone, torch.device("cpu")) == torch.contiguous_format


def test_the_device_of_the_cuda_tests_has_the_number_that_torch_asks_for(
    task: TaskConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[torch.device] = []

    def note(task: TaskConfig, device: torch.device) -> Any:
        devices.append(device)
        raise InterruptedError

    monkeypatch.setattr(test_loop, "load_data", note)
    with pytest.raises(InterruptedError):
        test_loop.start(test_loop.TOY, replace(task, device="cuda"))
    assert [torch.cuda._utils._get_device_index(device) for device in devices] == [0]  # as get_per_process_... does
