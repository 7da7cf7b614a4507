"""Weights of an earlier run: which models trials can start from, and that they do, under a new classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from search.flags import SearchFlags
from trainables.networks.model import create_backbone
from trainables.networks.weights import (
    WeightsError,
    check_weights,
    refuse_changed_files,
    resolve_weights,
)
from trainables.parts.loading import run_source, use
from trainables.saved.model_description import Member
from trainables.saved.saved_model import save_model, save_together

NAME, OTHER = "test_efficientnet", "test_resnet"
SPACE = (OTHER, NAME)


def saved(folder: Path, *, num_classes: int = 5, formulation: str = "joint", seed: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    network = create_backbone(NAME, num_classes, 32)
    classes = [f"c{number}" for number in range(num_classes)]
    save_model(
        folder,
        network,
        backbone=NAME,
        classes=classes,
        attributes={},
        image_size=32,
        record={"run": "before"},
        formulation=formulation,
    )
    return network


def test_a_trial_starts_from_the_network_under_a_classifier_of_its_own(tmp_path: Path) -> None:
    network = saved(tmp_path / "model")
    found = resolve_weights(SPACE, str(tmp_path / "model"), tmp_path)
    assert found.backbones == (NAME,)
    assert found.sources[NAME].startswith("own model model of run before sha256:")
    assert f"for {OTHER}: left out of the search" in found.note
    check_weights(NAME, found.files[NAME])
    started = create_backbone(NAME, 3, 32, file=found.files[NAME]).state_dict()
    for name, value in network.state_dict().items():
        if name.startswith("classifier"):
            assert started[name].shape[0] == 3
        else:
            assert torch.equal(value, started[name]), name


def test_models_that_no_trial_can_start_from_are_refused_with_the_way_out(tmp_path: Path) -> None:
    network = saved(tmp_path / "one")
    with pytest.raises(WeightsError, match=f"is a {NAME}, which is not among the backbones .* take a --space"):
        resolve_weights((OTHER,), str(tmp_path / "one"), tmp_path)
    mean = (0.5, 0.5, 0.5)
    members = [Member(backbone=NAME, share=0.5, mean=mean, std=mean)] * 2
    classes = [f"c{number}" for number in range(5)]
    save_together(
        tmp_path / "two", [network, network], members, None, classes=classes, attributes={}, image_size=32, record={}
    )
    with pytest.raises(WeightsError, match=r"the model is 2 networks .* --single, or of a re-training"):
        resolve_weights(SPACE, str(tmp_path / "two"), tmp_path)
    (tmp_path / "one" / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"there is no model\.safetensors beside model\.json"):
        resolve_weights(SPACE, str(tmp_path / "one"), tmp_path)
    (tmp_path / "one" / "model.json").write_text("{")
    with pytest.raises(WeightsError, match="is broken"):
        resolve_weights(SPACE, str(tmp_path / "one"), tmp_path)
    with pytest.raises(WeightsError, match=r"no such folder.*or the folder of a run or of its model"):
        resolve_weights(SPACE, str(tmp_path / "gone"), tmp_path)


def test_a_run_does_not_go_on_from_other_weights(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    found = resolve_weights(SPACE, str(tmp_path / "model"), tmp_path)
    refuse_changed_files(found.files, found.sources)
    saved(tmp_path / "model", seed=4)
    with pytest.raises(WeightsError, match="it has been written anew"):
        refuse_changed_files(found.files, found.sources)
    Path(found.files[NAME]).unlink()
    with pytest.raises(WeightsError, match="is gone: bring it back"):
        refuse_changed_files(found.files, found.sources)


def test_a_run_stands_for_its_best_model(tmp_path: Path) -> None:
    for name in ("model", "retrained"):
        saved(tmp_path / "runs" / "a" / name)
    (tmp_path / "runs" / "a" / "run.json").write_text("{}")
    run = tmp_path.resolve() / "runs" / "a"
    asked = {
        run: run / "retrained",
        run / "model": run / "model",
        run / "model" / "model.safetensors": run / "model",
    }
    for given, taken in asked.items():
        assert SearchFlags(weights=str(given)).absolute().weights == str(taken)


def test_a_trial_starts_from_a_model_of_an_own_network(tmp_path: Path) -> None:
    source = (
        "from torch import nn\nfrom macrotune import parts\n@parts.network\ndef thin():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    try:
        use(run_source(source, "my.py"))
        torch.manual_seed(0)
        save_file(create_backbone("thin", 5, 32).state_dict(), tmp_path / "thin.safetensors")
        check_weights("thin", str(tmp_path / "thin.safetensors"))
        save_file({"body.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "half.safetensors")
        with pytest.raises(WeightsError, match="does not hold the weights of thin"):
            check_weights("thin", str(tmp_path / "half.safetensors"))
    finally:
        use(None)
