"""Two objectives in one study: proposals seek the whole front, stopping spares the best among the cheap."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection

from search.engine.draws import Seen
from search.engine.pareto import SecondObjective
from search.engine.scheduler import RungScheduler, build_scheduler
from search.engine.searcher import StudySearcher, build_searcher
from search.engine.study_journal import OBJECTIVE
from trainables.report import METRIC, TrialStatus

EPOCHS = 9
GOAL = {"metric": METRIC, "mode": "max", "max_epochs": EPOCHS}
COSTS = {"small": 1.0, "middle": 3.0, "large": 10.0}
SECOND = SecondObjective("ms", {(name, "joint"): cost for name, cost in COSTS.items()})
BEST = {"small": 0.6, "middle": 0.7, "large": 0.8}


def space(trial: optuna.Trial) -> None:
    trial.suggest_categorical("backbone", list(COSTS))
    trial.suggest_float("lr", 1e-5, 1.0, log=True)
    trial.suggest_float("dropout", 0.0, 0.5)


def score(config: Mapping[str, Any]) -> float:
    return BEST[config["backbone"]] - 0.1 * abs(math.log10(config["lr"]) + 3) - abs(config["dropout"] - 0.2)


def report(scheduler: RungScheduler, name: str, backbone: str, epoch: int, value: float) -> str:
    trial = SimpleNamespace(trial_id=name, config={"trial_id": name, "backbone": backbone})
    return scheduler.on_trial_result(None, trial, {"training_iteration": epoch, METRIC: value})


def tell(searcher: StudySearcher, name: str, values: list[float]) -> None:
    for epoch, value in enumerate(values[:-1], start=1):
        searcher.on_trial_result(name, {"training_iteration": epoch, METRIC: value, "seconds": 1.0})
    searcher.on_trial_complete(name, {"training_iteration": len(values), METRIC: values[-1], "seconds": 1.0})


def test_the_best_of_the_cheap_goes_on_although_all_that_is_dearer_is_better() -> None:
    alike, apart = (build_scheduler(**GOAL, grace_period=1, cost_of=cost) for cost in (None, SECOND.cost))
    for scheduler in (alike, apart):
        for number in range(6):
            report(scheduler, f"large{number}", "large", 1, 0.7 + number / 100)
    assert report(alike, "small0", "small", 1, 0.5) == "STOP"
    assert report(apart, "small0", "small", 1, 0.5) == "CONTINUE"
    assert report(apart, "small1", "small", 1, 0.4) == "STOP", "it is compared with what is as cheap"


def test_a_dear_trial_is_compared_with_the_cheap_ones_too() -> None:
    scheduler = build_scheduler(**GOAL, grace_period=1, cost_of=SECOND.cost)
    for number in range(6):
        report(scheduler, f"small{number}", "small", 1, 0.6 + number / 100)
    assert report(scheduler, "large", "large", 1, 0.5) == "STOP"


def test_rungs_with_costs_are_the_same_after_a_resume() -> None:
    earlier, later = (build_scheduler(**GOAL, grace_period=1, cost_of=SECOND.cost) for _ in range(2))
    for number, backbone in enumerate(("large", "small", "large", "middle")):
        report(earlier, f"t{number}", backbone, 1, 0.7 - number / 10)
        later.adopt(f"t{number}", [0.7 - number / 10], {"backbone": backbone})
    assert later.rungs == earlier.rungs
    for name, backbone, value in (("a", "small", 0.65), ("b", "middle", 0.3), ("c", "large", 0.65)):
        assert report(earlier, name, backbone, 1, value) == report(later, name, backbone, 1, value)


def proposed(second: SecondObjective | None, seed: int, count: int = 40) -> list[dict[str, Any]]:
    searcher = build_searcher(space, metric=METRIC, mode="max", max_epochs=1, seed=seed, second=second)
    configs = []
    for number in range(count):
        configs.append(searcher.suggest(f"{number:05}"))
        tell(searcher, f"{number:05}", [score(configs[-1])])
    return configs


def test_all_parts_of_the_front_are_sought_where_the_score_alone_would_leave_the_cheap_aside() -> None:
    tries, missed = {True: 0, False: 0}, {True: 0.0, False: 0.0}
    for seed in range(6):
        for both in (True, False):
            tried = proposed(SECOND if both else None, seed)
            tries[both] += sum(config["backbone"] == "small" for config in tried)
            for backbone, best in BEST.items():
                missed[both] += best - max(score(config) for config in tried if config["backbone"] == backbone)
    assert tries[True] > tries[False]
    assert missed[True] < 0.7 * missed[False], "the front comes nearer to the best of each network"


def test_of_two_with_the_same_score_the_cheaper_counts_more_and_of_two_as_dear_the_better() -> None:
    values = SECOND.scalarized(np.array([0.6, 0.6, 0.5, 0.4]), np.array([1.0, 10.0, 1.0, 1.0]), 0.5)
    assert values[0] > values[1]
    assert values[0] > values[2] > values[3]


def test_a_trial_that_failed_is_the_worst_however_cheap_it_is_and_one_that_runs_has_no_value() -> None:
    seen = [Seen({}, {}, value, has_failed=number == 1) for number, value in enumerate((0.8, 0.5, 0.5, None))]
    configs = [{"backbone": name} for name in ("large", "small", "large", "small")]
    for seed in range(20):
        weighed = SECOND.weighed(seen, configs, np.random.default_rng(seed))
        values = [trial.value for trial in weighed]
        assert values[3] is None
        assert values[1] == min(value for value in values if value is not None)


def test_the_study_says_two_directions_and_shows_the_front_and_every_epoch(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    searcher = build_searcher(space, **GOAL, seed=0, storage=path, second=SECOND)
    told = {}
    for number, backbone in enumerate(("large", "small", "small", "middle")):
        name = f"{number:05}"
        searcher.adopt(
            name, {"backbone": backbone, "lr": 0.001, "dropout": 0.1 * number}, [], state=TrialStatus.RUNNING
        )
        told[name] = [0.1 * (number + 1) + epoch / 100 for epoch in range(EPOCHS if number != 3 else 2)]
        tell(searcher, name, told[name])
    searcher.close()
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(path))))
    assert study.directions == [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    assert study.metric_names == [OBJECTIVE, "ms"]
    assert [trial.number for trial in study.best_trials] == [2]
    assert [trial.values[1] for trial in study.trials] == [10.0, 1.0, 1.0, 3.0]
    for trial, values in zip(study.trials, told.values(), strict=True):
        assert trial.intermediate_values == dict(enumerate(values, start=1))


def test_a_search_with_two_objectives_that_is_resumed_proposes_what_it_would_have(tmp_path: Path) -> None:
    whole = proposed(SECOND, seed=1, count=14)
    again = build_searcher(space, metric=METRIC, mode="max", max_epochs=1, seed=1, second=SECOND)
    for number, config in enumerate(whole[:12]):
        again.adopt(f"{number:05}", config, [score(config)], state=TrialStatus.FINISHED)
    copy = pickle.loads(pickle.dumps(again.__dict__))
    assert copy["_second"] == SECOND
    assert again.suggest("00012") == whole[12]


def test_a_network_whose_cost_is_not_known_counts_as_the_dearest() -> None:
    assert SECOND.cost({"backbone": "other"}) == 10.0
    with pytest.raises(ValueError, match="max"):
        SecondObjective("ms", {}).cost({"backbone": "other"})
