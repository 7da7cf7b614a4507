from __future__ import annotations

import functools
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search.engine.scheduler import build_scheduler
from search.engine.searcher import StudySearcher, build_searcher
from spaces.sampling import contains
from trainables.report import TrialStatus

ROOT = Path(__file__).resolve().parents[3]
EPOCHS = 9
GOAL: dict[str, Any] = {"metric": "score", "mode": "max", "max_epochs": EPOCHS}


@dataclass
class FakeTrial:
    trial_id: str


@dataclass(frozen=True)
class Config:
    backbone: str
    lr: float
    drop_path: float = 0.0


def space(trial: Any) -> dict[str, Any]:
    """Conditional and partly categorical."""
    config = {
        "backbone": trial.suggest_categorical("backbone", ["small", "large"]),
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
    }
    if config["backbone"] == "large":
        config["drop_path"] = trial.suggest_float("drop_path", 0.0, 0.5)
        config["frozen"] = trial.suggest_int("frozen", 0, 4)
    return config


def dataclass_space(trial: Any) -> Config:
    return Config(trial.suggest_categorical("backbone", ["small", "large"]), trial.suggest_float("lr", 1e-5, 1e-1))


def silent_space(trial: Any, top: float) -> None:
    trial.suggest_float("x", 0.0, top)


def study_in(path: Path) -> optuna.Study:
    """As optuna-dashboard reads it."""
    return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(path))))


def curve(config: Mapping[str, Any]) -> list[float]:
    """Diverges at a high rate, else best near 1e-3 with the large backbone."""
    off = abs(math.log10(config["lr"]) + 3)
    height = (0.9 if config["backbone"] == "large" else 0.8) - 0.15 * off - 0.3 * config.get("drop_path", 0.0)
    values = [height * (1 - 0.6**epoch) for epoch in range(1, EPOCHS + 1)]
    return values if config["lr"] < 0.05 else [math.nan]


def drive(
    searcher: StudySearcher, scheduler: Any, names: Sequence[str], skip: Mapping[str, int] | None = None
) -> list[tuple[str, dict[str, Any], list[float], str]]:
    """One worker, as Ray drives it; `skip` holds epochs that a continued trial has behind it."""
    told = []
    for name in names:
        config = searcher.suggest(name)
        values = curve(config)
        scheduler.on_trial_add(None, FakeTrial(name))
        for epoch, value in enumerate(values, start=1):
            if epoch <= (skip or {}).get(name, 0):
                continue
            result = {"training_iteration": epoch, "score": value, "seconds": 2.0}
            if scheduler.on_trial_result(None, FakeTrial(name), result) == "STOP":
                scheduler.on_trial_complete(None, FakeTrial(name), result)
                searcher.on_trial_complete(name, result)
                break
            searcher.on_trial_result(name, result)
        state = "failed" if math.isnan(value) else "finished" if epoch == EPOCHS else "stopped"
        told.append((name, config, values[:epoch], state))
    return told


def names(first: int, last: int) -> list[str]:
    return [f"{number:05d}" for number in range(first, last)]


def searched(count: int, **options: Any) -> tuple[StudySearcher, list[tuple[str, dict[str, Any], list[float], str]]]:
    searcher = build_searcher(space, **GOAL, seed=3, **options)
    return searcher, drive(searcher, build_scheduler(**GOAL), names(0, count))


def facts(study: optuna.Study) -> list[str]:
    """All but the times, as text: there NaN equals itself."""
    return [
        repr((t.number, t.state, t.value, t.params, t.intermediate_values, sorted(t.user_attrs.items())))
        for t in study.trials
    ]


def test_an_epoch_that_was_cut_short_says_nothing_of_what_one_costs() -> None:
    searcher = build_searcher(space, **GOAL, seed=0)
    searcher.suggest("t")
    searcher.on_trial_result("t", {"training_iteration": 1, "score": 0.1, "seconds": 2.0})
    cut = {"training_iteration": 2, "score": 0.2, "seconds": 0.5, "trained_share": 0.1}
    searcher.on_trial_complete("t", cut)
    [trial] = searcher.study.trials
    assert trial.user_attrs["seconds"] == 2.0


def test_a_finished_trial_is_complete_with_its_best_epoch() -> None:
    searcher = build_searcher(space, **GOAL, seed=0)
    searcher.suggest("t")
    values = [0.1, 0.2, 0.3, 0.9, 0.5, 0.5, 0.5, 0.5, 0.4]
    for epoch, value in enumerate(values[:-1], start=1):
        searcher.on_trial_result("t", {"training_iteration": epoch, "score": value, "seconds": 2.0})
    searcher.on_trial_complete("t", {"training_iteration": 9, "score": 0.4, "seconds": 3.0})
    trial = searcher.study.best_trial
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.9)
    assert trial.intermediate_values == dict(enumerate(values, start=1))
    assert trial.user_attrs == {
        "trial_id": "t",
        "stop_reason": "finished",
        "epochs": 9,
        "seconds": 19.0,
        "best_epoch": 4,
        "best_value": 0.9,
    }


def test_a_stopped_trial_is_pruned_with_every_epoch_the_stopping_one_included() -> None:
    searcher = build_searcher(space, **GOAL, seed=0)
    searcher.suggest("t")
    searcher.on_trial_result("t", {"training_iteration": 1, "score": 0.3})
    searcher.on_trial_complete("t", {"training_iteration": 2, "score": 0.2})
    (trial,) = searcher.study.trials
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {1: 0.3, 2: 0.2})
    assert trial.user_attrs["stop_reason"] == "stopped after epoch 2"
    assert (trial.user_attrs["best_epoch"], trial.user_attrs["epochs"]) == (1, 2)


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_diverged_trial_has_failed_with_the_reason(value: float) -> None:
    searcher = build_searcher(space, **GOAL, seed=0)
    searcher.suggest("t")
    searcher.on_trial_result("t", {"training_iteration": 1, "score": 0.3})
    searcher.on_trial_complete("t", {"training_iteration": 2, "score": value})
    (trial,) = searcher.study.trials
    assert trial.state is TrialState.FAIL
    assert "after epoch 2" in trial.user_attrs["stop_reason"]


def test_an_error_is_a_failure_with_the_reason_it_was_given() -> None:
    searcher = build_searcher(space, **GOAL, seed=0)
    searcher.suggest("t")
    searcher.on_trial_result("t", {"training_iteration": 1, "score": 0.3})
    searcher.on_trial_complete("t", error=True, reason="out of memory")
    (trial,) = searcher.study.trials
    assert (trial.state, trial.user_attrs["stop_reason"]) == (TrialState.FAIL, "out of memory")


def test_what_comes_after_the_end_changes_nothing() -> None:
    searcher = build_searcher(space, **GOAL, seed=0)
    searcher.suggest("t")
    searcher.on_trial_complete("t", {"training_iteration": 9, "score": 0.5})
    before = facts(searcher.study)
    searcher.on_trial_result("t", {"training_iteration": 9, "score": 0.7})
    searcher.on_trial_complete("t", error=True)
    assert facts(searcher.study) == before


def test_smaller_is_better_with_mode_min() -> None:
    searcher = build_searcher(space, **{**GOAL, "mode": "min"}, seed=0)
    for name, value in (("a", 0.5), ("b", 0.2)):
        searcher.suggest(name)
        searcher.on_trial_result(name, {"training_iteration": 1, "score": value})
        searcher.on_trial_complete(name, {"training_iteration": 9, "score": 0.9})
    assert searcher.study.best_trial.user_attrs["trial_id"] == "b"
    assert searcher.study.best_value == 0.2


def test_a_search_leaves_nothing_running_and_its_best_trial_is_right(tmp_path: Path) -> None:
    diverging = {"backbone": "small", "lr": 0.09}
    searcher, told = searched(14, storage=tmp_path / "study.journal", points=[{"backbone": "large"}, diverging])
    study = study_in(tmp_path / "study.journal")
    assert facts(study) == facts(searcher.study)
    expected = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
    assert [trial.state for trial in study.trials] == [expected[state] for *_, state in told]
    assert set(expected.values()) == {trial.state for trial in study.trials}
    assert study.best_value == max(max(values) for *_, values, state in told if state == "finished")
    assert study.best_params == next(
        config for _, config, values, state in told if state == "finished" and max(values) == study.best_value
    )


def test_the_study_can_be_read_while_the_search_runs(tmp_path: Path) -> None:
    searcher = build_searcher(space, **GOAL, seed=0, storage=tmp_path / "study.journal")
    searcher.suggest("t")
    searcher.on_trial_result("t", {"training_iteration": 1, "score": 0.3})
    study = study_in(tmp_path / "study.journal")
    (trial,) = study.trials
    assert (trial.state, trial.intermediate_values) == (TrialState.RUNNING, {1: 0.3})
    searcher.close("asked to")
    (trial,) = study.trials
    assert (trial.state, trial.user_attrs["stop_reason"]) == (TrialState.FAIL, "asked to")


def test_a_suggestion_is_the_configuration_and_nothing_else() -> None:
    returned = build_searcher(dataclass_space, **GOAL, seed=0).suggest("t")
    assert list(returned) == ["backbone", "lr", "drop_path"]
    bound = build_searcher(functools.partial(silent_space, top=2.0), **GOAL, seed=0)
    assert list(bound.suggest("t")) == ["x"]
    for number in range(40):
        config = build_searcher(space, **GOAL, seed=number).suggest("t")
        assert set(config) == ({"backbone", "lr"} if config["backbone"] == "small" else {*config, "frozen"})


def test_a_search_comes_near_the_best_of_a_conditional_space() -> None:
    _, told = searched(30)
    assert max(value for _, _, values, _ in told for value in values) > 0.86
    late = [config for _, config, *_ in told[20:]]
    assert sum(config["backbone"] == "large" for config in late) >= 6


def test_a_failure_keeps_the_sampler_away_as_a_bad_value_does() -> None:
    searcher = build_searcher(space, **GOAL, seed=0)
    for number, name in enumerate(names(0, 24)):
        lr = 10 ** (-1 - number % 12 / 3)
        failed = lr > 0.01  # where the others are best
        values = [0.9 + math.log10(lr) / 10] * EPOCHS
        state = "failed" if failed else "finished"
        backbone = "small" if number < 12 else "large"
        searcher.adopt(name, {"backbone": backbone, "lr": lr}, [] if failed else values, state=state)
    assert all(searcher.suggest(name)["lr"] < 0.03 for name in names(24, 32))


def test_one_seed_is_one_sequence_whatever_the_process() -> None:
    code = (
        "import json, test_searcher as t;"
        "s = t.build_searcher(t.space, **t.GOAL, seed=3);"
        "print(json.dumps(t.drive(s, t.build_scheduler(**t.GOAL), t.names(0, 12))))"
    )
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7"}
    elsewhere = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert json.loads(elsewhere.stdout) == json.loads(json.dumps(searched(12)[1]))


def test_seeds_differ() -> None:
    suggestions = [build_searcher(space, **GOAL, seed=seed).suggest("t")["lr"] for seed in range(5)]
    assert len(set(suggestions)) == 5


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_search_adopted_at_any_moment_ends_like_one_never_interrupted(on_disk: bool, tmp_path: Path) -> None:
    points = [{"backbone": "large", "lr": 1e-2}, {"lr": 1e-4}, {"backbone": "small", "lr": 0.09}]
    whole, told = searched(14, points=points)
    for cut, epochs in ((2, 3), (11, 1)) if on_disk else ((1, 1), (2, 3), (11, 1)):
        path = tmp_path / f"study-{cut}.db" if on_disk else None
        searcher = build_searcher(space, **GOAL, seed=3, points=points, storage=path)
        scheduler = build_scheduler(**GOAL)
        for name, config, values, state in told[:cut]:
            seconds = [2.0] * len(values)
            searcher.adopt(name, config, values, state=state, seconds=seconds)  # type: ignore[arg-type]
            scheduler.adopt(name, values)
        skip = {}
        if epochs and epochs < len(told[cut][2]):  # this one was interrupted after some epochs
            name, config, values, _ = told[cut]
            searcher.adopt(name, config, values[:epochs], state="running", seconds=[2.0] * epochs)
            scheduler.adopt(name, values[:epochs])
            skip = {name: epochs}
        again = drive(searcher, scheduler, names(cut, 14), skip)
        assert [(name, config) for name, config, *_ in again] == [(name, config) for name, config, *_ in told[cut:]]
        assert facts(searcher.study) == facts(whole.study)


def test_adopting_writes_the_study_file_anew_and_leaves_no_orphans(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    first = build_searcher(space, **GOAL, seed=3, storage=path)
    config = first.suggest("00000")
    first.on_trial_result("00000", {"training_iteration": 1, "score": 0.5})
    first.suggest("00001")  # killed here
    second = build_searcher(space, **GOAL, seed=3, storage=path)
    second.adopt("00000", config, [0.5], state="running")
    assert second.suggest("00000") == config
    second.on_trial_complete("00000", {"training_iteration": 9, "score": 0.6})
    study = study_in(path)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]
    assert list(tmp_path.iterdir()) == [path]  # nothing half-written stays beside it


def test_a_file_that_is_no_study_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.write_text("torn by a power cut" * 100)
    (tmp_path / "study.journal.tmp-7-0").write_text("of a process that was killed while it wrote")
    searcher = build_searcher(space, **GOAL, seed=0, storage=path)
    searcher.suggest("t")
    assert len(study_in(path).trials) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_trial_that_is_done_before_its_length_is_complete_also_when_it_is_adopted() -> None:
    live, resumed = (build_searcher(space, **GOAL, seed=0) for _ in range(2))
    config = live.suggest("t")
    last = {"training_iteration": 2, GOAL["metric"]: 0.4}
    live.on_trial_result("t", {"training_iteration": 1, GOAL["metric"]: 0.5})
    live.on_trial_complete("t", last, is_done=True)
    resumed.adopt("t", config, [0.5, 0.4], state=TrialStatus.FINISHED)
    for searcher in (live, resumed):
        (trial,) = searcher.study.trials
        assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)
        assert trial.user_attrs["stop_reason"] == "finished"
    assert live.suggest("u") == resumed.suggest("u")


def test_a_trial_is_adopted_once() -> None:
    searcher = build_searcher(space, **GOAL, seed=0)
    searcher.adopt("t", {"backbone": "small", "lr": 1e-3}, [0.1], state="running")
    with pytest.raises(ValueError, match="trial t is known already"):
        searcher.adopt("t", {"backbone": "small", "lr": 1e-3}, [0.1], state="running")


def test_points_come_first_each_as_often_as_it_is_there() -> None:
    small, large = {"backbone": "small", "lr": 1e-3}, {"backbone": "large", "lr": 1e-2, "drop_path": 0.1, "frozen": 2}
    clipped = {"backbone": "large", "lr": 1e-2, "drop_path": 0.1, "frozen": 2, "gone": 1}
    searcher = build_searcher(space, **GOAL, seed=0, points=[small, large, dict(small), clipped])
    assert [searcher.suggest(name) for name in "abc"] == [small, large, small]
    assert searcher.suggest("d") not in (small, large)


def test_a_point_that_has_failed_is_not_tried_again() -> None:
    small = {"backbone": "small", "lr": 1e-3}
    searcher = build_searcher(space, **GOAL, seed=0, points=[small, dict(small)])
    assert searcher.suggest("a") == small
    searcher.on_trial_complete("a", {"training_iteration": 1, "score": math.nan})
    assert searcher.suggest("b") != small


def test_proposals_stay_near_what_is_known_to_be_good_until_more_is_known() -> None:
    def many(trial: Any) -> dict[str, Any]:
        return {name: trial.suggest_float(name, 0.0, 1.0) for name in map(str, range(24))}

    point = {str(number): 0.5 for number in range(24)}
    near, far = (build_searcher(many, **GOAL, seed=0, points=[point], near=near) for near in (True, False))
    changed = []
    for searcher in (near, far):
        assert searcher.suggest("a") == point
        changed += [sum(value != 0.5 for value in searcher.suggest(name).values()) for name in "bc"]
    assert max(changed[:2]) < 12 and changed[2:] == [24, 24]


def test_what_was_given_up_as_no_better_is_not_credited_with_what_others_gained_later() -> None:
    rising = [0.02 * epoch for epoch in range(EPOCHS)]
    for patience, expected in ((None, 0.5 + rising[-1] - rising[5]), (3, 0.5)):
        searcher = build_searcher(space, **GOAL, seed=0, patience=patience)
        searcher.adopt("flat", {"backbone": "small", "lr": 1e-3}, [0.5] * 6, state=TrialStatus.FINISHED)
        searcher.adopt("rising", {"backbone": "small", "lr": 1e-2}, rising, state=TrialStatus.FINISHED)
        assert searcher._seen()[0].value == pytest.approx(expected)


def test_a_point_that_is_there_twice_is_tried_once_more_after_a_restart() -> None:
    small = {"backbone": "small", "lr": 1e-3}
    searcher = build_searcher(space, **GOAL, seed=0, points=[small, dict(small)])
    searcher.adopt("a", small, [0.5], state="running")
    assert searcher.suggest("b") == small
    assert searcher.suggest("c") != small


def test_points_tried_before_a_restart_are_not_tried_again() -> None:
    points = [{"backbone": "small", "lr": 1e-3}, {"backbone": "small", "lr": 1e-2}]
    searcher = build_searcher(space, **GOAL, seed=0, points=points)
    searcher.adopt("a", points[0], [0.5], state="running")
    assert searcher.suggest("b") == points[1]
    assert searcher.suggest("c") not in points


def test_points_of_another_version_of_the_space_are_clipped_filled_and_dropped_with_a_note(
    caplog: pytest.LogCaptureFixture,
) -> None:
    points = [
        {"backbone": "large", "lr": 5.0, "drop_path": -1, "frozen": 9.4, "gone": "x"},
        {"backbone": "huge", "lr": 1e-3},
        {"lr": "high", "backbone": "small"},
        {"unknown": 1},
        {},
    ]
    searcher = build_searcher(space, **GOAL, seed=0, points=points)
    assert searcher.suggest("a") == {"backbone": "large", "lr": 0.1, "drop_path": 0.0, "frozen": 4}
    second = searcher.suggest("b")
    assert (second["lr"], second["backbone"] in ("small", "large")) == (1e-3, True)
    third = searcher.suggest("c")
    assert third["backbone"] == "small"
    assert 1e-5 <= third["lr"] <= 0.1
    searcher.suggest("d")
    assert "5.0 is outside its range" in caplog.text
    assert "the space suggests none of its fields: {'unknown': 1}" in caplog.text
    assert len(searcher.study.trials) == 4


def test_a_point_that_the_space_refuses_is_dropped_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    searcher = build_searcher(picky_space, **GOAL, seed=0, points=[{"x": 0.25}, {"x": 0.75}])
    assert searcher.suggest("a") == {"x": 0.75}
    assert "x is 0.25: it must be more" in caplog.text


def picky_space(trial: Any) -> dict[str, Any]:
    x = trial.suggest_float("x", 0.0, 1.0)
    if x == 0.25:
        raise ValueError("x is 0.25: it must be more")
    return {"x": x}


def fixed_space(trial: Any) -> dict[str, Any]:
    return {"backbone": "only"}


def tiny_space(trial: Any) -> dict[str, Any]:
    return {"backbone": trial.suggest_categorical("backbone", ["a", "b"])}


@pytest.mark.parametrize("small", [fixed_space, tiny_space])
def test_a_space_that_is_used_up_goes_on_suggesting(small: Callable[[Any], Any]) -> None:
    searcher = build_searcher(small, **GOAL, seed=0)
    for name in names(0, 14):
        assert searcher.suggest(name)
        searcher.on_trial_complete(name, {"training_iteration": 9, "score": 0.5})
    assert len(searcher.study.trials) == 14


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_pickled_searcher_goes_on_as_the_one_it_was_made_from(on_disk: bool, tmp_path: Path) -> None:
    searcher, _ = searched(10, storage=tmp_path / "study.journal" if on_disk else None)
    copy = pickle.loads(pickle.dumps(searcher))
    searcher.save(str(tmp_path / "state"))
    restored = build_searcher(space, **GOAL, seed=99)
    restored.restore(str(tmp_path / "state"))
    expected = searcher.suggest("next")
    assert copy.suggest("next") == restored.suggest("next") == expected


def test_a_study_that_cannot_be_written_does_not_end_the_search_and_is_made_up_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.engine.study_journal.RETRY_SECONDS", 0.0)
    path = tmp_path / "not-yet-a-folder" / "study.journal"
    path.parent.write_text("in the way")
    searcher = build_searcher(space, **GOAL, seed=0, storage=path)
    searcher.suggest("a")
    searcher.on_trial_complete("a", {"training_iteration": 9, "score": 0.5})
    path.parent.unlink()
    searcher.suggest("b")
    assert [trial.state for trial in searcher.study.trials] == [TrialState.COMPLETE, TrialState.RUNNING]


@pytest.mark.parametrize(("wrong", "message"), [({"mode": "best"}, "mode is 'best'"), ({"max_epochs": 0}, "is 0")])
def test_a_wrong_setting_is_named_with_its_value(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_searcher(space, **{**GOAL, **wrong}, seed=0)


def families(trial: Any) -> dict[str, Any]:
    """Two families with the same parameter in ranges that do not meet."""
    family = trial.suggest_categorical("family", ["low", "high"])
    low, high = (1e-5, 1e-4) if family == "low" else (1e-2, 1e-1)
    return {"family": family, "lr": trial.suggest_float("lr", low, high, log=True)}


def test_a_parameter_whose_range_depends_on_another_stays_in_it_when_the_other_changes() -> None:
    searcher = build_searcher(families, metric="score", mode="max", max_epochs=1, seed=0)
    for number in range(30):
        config = searcher.suggest(str(number))
        assert (config["lr"] < 1e-3) == (config["family"] == "low")
        searcher.on_trial_complete(str(number), {"training_iteration": 1, "score": config["lr"]})
    assert searcher.study.best_params["lr"] > 0.09


def test_what_was_trained_stays_so_when_the_space_has_changed_since(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def earlier(trial: Any) -> dict[str, Any]:
        return {
            "backbone": trial.suggest_categorical("backbone", ["small", "gone"]),
            "lr": trial.suggest_float("lr", 1e-6, 10.0, log=True),
            "drop_path": trial.suggest_float("drop_path", 0.0, 0.9),
            "frozen": trial.suggest_int("frozen", 0, 9),
        }

    def changed(trial: Any) -> dict[str, Any]:
        """Narrower, without a choice, with a logarithm, with a name that is new, and strict about what it is given."""
        known = {"small": 1, "new": 2}
        size = known[trial.suggest_categorical("backbone", ["small", "new"])]
        return {
            "lr": trial.suggest_float("lr", 1e-3, 1e-1, log=True),
            "drop_path": trial.suggest_float("drop_path", 0.1, 0.2, log=True),
            "frozen": trial.suggest_int("frozen", 2, 4),
            "size": size * trial.suggest_int("added", 1, 3),
        }

    first, told = build_searcher(earlier, **GOAL, seed=0), []
    for number in range(12):
        config = first.suggest(str(number))
        told.append((config, first.study.trials[number].params))
    told[0][0]["drop_path"] = told[0][1]["drop_path"] = 0.0  # has no place on a logarithmic scale
    path = tmp_path / "study.journal"
    again = build_searcher(changed, **GOAL, seed=0, storage=path)
    for number, (config, _) in enumerate(told):
        again.adopt(str(number), config, [number / 20] * EPOCHS, state=TrialStatus.FINISHED)
    for number in range(12, 20):
        new = again.suggest(str(number))
        assert 1e-3 <= new["lr"] <= 1e-1 and 0.1 <= new["drop_path"] <= 0.2 and 2 <= new["frozen"] <= 4
    again.study  # noqa: B018 - writes what is left to write
    rows = study_in(path).trials
    assert [row.params for row in rows[:12]] == [params for _, params in told]
    assert all(contains(row.distributions[name], value) for row in rows for name, value in row.params.items())
    assert caplog.text.count("has changed since") == 4  # once a name, not once a trial


def test_a_point_that_was_trained_is_not_tried_again_although_the_space_has_changed() -> None:
    points = [{"lr": 5.0, "backbone": "small"}, {"lr": 1e-2, "backbone": "small"}]
    searcher = build_searcher(space, **GOAL, seed=0, points=points)
    searcher.adopt("a", points[0], [0.5], state=TrialStatus.RUNNING)
    assert searcher.suggest("b") == points[1]
