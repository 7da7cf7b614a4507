"""Facts: computed from the network, near what others publish, kept and rebuilt."""

from __future__ import annotations

import gc
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from trainables.networks.known_costs import (
    FACTS_FILE,
    FactsError,
    StepSetting,
    TrialFacts,
    TrialSetting,
    known_throughput,
    measure_throughput,
    model_facts,
    recall_memory,
    recall_trial,
    remember_trial,
)
from trainables.networks.model import num_parameters
from trainables.networks.network_costs import build


def test_facts_of_a_resnet_are_those_that_are_published() -> None:
    facts = model_facts("resnet50", 224)
    assert facts.parameters == num_parameters("resnet50")
    assert facts.multiply_adds == pytest.approx(4.09e9, rel=0.01)  # torchvision's model page
    assert facts.activations == pytest.approx(11.1e6, rel=0.01)  # Radosavovic et al. 2020, table 5


def test_attention_counts_and_keeps_no_square_of_its_length() -> None:
    small, large = model_facts("test_vit", 64), model_facts("test_vit", 128)
    assert 4 < large.multiply_adds / small.multiply_adds < 8
    assert large.kept_bytes / small.kept_bytes < 4.2


def test_bfloat16_keeps_less() -> None:
    facts = model_facts("test_efficientnet", 64)
    assert 0.4 < facts.kept_bytes_bfloat16 / facts.kept_bytes < 0.6
    assert facts.training_bytes(64, "bfloat16") == facts.training_bytes(64, "float16") < facts.training_bytes(64)


def test_the_memory_of_a_step_is_near_what_is_allocated() -> None:
    model = build("test_resnet", 64).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    pictures, targets = torch.rand(64, 3, 64, 64), torch.zeros(64, dtype=torch.long)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(pictures), targets).backward()
        optimizer.step()

    step()
    optimizer.zero_grad(set_to_none=True)
    gc.collect()  # tensors that other tests keep in circles would count as given back
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    events = seen.profiler.kineto_results.events()
    deltas = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    peak = max(itertools.accumulate(nbytes for _, nbytes in deltas))
    facts = model_facts("test_resnet", 64)
    held = 3 * 4 * facts.parameters  # the weights and AdamW's two moments, from before
    assert 0.9 < (held + peak) / facts.training_bytes(64) < 1.3


def test_a_size_that_does_not_suit_is_an_error_that_names_both() -> None:
    with pytest.raises(FactsError, match=r"test_vit cannot be run at 2 px"):
        model_facts("test_vit", 2)


def test_facts_are_kept_and_a_broken_file_is_rebuilt(tmp_path: Path) -> None:
    facts = model_facts("test_resnet", 32, tmp_path)
    path = tmp_path / FACTS_FILE
    (key,) = json.loads(path.read_text())
    for broken in ("", "[1]", '{"half', json.dumps({key: {"parameters": 1}}), json.dumps({key: 3})):
        path.write_text(broken)
        assert model_facts("test_resnet", 32, tmp_path) == facts
        assert key in json.loads(path.read_text())
    changed = json.loads(path.read_text())
    changed[key]["parameters"] = 7
    path.write_text(json.dumps(changed))
    assert model_facts("test_resnet", 32, tmp_path).parameters == 7


def test_throughput_is_measured_once_and_leaves_generator_and_threads_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.networks.network_costs.MEASURED_SECONDS", 0.1)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    setting = StepSetting("test_resnet", 32, 8, "cpu", 1)
    assert known_throughput(setting, tmp_path) is None
    first = measure_throughput(setting, tmp_path)
    assert first > 0
    assert measure_throughput(setting, tmp_path) == first
    assert measure_throughput(replace(setting, batch_size=4), tmp_path) != first
    assert known_throughput(replace(setting, precision="float32"), tmp_path) == first  # auto on a CPU
    assert known_throughput(replace(setting, precision="bfloat16"), tmp_path) is None
    assert known_throughput(setting, tmp_path) == first
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads


SETTING = TrialSetting("test_resnet", 32, 8, "cpu", 1)


def test_a_trial_is_remembered_by_what_its_memory_depends_on(tmp_path: Path) -> None:
    assert recall_trial(SETTING, tmp_path) is None
    remember_trial(SETTING, tmp_path, TrialFacts(90.0))
    assert recall_trial(SETTING, tmp_path) == TrialFacts(90.0)
    assert recall_trial(replace(SETTING, precision="float32"), tmp_path) == TrialFacts(90.0)  # auto on a CPU
    for other in ({"backbone": "resnet18"}, {"image_size": 64}, {"batch_size": 16}, {"precision": "bfloat16"}):
        assert recall_trial(replace(SETTING, **other), tmp_path) is None


def test_the_latest_speed_and_the_largest_memory_are_remembered(tmp_path: Path) -> None:
    for took in (TrialFacts(90.0, 3000), TrialFacts(80.0, 2000), TrialFacts(85.0)):
        remember_trial(SETTING, tmp_path, took)
    assert recall_trial(SETTING, tmp_path) == TrialFacts(85.0, 3000)


def test_the_speed_of_trials_that_share_a_gpu_is_none_of_one_that_has_it_alone(tmp_path: Path) -> None:
    alone = replace(SETTING, device="cuda")
    assert recall_memory(alone, tmp_path) is None
    remember_trial(replace(alone, sharers=2), tmp_path, TrialFacts(40.0, 3000))
    assert recall_trial(alone, tmp_path) is None
    remember_trial(alone, tmp_path, TrialFacts(90.0, 2000))
    assert recall_trial(alone, tmp_path) == TrialFacts(90.0, 2000)
    assert recall_trial(replace(alone, sharers=2), tmp_path) == TrialFacts(40.0, 3000)
    assert {recall_memory(replace(alone, sharers=number), tmp_path) for number in (1, 2, 4)} == {3000}
    remember_trial(replace(SETTING, sharers=2), tmp_path, TrialFacts(7.0))
    assert recall_trial(SETTING, tmp_path) == TrialFacts(7.0)  # on a CPU each has threads of its own


def test_a_broken_memory_of_a_trial_is_none(tmp_path: Path) -> None:
    remember_trial(SETTING, tmp_path, TrialFacts(90.0))
    path = tmp_path / FACTS_FILE
    (key,) = json.loads(path.read_text())
    for broken in ({"images_per_second": "fast", "memory_bytes": None}, {"images_per_second": 3}, 7):
        path.write_text(json.dumps({key: broken}))
        assert recall_trial(SETTING, tmp_path) is None
