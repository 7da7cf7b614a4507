"""The table of spaces is read off the spaces, and the README's is the one that they give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.knobs import _condition, knobs_of, sources_of
from scripts.spaces import main
from spaces import SPACES
from spaces.sampling import RecordedTrial, at_share

ROOT = Path(__file__).resolve().parents[2]
OWN = '''
from spaces.suggest import suggest_loss
from trainables.config import TrialConfig


def suggest_rate(trial):
    """lr: what did well before."""
    return trial.suggest_float("lr", 1e-3, 1e-2, log=True)


def mine(trial):
    return TrialConfig(backbone="test_vit", lr=suggest_rate(trial), **suggest_loss(trial))
'''


@pytest.mark.parametrize("name", list(SPACES))
def test_every_searched_knob_has_a_range_and_a_source(name: str) -> None:
    for knob in knobs_of(name):
        assert knob.range
        assert knob.source or not knob.searched or knob.name == "backbone", f"{name}: no source for {knob.name}"


def test_ranges_and_sources_are_those_of_the_code() -> None:
    knobs = {knob.name: knob for knob in knobs_of("toy")}
    assert knobs["lr"].range == "0.0001 to 0.1, log"  # the widest of four optimizers
    assert knobs["lr"].source == "by optimizer, that of ResNet."
    assert knobs["dropout"].range == "0 to 0.7 by 0.1"
    assert knobs["policy_magnitude"].condition == "policy is rand"
    assert 0.2 < knobs["policy_magnitude"].share < 0.5
    assert knobs["contrast"].source.startswith("to the middle of AutoAugment's range (Cubuk et al. 2019)")


def test_the_knob_that_decides_about_another_is_found() -> None:
    rng = np.random.default_rng(0)
    trials = [RecordedTrial(lambda _, spread: at_share(spread, rng.random())) for _ in range(60)]
    for trial in trials:
        trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        trial.suggest_float("cutmix", 0, 1, step=0.25)
        if trial.suggest_categorical("loss", ["plain", "focal", "adjusted"]) == "focal":
            trial.suggest_float("gamma", 1, 5, step=1)
            trial.suggest_float("delta", 1, 5, step=1)
        if trial.params["cutmix"] > 0:
            trial.suggest_float("alpha", 0.1, 1)
    assert _condition("gamma", trials) == "loss is focal"
    assert _condition("delta", trials) == "loss is focal"  # not gamma, which only comes with it
    assert _condition("alpha", trials) == "cutmix > 0"


def test_the_space_of_all_has_the_sources_of_its_families() -> None:
    sources = sources_of(SPACES["all"])
    assert sources["lr"].startswith("those of the backbone's family")
    assert sources["layer_decay"] == sources_of(SPACES["vit"])["layer_decay"]
    assert "layer_decay" not in sources_of(SPACES["resnet"])


def test_the_table_of_the_readme_is_not_stale(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--readme", str(ROOT / "README.md"), "--check"]) == 0, capsys.readouterr().err


def test_a_stale_table_is_said_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# A project\n")
    assert main(["--readme", str(readme), "--check"]) == 1
    assert "is stale" in capsys.readouterr().err
    assert main(["--readme", str(readme)]) == 0
    assert readme.read_text().startswith("# A project\n\n## Spaces\n\n<!-- macrotune:spaces:begin -->")
    assert main(["--readme", str(readme), "--check"]) == 0


def test_a_space_is_shown_with_costs_and_licences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toy", "--image-size", "32", "--batch-size", "8", "--cache-dir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "| test_vit | 300 k | 1.44 M |" in said
    assert "apache-2.0" in said
    (tmp_path / "own.py").write_text(OWN)
    flags = ["--image-size", "32", "--cache-dir", str(tmp_path)]
    assert main([f"{tmp_path}/own.py:mine", *flags]) == 0
    said = capsys.readouterr().out
    assert "own-mine: 1 vision_transformer, at 32 px" in said
    assert "| lr | 0.001 to 0.01, log | always | what did well before. |" in said
    assert "| sampling | natural, balanced, sqrt | loss is cross_entropy or focal" in said
    assert main(["toys"]) == 2
    assert "did you mean 'toy'" in capsys.readouterr().err
    assert main(["toy", "--device", "gpu"]) == 2
    assert "the device 'gpu' cannot be used here" in capsys.readouterr().err
    (tmp_path / "typo.py").write_text(OWN.replace("test_vit", "test_vitt"))
    assert main([f"{tmp_path}/typo.py:mine", *flags]) == 2
    assert "timm has no model 'test_vitt': did you mean" in capsys.readouterr().err
