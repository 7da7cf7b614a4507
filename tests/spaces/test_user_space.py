"""A user's own space: found, checked against what a search relies on, and refused with the way out."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from results.records.record import check_space
from search.checks import proposals, refuse_formulations, weights_of_space
from search.flags import SearchFlags
from search.study import AskedStudy
from spaces import absolute_space, get_space, space_name
from trainables.config import TrialConfig
from trainables.data.manifest import DataConfig, load_manifest

ROOT = Path(__file__).resolve().parents[2]

GOOD = """
from dataclasses import dataclass

from spaces.suggest import suggest_augmentation
from trainables.config import TrialConfig


@dataclass
class Rates:
    low: float = 1e-4


def mine(trial):
    return TrialConfig(
        backbone=trial.suggest_categorical("backbone", ["test_resnet", "test_vit"]),
        lr=trial.suggest_float("lr", Rates().low, 1e-2, log=True),
        **suggest_augmentation(trial),
    )


def fixed(trial):
    return TrialConfig(backbone="test_vit", dropout=trial.suggest_float("dropout", 0.0, 0.5))
"""

HEAD = "import random\nfrom trainables.config import TrialConfig\n"


def write(folder: Path, text: str, name: str = "my spaces.py") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_function_in_a_file_is_a_space_that_travels_as_its_path_and_name(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    space = get_space(f"{path}:mine")
    assert space.own
    assert space.name == "my_spaces-mine" == space_name(f"{path}:mine")
    check_space(space.name)
    assert space.backbones == ("test_resnet", "test_vit")
    assert space.formulations == ("joint",)
    assert len(space.starting_points) == 1
    point = asdict(space.starting_points[0])
    assert pickle.loads(pickle.dumps(space.suggest))(optuna.trial.FixedTrial(point)) == space.starting_points[0]
    (tmp_path / "space.pkl").write_bytes(pickle.dumps(space.suggest))
    code = (
        "import optuna, pickle, pathlib, sys;"
        "space = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
        "print(space(optuna.trial.FixedTrial(eval(sys.argv[2]))).lr)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "space.pkl"), repr({**point, "lr": 0.005})]
    assert subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout == "0.005\n"
    assert not (tmp_path / "__pycache__").exists()


def test_a_fixed_backbone_and_other_functions_of_the_file_count_too(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    space = get_space(f"{path}:fixed", formulations=["heads"])
    assert space.backbones == ("test_vit",)
    assert space.starting_points[0].formulation == "heads"
    assert get_space(f"{path}:fixed", ["test_vit"]).backbones == ("test_vit",)


def test_a_space_of_one_s_own_mirrors_no_picture_where_it_is_told_so(tmp_path: Path) -> None:
    rate = 'suggest_float("lr", Rates().low, 1e-2,'
    assert rate in GOOD
    by_keyword = GOOD.replace(rate, 'suggest_float(name="lr", low=Rates().low, high=1e-2,')
    space = get_space(f"{write(tmp_path, by_keyword)}:mine", flips=False)
    assert space.own and {point.flip for point in space.starting_points} == {0.0}
    trial = optuna.create_study().ask()
    assert space.suggest(trial).flip == 0 and "flip" not in trial.params and "lr" in trial.params


def test_points_of_the_file_are_tried_first(tmp_path: Path) -> None:
    points = "\nSTARTING_POINTS = [TrialConfig(backbone='test_vit', dropout=0.1)]\n"
    space = get_space(write(tmp_path, GOOD + points) + ":fixed")
    assert space.starting_points == (TrialConfig(backbone="test_vit", dropout=0.1),)
    outside = points.replace("0.1", "0.8")
    with pytest.raises(ValueError, match=r"my spaces.py: STARTING_POINTS\[0\] does not lie in fixed .*dropout"):
        get_space(write(tmp_path, GOOD + outside) + ":fixed")
    for wrong in ("TrialConfig(backbone='test_vit', dropout=0.1)", "7"):
        with pytest.raises(ValueError, match=r"STARTING_POINTS is \w+: it must be a list, as in \[TrialConfig"):
            get_space(write(tmp_path, f"{GOOD}\nSTARTING_POINTS = {wrong}\n") + ":fixed")
    drawn = "\nSTARTING_POINTS = (TrialConfig(backbone='test_vit', dropout=each) for each in (0.1, 0.2))\n"
    assert len(get_space(write(tmp_path, GOOD + drawn) + ":fixed").starting_points) == 2
    with pytest.raises(ValueError, match=r"STARTING_POINTS\[0\] is dict: it must be a TrialConfig"):
        get_space(write(tmp_path, GOOD + "\nSTARTING_POINTS = [{}]\n") + ":fixed")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return {'backbone': 'a'}", r"mine returns dict: it must return a TrialConfig \(from trainables.config"),
        (
            "return TrialConfig(backbone='a', lr=trial.suggest_float('learning_rat', .1, .2))",
            "suggests 'learning_rat', which is no field of TrialConfig.*A suggested name is the field",
        ),
        (
            "return TrialConfig(backbone='a', lr=trial.suggest_float('lr', .1, .2) / 10)",
            "suggests lr=.* and returns lr=.*: return what was suggested as it is",
        ),
        (
            "return TrialConfig(backbone='a', lr=random.uniform(.1, .2))",
            "does not return the same when it gets the same values again .*lr=.*trial.suggest_",
        ),
        (
            "return TrialConfig(backbone='a', dropout=trial.suggest_float('dropout', 0, 5))",
            "fails on sample .*ValueError in line 4: dropout is .*: it must be between 0 and 0.9",
        ),
        (
            "return TrialConfig(backbone='a', drpout=.1)",
            "fails on sample 0 .*did you mean 'dropout'. Fields of TrialConfig: backbone, dropout,",
        ),
        ("return TrialConfig(backbone=trial.nothing)", "fails on sample 0 .*AttributeError in line 4"),
        (
            "b = trial.suggest_categorical('backbone', ['a', 'b'])\n"
            "    return TrialConfig(backbone=b, loss=trial.suggest_categorical('loss', ['focal'] if b == 'a' else "
            "['cross_entropy']))",
            "One name has the same choices in every trial",
        ),
        (
            "return TrialConfig(backbone='a', ema=trial.suggest_categorical('ema', [False]))",
            "returns ema=False of type bool: records hold plain str, int and float",
        ),
    ],
)
def test_a_space_that_breaks_a_rule_is_refused_by_file_function_and_way_out(
    body: str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, f"{HEAD}def mine(trial):\n    {body}\n")
    with pytest.raises(ValueError, match=f"(?s){path}.*{message}"):
        get_space(f"{path}:mine")


def test_a_file_or_function_that_is_not_there_or_does_not_run_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(ValueError, match=r"there is no file .*gone.py. Give the path of a Python file"):
        get_space(f"{tmp_path}/gone.py:mine")
    with pytest.raises(ValueError, match=r"no function 'mime': did you mean 'mine'\? Functions there: mine, fixed\."):
        get_space(f"{path}:mime")
    with pytest.raises(ValueError, match=r"names no function of .*Functions there: mine, fixed\. Give .*:mine"):
        get_space(path)
    Path(path).write_bytes(b"\xef\xbb\xbf" + GOOD.encode())  # as Windows' editors begin a file
    assert get_space(f"{path}:mine").own
    Path(path).write_bytes(f"# caf\u00e9\n{GOOD}".encode("latin-1"))
    with pytest.raises(ValueError, match=r"is not UTF-8, as Python files are .*save it as UTF-8"):
        get_space(f"{path}:mine")
    with pytest.raises(ValueError, match=r"does not run: SyntaxError in line 1: "):
        get_space(write(tmp_path, "def mine(trial)\n") + ":mine")
    write(tmp_path, "BACKBONE = 'test_vit'\n", "neighbour.py")
    text = "from neighbour import BACKBONE\n" + GOOD.replace('"test_vit"', "BACKBONE")
    assert get_space(write(tmp_path, text) + ":fixed").backbones == ("test_vit",)
    assert str(tmp_path) not in sys.path
    with pytest.raises(ValueError, match=r"does not run: ModuleNotFoundError in line 2: .*nowhere"):
        get_space(write(tmp_path, "\nimport nowhere\n") + ":mine")


def test_what_only_its_author_can_change_is_said_so(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(ValueError, match=r"--backbones narrows the built-in spaces only: .*has test_resnet, test_vit"):
        get_space(f"{path}:mine", ["test_vit"])
    text = "def mine(trial):\n    choices = ['joint', 'heads']\n    return TrialConfig(backbone='test_vit', "
    text = HEAD + text + "formulation=trial.suggest_categorical('formulation', choices))\n"
    path = write(tmp_path, text)
    assert get_space(f"{path}:mine").formulations == ("joint", "heads")
    with pytest.raises(ValueError, match="proposes the formulation itself: leave --formulation out"):
        get_space(f"{path}:mine", formulations=["joint"])


def test_weights_that_are_missing_or_a_backbone_that_is_none_are_found_before_the_first_trial(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "test_vit.safetensors").write_bytes(b"")
    study = AskedStudy.of(space=f"{path}:mine", weights=str(tmp_path / "weights")).settle(2, 0)
    with pytest.raises(ValueError, match=r"no pretrained weights for test_resnet, which .*mine proposes: give"):
        weights_of_space(get_space(study.space), study)
    unknown = write(tmp_path, GOOD.replace("test_resnet", "test_resnett"))
    with pytest.raises(ValueError, match=r"my spaces.py:mine .* 'test_resnett': did you mean 'test_resnet'"):
        weights_of_space(get_space(f"{unknown}:mine"), study)
    body = """
def mine(trial):
    return TrialConfig(
        backbone=trial.suggest_categorical("backbone", ["test_vit", "vgg11"]),
        drop_path=trial.suggest_float("drop_path", 0.0, 0.3),
    )
"""
    with pytest.raises(ValueError, match=r"proposes the backbone 'vgg11': vgg11 has no drop path: set drop_path to 0"):
        weights_of_space(get_space(write(tmp_path, HEAD + body) + ":mine"), study)


def test_heads_need_classes_made_of_attributes(pictures: Path) -> None:
    manifest = load_manifest(DataConfig(data=pictures))
    refuse_formulations(get_space("toy"), manifest)
    for formulation in ("heads", "separate", "search"):
        wanted = SearchFlags(formulation=formulation).formulations
        with pytest.raises(ValueError, match=r"needs classes made of attributes, .* --attributes mask gender age"):
            refuse_formulations(get_space("toy", formulations=wanted), manifest)
    with pytest.raises(ValueError, match="--attribute-weights is for --formulation heads, separate or search"):
        refuse_formulations(get_space("toy"), manifest, SearchFlags(attribute_weights=("mask=2",)).weight_of_attribute)


@pytest.mark.parametrize("word", ["mask", "mask=", "=2", "mask=-1", "mask=many"])
def test_a_malformed_attribute_weight_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=f"--attribute-weights {word}: give a name and a number above 0"):
        SearchFlags(attribute_weights=(word,))


@pytest.mark.filterwarnings("ignore")
def test_a_warning_in_a_space_is_no_reason_to_refuse_it(tmp_path: Path) -> None:
    body = "warnings.warn('old', DeprecationWarning)\n"
    body += "    return TrialConfig(backbone='a', crop=trial.suggest_float('crop', 0.0, 0.5, step=0.2))\n"
    path = write(tmp_path, f"import warnings\n{HEAD}def mine(trial):\n    {body}")
    assert get_space(f"{path}:mine").own


def test_a_space_that_fails_now_and_then_proposes_what_it_does_not_fail_on(tmp_path: Path) -> None:
    def patchy(trial: Any) -> TrialConfig:
        dropout = trial.suggest_float("dropout", 0.0, 0.5)
        if 0.3 < dropout < 0.35:
            raise KeyError(dropout)
        return TrialConfig(backbone="a", dropout=dropout)

    space: Any = SimpleNamespace(own=True, starting_points=(), suggest=patchy)
    found = proposals(space)
    assert 80 < len(found) < 100 and not any(0.3 < config.dropout < 0.35 for config in found)


def test_a_run_remembers_where_its_space_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD, "mine.py")
    monkeypatch.chdir(tmp_path)
    assert SearchFlags(space="mine.py:fixed").absolute().space == f"{tmp_path}/mine.py:fixed"
    assert SearchFlags(space="toy").absolute().space == "toy"
    assert absolute_space("mine.py") == f"{tmp_path}/mine.py"
    assert get_space("mine.py:fixed").name == "mine-fixed"
    assert space_name("模型.py:mine") == "space-__-mine"
