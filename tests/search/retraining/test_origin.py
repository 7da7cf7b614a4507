"""What a re-training starts from where the folder of the search is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.retraining.origin import from_record
from search.study import AskedStudy
from tests.records import a_record
from trainables.config import FORMULATIONS, TrialConfig

SETTINGS = {"seed": 0, "val_share": 0.2, "test_share": 0.2, "split_by": "group"}
OWN = """
from trainables.config import TrialConfig


def mine(trial):
    formulation = trial.suggest_categorical("formulation", ["joint", "heads"])
    return TrialConfig(backbone="test_vit", dropout=0.1, formulation=formulation)


STARTING_POINTS = [TrialConfig(backbone="test_vit", dropout=0.1)]
"""


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_the_control_of_a_record_alone_is_in_its_formulation(formulation: str, tmp_path: Path) -> None:
    config = TrialConfig(backbone="test_vit", lr=0.01, formulation=formulation)
    a_record(config=config, data={"split": SETTINGS}).save(tmp_path / "toy.json")
    source = from_record(tmp_path / "toy.json", AskedStudy.of(storage=tmp_path / "runs"))
    assert source.run is None
    assert source.default.formulation == formulation
    assert source.default.backbone == "test_efficientnet"


@pytest.mark.parametrize(("facts", "flip"), [({}, 0.5), ({"flips": False}, 0.0)])
def test_the_control_of_a_record_alone_mirrors_no_picture_where_its_search_did_not(
    facts: dict[str, bool], flip: float, tmp_path: Path
) -> None:
    config = TrialConfig(backbone="test_vit", flip=0.0)
    a_record(config=config, data={"split": SETTINGS, **facts}).save(tmp_path / "toy.json")
    assert from_record(tmp_path / "toy.json", AskedStudy.of(storage=tmp_path / "runs")).default.flip == flip


def test_a_space_that_proposes_the_formulation_itself_keeps_its_own_default(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    config = TrialConfig(backbone="test_vit", dropout=0.1, formulation="heads")
    a_record(space="own-mine", config=config, data={"split": SETTINGS}).save(tmp_path / "own-mine.json")
    study = AskedStudy.of(space=f"{tmp_path}/own.py:mine", storage=tmp_path / "runs")
    source = from_record(tmp_path / "own-mine.json", study)
    assert source.default == TrialConfig(backbone="test_vit", dropout=0.1)
