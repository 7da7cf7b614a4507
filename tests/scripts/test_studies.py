"""The studies as data, and one of them from the command to its page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from results.records.shelf import BUILT_IN
from results.records.trials import load_trials
from results.statistics.comparison import ATTRIBUTE, MEASURES
from scripts.studies import PLACES, Options, StudiesConfig, as_run_name, choose, main, unfit, without_places
from scripts.study import study_runner
from scripts.study.pages import name_for_pages, page_of_others
from scripts.study.study_list import FAMILIES, Study, all_studies, default_config
from scripts.study.study_runner import Studied, claimed_split, held_out_split
from search.flags import RUN_NAME, CacheFlags
from spaces import SPACES
from trainables.config import TrialConfig
from trainables.data.manifest import DataConfig, load_manifest

ROOT = Path(__file__).resolve().parents[2]
STUDIES = all_studies()
BASE = default_config("tf_efficientnet_lite0")


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_every_arm_of_every_study_is_a_configuration_of_its_own(study: Study) -> None:
    configs = [study.config_of(arm, BASE) for arm in study.arms]  # raises for an invalid value
    assert len(study.arms) >= 2
    assert len({arm.name for arm in study.arms}) == len(study.arms)
    ways = {(config, arm.claims_by) for config, arm in zip(configs, study.arms, strict=True)}
    assert len(ways) == len(study.arms)
    assert all("," not in arm.name for arm in study.arms)  # --arms has commas between names


def test_studies_have_names_of_their_own_and_known_measures() -> None:
    assert list(STUDIES) == ["dropout", "split", "formulation", "families", "augmentation", "imbalance"]
    for study in STUDIES.values():
        for name in study.expanded_measures(["mask"]):
            assert name in MEASURES or name == f"{ATTRIBUTE}mask"
    assert STUDIES["formulation"].expanded_measures(["mask", "age"]) == (
        "macro_f1",
        "attribute:mask",
        "attribute:age",
    )


def test_augmentations_one_by_one_switch_on_one_thing_and_together_all_of_it() -> None:
    study = STUDIES["augmentation"]
    bare = replace(BASE, **study.base)
    named = {arm.name: arm for arm in study.arms}
    for name in ("flip", "crop", "affine", "blur", "noise", "sharpness", "contrast", "brightness", "erasing"):
        changed = replace(bare, **named[name].config)
        assert {field for field in vars(bare) if getattr(bare, field) != getattr(changed, field)} == {name}
    together = replace(bare, **named["the team's five"].config)
    for name in ("blur", "noise", "cutmix", "sharpness", "contrast"):
        assert getattr(together, name) == getattr(replace(bare, **named[name].config), name) > 0


def test_families_are_one_backbone_a_family_each_in_its_own_default() -> None:
    families = [module for name, module in SPACES.items() if name not in ("all", "baseline", "toy")]
    assert len(FAMILIES) == len(families)
    for backbone, arm in zip(FAMILIES, STUDIES["families"].arms, strict=True):
        (family,) = [module for module in families if backbone in module.BACKBONES]
        assert TrialConfig(**arm.config) == family.starting_points([backbone])[0]


def test_a_backbone_of_no_space_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="no space has the backbone 'resnet19': did you mean 'resnet18'"):
        default_config("resnet19")


def test_arms_are_chosen_by_name_and_the_first_comes_along() -> None:
    (chosen,) = choose(STUDIES, ["imbalance"], ["focal"])
    assert [arm.name for arm in chosen.arms] == ["plain", "focal"]
    with pytest.raises(ValueError, match="--studies has dropuot: the studies are dropout, split"):
        choose(STUDIES, ["dropuot"], [])
    with pytest.raises(ValueError, match="--arms has focus: the arms of imbalance are plain, effective"):
        choose(STUDIES, ["imbalance"], ["focus"])
    with pytest.raises(ValueError, match="name one more, plain is what others are compared with"):
        choose(STUDIES, ["imbalance"], ["plain"])


def test_studies_that_the_data_do_not_allow_name_the_way_out() -> None:
    assert "--attributes mask gender age" in unfit(STUDIES["formulation"], has_attributes=False, has_groups=True)
    assert "--group-regex" in unfit(STUDIES["split"], has_attributes=True, has_groups=False)
    assert not unfit(STUDIES["split"], has_attributes=False, has_groups=True)
    assert not unfit(STUDIES["dropout"], has_attributes=False, has_groups=False)


def test_both_ways_to_cut_a_validation_side_hold_out_the_same_people(pictures: Path) -> None:
    manifest = load_manifest(DataConfig(data=pictures))
    held = held_out_split(manifest, seed=3)
    people = dict(zip(manifest.table["path"], manifest.table["group"], strict=True))
    out = set(held.table.loc[held.table["split"] == "val", "path"])
    shared = {}
    for by in ("group", "picture"):
        table = claimed_split(manifest, held, 3, by).table
        side = {name: set(table.loc[table["split"] == name, "path"]) for name in ("train", "val", "test")}
        assert side["test"] == out
        assert np.isclose(len(side["val"]) / len(table), 0.2, atol=0.06)
        train, val, test = ({people[path] for path in side[name]} for name in ("train", "val", "test"))
        assert not test & (train | val)
        shared[by] = train & val
    assert not shared["group"]
    assert shared["picture"]


def test_people_whom_the_data_keep_for_the_test_are_left_alone(pictures: Path) -> None:
    manifest = load_manifest(DataConfig(data=pictures))
    kept = manifest.table["group"].isin([f"p{person:02}" for person in range(6)])
    manifest = replace(manifest, table=manifest.table.assign(split=np.where(kept, "test", "")))
    held = held_out_split(manifest, seed=0)
    assert set(held.table["path"]) == set(manifest.table.loc[~kept, "path"])
    assert set(held.table["split"]) == {"train", "val"}
    assert set(claimed_split(manifest, held, 0, "picture").table["path"]) == set(held.table["path"])


def mistaken(*flags: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    places = ("--storage", str(folder / "runs"), "--out", str(folder / "out"), "--cache-dir", str(folder / "cache"))
    try:
        code = main([*flags, *places])
    except SystemExit as end:  # tyro's way
        code = end.code  # type: ignore[assignment]
    said = " ".join("".join(capfd.readouterr()).split())
    assert code == 2, said
    assert "Traceback" not in said
    return said


def test_mistakes_are_one_message_and_leave_nothing(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "--seeds is 1: it must be at least 2" in mistaken("--seeds", "1", folder=tmp_path, capfd=capfd)
    assert "the studies are dropout" in mistaken("--studies", "all", folder=tmp_path, capfd=capfd)
    assert "--arms are those of one study" in mistaken("--arms", "focal", folder=tmp_path, capfd=capfd)
    assert "no space has the backbone" in mistaken("--backbone", "vgg16", folder=tmp_path, capfd=capfd)
    data = ("--data", str(pictures), "--image-size", "32", "--name", "x")
    said = mistaken("--studies", "formulation", *data, folder=tmp_path, capfd=capfd)
    assert "the study formulation needs classes made of attributes" in said
    empty = tmp_path / "weights"
    empty.mkdir()
    said = mistaken("--studies", "dropout", "--weights", str(empty), *data, folder=tmp_path, capfd=capfd)
    assert "holds no file for tf_efficientnet_lite0" in said
    assert not list((tmp_path / "runs").glob("*/trials.jsonl"))
    assert not (tmp_path / "out").exists()


def test_data_sets_of_one_name_have_pages_of_their_own(tmp_path: Path) -> None:
    def name(place: str, called: str = "faces") -> str:
        return name_for_pages(tmp_path, called, STUDIES, place, called)

    assert name("one") == "faces"
    (tmp_path / "faces-split.md").write_text("<!-- macrotune:data:one -->\n")
    assert (name("one"), name("two")) == ("faces", "faces-2")
    (tmp_path / "faces-2-dropout.md").write_text("<!-- macrotune:data:two -->\n")
    assert (name("one"), name("two"), name("three")) == ("faces", "faces-2", "faces-3")
    (tmp_path / "demo-split.md").write_text("# Split\n\n* Data: built-in demo set: 840 pictures\n")
    assert name("four", "demo") == "demo-2", "a folder of the name that the built-in data have"
    assert page_of_others(tmp_path, "demo", STUDIES, "built-in", BUILT_IN) is None


def test_a_name_whose_page_is_of_other_data_is_refused(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "out" / "x-split.md"
    page.parent.mkdir()
    page.write_text("<!-- macrotune:data:0123 -->\n")
    said = mistaken("--studies", "split", "--data", str(pictures), "--name", "x", folder=tmp_path, capfd=capfd)
    assert "x-split.md is of other data: give another --name" in said.replace("\n", " ")
    assert page.read_text() == "<!-- macrotune:data:0123 -->\n"


@pytest.mark.parametrize("failed", [0, 2])
def test_a_study_of_which_trainings_failed_says_so_by_its_exit_code(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], failed: int
) -> None:
    monkeypatch.setattr(study_runner, "run_study", lambda *_: Studied(tmp_path / "page.md", failed))
    what = ("--studies", "split", "--data", str(pictures), "--image-size", "32", "--weights", "none", "--seeds", "2")
    code = main([*what, "--storage", str(tmp_path / "runs"), "--cache-dir", str(tmp_path / "cache")])
    assert code == (1 if failed else 0)
    said = capfd.readouterr()
    assert ("2 trainings failed" in said.out + said.err) == bool(failed)


def test_the_seeds_and_sizes_of_quick_can_be_overruled() -> None:
    assert StudiesConfig(quick=True).seed_list == [0, 1, 2]
    assert StudiesConfig(quick=True, seeds=5, seed=7).seed_list == [7, 8, 9, 10, 11]
    assert len(StudiesConfig().seed_list) == 10
    asked = Options(studies=StudiesConfig(quick=True, epochs=9)).asked("any").search
    assert (asked.image_size, asked.epochs) == (48, 9)


def test_a_page_shows_the_command_without_the_places_of_one_machine() -> None:
    given = ["--quick", "--data", "/home/me/faces", "--weights=/mnt/w", "--cache_dir", "c", "--corrections", "x/y.csv"]
    assert without_places([*given, "--studies", "split", "--weights", "none"]) == [
        *("--quick", "--data", "DIR", "--weights=DIR", "--cache_dir", "DIR", "--corrections", "FILE.csv"),
        *("--studies", "split", "--weights", "none"),
    ]
    flags = {
        f"--{field.name.replace('_', '-')}" for cls in (StudiesConfig, CacheFlags, DataConfig) for field in fields(cls)
    }
    assert set(PLACES) <= flags


def test_no_page_that_is_kept_shows_the_folders_of_one_machine() -> None:
    for page in (ROOT / "results" / "studies").glob("*.md"):
        assert not re.search(r"(?<![\w.)])/(home|work|tmp|mnt|root|data|Users)/", page.read_text()), page.name


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.long
def test_a_study_from_the_command_to_its_page_trains_nothing_twice(pictures: Path, tmp_path: Path) -> None:
    places = ("--storage", "runs", "--out", "out", "--cache-dir", "cache", "--name", "tiny")
    size = ("--image-size", "32", "--epochs", "1", "--batch-size", "16", "--seeds", "2")
    network = ("--backbone", "test_efficientnet", "--weights", "none")

    def run() -> str:
        command = [sys.executable, str(ROOT / "scripts/studies.py"), "--studies", "split", "--data", str(pictures)]
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
        flags = [*size, *network, *places]
        done = subprocess.run([*command, *flags], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=560)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    said = run()
    assert "4 trainings, 4 of them to be done" in said
    trials = load_trials(tmp_path / "runs" / "tiny")
    assert [trial.status for trial in trials] == ["finished"] * 4
    page = (tmp_path / "out" / "tiny-split.md").read_text()
    rows = re.findall(r"^\| by (?:person|picture) \| 1 \| \d+ \| -?[.1]\d{0,3}[.\d]* \[", page, re.MULTILINE)
    assert len(rows) == 6  # two arms: claimed, on people never seen, and the flattery
    assert "n = 2 repeats, seeds 0 to 1" in page
    assert "--data DIR" in page
    assert f"* Data: {pictures.name}: 96 pictures" in page
    assert str(tmp_path) not in page and str(pictures.parent) not in page
    assert "24 groups (people)" in page
    assert (tmp_path / "out" / "tiny-split.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "out" / "tiny-split.md").unlink()
    assert "4 trainings, 0 of them to be done" in run()
    after = (tmp_path / "out" / "tiny-split.md").read_text()
    assert [row for row in after.splitlines() if row[0:1] == "|"] == [
        row for row in page.splitlines() if row[0:1] == "|"
    ]


@pytest.mark.parametrize(
    ("folder", "name"),
    [("my pictures", "my-pictures"), ("Gesichter_übersicht", "Gesichter_-bersicht"), ("写真", "data")],
)
def test_folders_of_any_name_have_a_run(folder: str, name: str) -> None:
    assert as_run_name(folder) == name
    assert RUN_NAME.fullmatch(name)
