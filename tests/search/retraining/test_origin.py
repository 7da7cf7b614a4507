"""What a re-training starts from where the folder of the search is gone."""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from results.records.run_folder import RunFolder, load_run
from search.cost_flags import CostFlags
from search.flags import SplitFlags
from search.model_limits import second_view
from search.prepare import prepare_data
from search.retraining.origin import from_record, from_run, open_pictures
from search.start import _make_folder
from search.study import AskedStudy
from tests.records import a_record
from tests.runs import a_run_dir
from trainables.config import FORMULATIONS, TrialConfig
from trainables.data.manifest import DataConfig, DataError
from trainables.errors import UserError
from trainables.second_view import MIRRORED_WHOLE, NONE

SETTINGS = {"seed": 0, "val_share": 0.2, "test_share": 0.2, "split_by": "group"}
POINT = asdict(TrialConfig(backbone="test_vit"))
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


def test_a_run_whose_own_space_has_moved_is_trained_again_all_the_same(tmp_path: Path) -> None:
    run = load_run(a_run_dir(tmp_path / "a"))
    for name, space in (("a", f"{tmp_path}/gone.py:mine"), ("b", "nowhere")):
        moved = replace(run, name=name, options={**run.options, "space": space}, points=[POINT])
        a_run_dir(tmp_path / name)
        moved.save(RunFolder(tmp_path / name).run_json)
    assert from_run(tmp_path, "a").name == "a"
    with pytest.raises(UserError, match="nowhere"):
        from_run(tmp_path, "b")


def test_a_run_is_trained_again_with_the_corrections_that_it_has_kept(pictures: Path, tmp_path: Path) -> None:
    lines, console = tmp_path / "lines.csv", Console(file=io.StringIO())
    lines.write_text("key,column,value\np00_0.png,group,p01\n")
    data = DataConfig(data=pictures, corrections=lines)
    places = {"cache_path": tmp_path / "cache", "console": console}
    prepared = prepare_data(data, SplitFlags(), seed=0, image_size=32, **places)
    run = load_run(a_run_dir(tmp_path / "x"))
    run = replace(
        run,
        name="a",
        points=[POINT],
        options={**run.options, "space": "toy", "data": str(pictures), "corrections": str(lines)},
        task=replace(run.task, image_size=32),
        split_hash=prepared.split.hash(pictures),
    )
    _make_folder(run, tmp_path / "a", prepared, lines)
    lines.write_text("key,column,value\np00_0.png,label,another\n")
    source = from_run(tmp_path, "a")
    cache, split = open_pictures(source, DataConfig(), tmp_path / "cache", console)
    assert cache == prepared.cache.path and split.table.equals(prepared.split.table)
    with pytest.raises(DataError, match="another"):
        open_pictures(source, DataConfig(corrections=lines), tmp_path / "cache", console)


def answering(**asked: Any) -> dict[str, Any]:
    """What the record of a search says of its costs, whose best network is a test_vit, and its front too."""
    point = {"backbone": "test_vit", "formulation": "joint", "ms": 2.0, "parameters": 400_000}
    nothing = dict.fromkeys(("objective", "max_ms", "max_parameters"))
    return {"where": "1 thread", **nothing, "best": point, "front": [point] if "objective" in asked else [], **asked}


@pytest.mark.parametrize(
    ("asked", "second_view_is", "fits"),
    [
        ({"max_ms": 9.0}, NONE, False),
        ({"max_parameters": "1M"}, MIRRORED_WHOLE, False),
        ({"objective": "f1,ms"}, NONE, True),
        ({"objective": "f1,ms", "max_ms": 9}, NONE, False),
        ({"objective": "f1"}, MIRRORED_WHOLE, True),
        (None, MIRRORED_WHOLE, True),
    ],
)
def test_a_record_alone_tells_the_limits_and_what_a_model_may_answer_to(
    asked: dict[str, Any] | None, second_view_is: str, fits: bool, tmp_path: Path
) -> None:
    config = TrialConfig(backbone="test_vit", flip=0.5, crop=0.2)
    known = None if asked is None else answering(**asked)
    a_record(config=config, data={"split": SETTINGS}, answering=known).save(tmp_path / "toy.json")
    source = from_record(tmp_path / "toy.json", AskedStudy.of(storage=tmp_path / "runs"))
    assert source.study.cost == CostFlags(**asked or {})
    assert second_view(source.run, [config], source.study.cost) == second_view_is
    assert source.default.backbone == "test_efficientnet" and source.default_fits is fits


@pytest.mark.parametrize(("backbone", "fits"), [("test_efficientnet", True), ("test_resnet", False)])
def test_the_control_of_a_record_alone_is_within_limits_where_its_network_was_trained(
    backbone: str, fits: bool, tmp_path: Path
) -> None:
    config = TrialConfig(backbone=backbone, lr=0.01)
    known = answering(max_ms=9.0)
    a_record(config=config, data={"split": SETTINGS}, answering=known).save(tmp_path / "toy.json")
    assert from_record(tmp_path / "toy.json", AskedStudy.of(storage=tmp_path / "runs")).default_fits is fits
