from __future__ import annotations

import json
import math
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.engine.history import HistoryTrial, append_trials, build_portfolio, load_history

Trials = list[tuple[dict[str, Any], list[float]]]


def trial(study: str = "first", **changes: Any) -> HistoryTrial:
    fields = {"study": study, "space": "resnet", "config": {"lr": 0.1}, "values": [0.1, 0.2], **changes}
    return HistoryTrial(**fields)


def study_with_best(target: float, seed: int, count: int = 60) -> Trials:
    """Scores fall with the distance of x from a target; half the trials are stopped after one of three epochs."""
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(count):
        x = float(rng.uniform())
        end = 1 - abs(x - target)
        trials.append(({"x": x}, [end - 0.2] if rng.random() < 0.5 else [end - 0.2, end - 0.1, end]))
    return trials


def test_a_history_gives_back_what_was_appended(tmp_path: Path) -> None:
    written = [
        trial(config={"backbone": "a", "lr": 0.1}, values=[0.1, math.nan, 0.3], data={"num_classes": 18}),
        trial("second", seconds=3.5, state="stopped", epochs=27),
        trial(space="densenet"),
        trial(config={"backbone": "b", "lr": 0.2}),
    ]
    assert append_trials(tmp_path, written) == 4
    first, second = load_history(tmp_path, "resnet")
    assert [config for config, _ in first] == [{"backbone": "a", "lr": 0.1}, {"backbone": "b", "lr": 0.2}]
    np.testing.assert_array_equal(first[0][1], [0.1, math.nan, 0.3])
    assert second == [({"lr": 0.1}, [0.1, 0.2])]
    assert len(load_history(tmp_path / "history.jsonl", "resnet", exclude=["first"])) == 1
    assert load_history(tmp_path, "resnet", metric="other") == []


def test_every_line_is_strict_json_with_the_facts_of_the_data(tmp_path: Path) -> None:
    append_trials(tmp_path / "shared.jsonl", [trial(values=[math.nan, math.inf], data={"image_size": 64})])
    (line,) = (tmp_path / "shared.jsonl").read_text().splitlines()
    assert "NaN" not in line
    assert json.loads(line)["values"] == [None, None]
    assert json.loads(line)["data"] == {"image_size": 64}


def test_a_trial_is_kept_once_however_often_its_search_is_written(tmp_path: Path) -> None:
    assert append_trials(tmp_path, [trial(), trial("second")]) == 2
    assert append_trials(tmp_path, [trial(), trial("third")]) == 1
    assert len(load_history(tmp_path, "resnet")) == 3


def test_a_last_line_that_was_cut_off_is_skipped_and_harms_no_later_one(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    append_trials(file, [trial(), trial("cut")])
    file.write_bytes(file.read_bytes()[:-20])
    assert len(load_history(file, "resnet")) == 1
    append_trials(file, [trial("later")])
    assert len(load_history(file, "resnet")) == 2


def test_a_trial_that_has_gone_on_since_the_time_cut_it_short_is_read_once(tmp_path: Path) -> None:
    cut = trial(values=[0.1, math.nan], state="interrupted")
    append_trials(tmp_path, [cut, trial(config={"lr": 0.2}, values=[0.1, math.nan], state="interrupted")])
    append_trials(tmp_path, [trial(values=[0.1, math.nan, 0.4])])
    (found,) = load_history(tmp_path, "resnet")
    assert [(config["lr"], len(values)) for config, values in found] == [(0.2, 2), (0.1, 3)]


def test_no_history_is_an_empty_one(tmp_path: Path) -> None:
    assert load_history(tmp_path / "missing", "resnet") == []
    assert append_trials(tmp_path / "new" / "folder", []) == 0


def append_many(path: Path, study: str) -> None:
    for number in range(20):
        append_trials(path, [trial(study, config={"lr": number})])


def test_searches_that_end_together_do_not_mix_their_lines(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append_many, args=(tmp_path, f"study-{number}")) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [len(study) for study in load_history(tmp_path, "resnet")] == [20, 20, 20]


def test_a_portfolio_covers_studies_that_want_different_things() -> None:
    studies = [study_with_best(target, seed) for seed, target in enumerate((0.1, 0.1, 0.9, 0.5))]
    picked = [config["x"] for config in build_portfolio(studies, 3)]
    for target in (0.1, 0.5, 0.9):
        assert min(abs(x - target) for x in picked) < 0.08


def test_the_first_of_a_portfolio_is_good_on_average() -> None:
    studies = [study_with_best(target, seed) for seed, target in enumerate((0.4, 0.5, 0.6))]
    assert build_portfolio(studies, 1)[0]["x"] == pytest.approx(0.5, abs=0.1)


def test_scores_are_relative_to_each_study() -> None:
    hard = [({"x": x}, [value / 100 for value in values]) for x, values in enumerate(([50], [10], [10], [10]))]
    easy = [({"x": x}, values) for x, values in enumerate(([0.5], [0.9], [0.5], [0.5]))]
    assert {config["x"] for config in build_portfolio([hard, easy], 2)} == {0, 1}


def test_smaller_is_better_with_mode_min() -> None:
    studies = [[({"x": x}, [-value for value in values]) for x, values in map(unpack, study_with_best(0.3, 0))]]
    assert build_portfolio(studies, 1, mode="min")[0]["x"] == pytest.approx(0.3, abs=0.1)


def unpack(trial: tuple[dict[str, Any], list[float]]) -> tuple[float, list[float]]:
    return trial[0]["x"], trial[1]


def test_a_portfolio_is_the_same_every_time_and_never_longer_than_asked() -> None:
    studies = [study_with_best(target, seed) for seed, target in enumerate((0.1, 0.7))]
    portfolios = [build_portfolio(studies, 5) for _ in range(2)]
    assert portfolios[0] == portfolios[1]
    assert len({config["x"] for config in portfolios[0]}) == 5
    assert build_portfolio(studies, 3) == portfolios[0][:3]
    assert len(build_portfolio(studies, 100)) == 12


@pytest.mark.parametrize("studies", [[], [[]], [[({"x": 1}, [])]], [[({"x": 1}, [math.nan])]]])
def test_studies_that_say_nothing_give_no_portfolio(studies: list[Trials]) -> None:
    assert build_portfolio(studies, 4) == []


def test_a_study_that_says_nothing_does_not_harm_the_others() -> None:
    study = study_with_best(0.3, 0)
    assert build_portfolio([[], study, [({"x": 0.9}, [math.nan])]], 2) == build_portfolio([study], 2)


def test_conditional_and_categorical_configurations_work_and_come_back_unchanged() -> None:
    rng = np.random.default_rng(0)
    studies: list[Trials] = []
    for _ in range(3):
        trials: Trials = []
        for _ in range(40):
            config: dict[str, Any] = {"backbone": str(rng.choice(["a", "b", "c"])), "flip": bool(rng.integers(2))}
            if config["backbone"] == "b":
                config["drop_path"] = float(rng.uniform())
            value = {"a": 0.3, "b": 0.7, "c": 0.5}[config["backbone"]] - abs(config.get("drop_path", 0.3) - 0.3)
            trials.append((config, [value / 2, value] if rng.random() < 0.6 else [value / 2]))
        studies.append(trials)
    best, *_ = build_portfolio(studies, 2)
    assert best["backbone"] == "b"
    assert best["drop_path"] == pytest.approx(0.3, abs=0.12)
    assert any(best == config for study in studies for config, _ in study)


def test_a_study_of_one_trial_is_enough() -> None:
    assert build_portfolio([[({"x": 1}, [0.5])]], 3) == [{"x": 1}]
