"""Where a search starts: its own points the first time, what was learned the next."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from results.records.trials import TrialHistory
from search.engine.history import HistoryTrial, append_trials
from search.engine.portfolio import first_points
from search.engine.portfolio import remember as remember_trials
from search.study import AskedStudy, SettledStudy
from spaces import fixed_settings, get_space
from tests.records import a_report, a_run
from trainables.report import TrialStatus

TOY = get_space("toy")
RUN = a_run(data={"sides": {"train": {"pictures": 1000}}, "imbalance": 4.0})
GOOD = replace(TOY.starting_points[0], lr=5e-4, dropout=0.5)


@pytest.fixture
def study(tmp_path: Path) -> SettledStudy:
    return AskedStudy.of(space="toy", storage=tmp_path, trials=12).settle(2, 0)


def remember(folder: Path, name: str, backbone: str = "test_efficientnet") -> None:
    """A history in which one configuration did far better than the others."""
    configs = [replace(GOOD, backbone=backbone)]
    configs += [replace(GOOD, backbone=backbone, lr=lr, dropout=0.0) for lr in (1e-4, 2e-4, 2e-3, 3e-3)]
    append_trials(
        folder,
        [
            HistoryTrial(study=name, space="toy", config=asdict(config), values=[0.1, 0.9 if number == 0 else 0.2])
            for number, config in enumerate(configs)
        ],
    )


def test_the_first_search_of_all_starts_from_the_spaces_own_points(study: SettledStudy) -> None:
    points, words = first_points(TOY, study, RUN)
    assert points == [asdict(point) for point in TOY.starting_points]
    assert words == "the default, 2 starting points of the space"


def test_the_next_one_starts_from_the_default_and_then_what_did_well(study: SettledStudy, tmp_path: Path) -> None:
    remember(tmp_path, "earlier")
    points, words = first_points(TOY, study, RUN)
    assert points[0] == asdict(TOY.starting_points[0])
    assert points[1] == asdict(GOOD)
    assert len(points) <= 1 + 6  # half of the trials
    assert "from 1 earlier search" in words


def test_a_search_that_tried_the_default_alone_leaves_the_points_of_the_space(
    study: SettledStudy, tmp_path: Path
) -> None:
    default = HistoryTrial(study="short", space="toy", config=asdict(TOY.starting_points[0]), values=[0.5])
    append_trials(tmp_path, [default])
    points, words = first_points(TOY, study, RUN)
    assert points == [asdict(point) for point in TOY.starting_points]
    assert words == "the default, 2 starting points of the space"


@pytest.mark.parametrize(("epochs", "kept"), [(3, 1), (2, 0)])
def test_what_the_time_has_cut_short_is_remembered_once_it_could_be_judged(
    epochs: int, kept: int, study: SettledStudy
) -> None:
    reports = tuple(a_report(epoch) for epoch in range(1, epochs + 1))
    status = TrialStatus.INTERRUPTED
    trial = TrialHistory(trial_id="00000", config=GOOD, reports=reports, status=status, reason="the time budget")
    run = a_run(split_hash="f", data=RUN.data | {"pictures": 9})
    assert remember_trials(run, [trial], replace(study, grace_period=3)) == kept
    running = replace(trial, status=TrialStatus.RUNNING)
    assert remember_trials(run, [running], replace(study, grace_period=1)) == 0


def test_none_and_another_place_are_heeded(study: SettledStudy, tmp_path: Path) -> None:
    remember(tmp_path, "earlier")
    assert len(first_points(TOY, replace(study, history_path=None), RUN)[0]) == len(TOY.starting_points)
    elsewhere = replace(study, history_path=tmp_path / "elsewhere")
    assert len(first_points(TOY, elsewhere, RUN)[0]) == len(TOY.starting_points)


def test_a_search_for_score_and_cost_tries_the_default_on_every_network(tmp_path: Path) -> None:
    asked = AskedStudy.of(space="efficientnet", storage=tmp_path, trials=6, objective="f1,ms")
    names = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
    space = get_space("efficientnet", names)
    points, words = first_points(space, asked.settle(2, 0), RUN)
    assert [point["backbone"] for point in points[:3]] == list(names)
    assert len({str({**point, "backbone": ""}) for point in points[:3]}) == 1
    assert words.startswith("the default, 2 more networks with its settings, ")
    points, _ = first_points(space, replace(asked, search=replace(asked.search, trials=2)).settle(2, 0), RUN)
    assert [point["backbone"] for point in points[:3]] == [*names[:2], names[0]]  # half of so few trials


def test_where_time_has_room_for_what_begins_at_once_alone_the_default_comes_twice(tmp_path: Path) -> None:
    asked = AskedStudy.of(space="toy", storage=tmp_path, time_budget="5m")
    points, words = first_points(TOY, asked.settle(2, 0), RUN)
    own = [asdict(point) for point in TOY.starting_points]
    assert points == [own[0], *own]
    assert words.startswith("the default, the same from another seed, ")
    two = asked.settle(2, 0)
    assert two.concurrency == 2
    assert first_points(TOY, replace(two, epochs_that_fit=2 * two.epochs), RUN)[0] == own
    for rounds, first in ((2, [own[0], *own]), (3, [own[0], *own]), (4, own)):  # three of the best, and another
        assert first_points(TOY, replace(two, epochs_that_fit=rounds * two.epochs, concurrency=1), RUN)[0] == first
    assert first_points(TOY, replace(two, concurrency=8), RUN)[0] == [own[0], *own]
    counted = replace(asked, search=replace(asked.search, trials=12))
    assert first_points(TOY, counted.settle(2, 0), RUN)[0] == own
    front = AskedStudy.of(space="toy", storage=tmp_path, time_budget="5m", objective="f1,ms")
    assert first_points(TOY, front.settle(2, 0), RUN)[0].count(own[0]) == 1


@pytest.mark.parametrize(("most", "times"), [("500k", 2), ("300k", 1)])
def test_a_default_of_which_two_are_beyond_a_limit_does_not_come_twice(tmp_path: Path, most: str, times: int) -> None:
    asked = AskedStudy.of(space="toy", storage=tmp_path, time_budget="5m", max_parameters=most)
    cost = {"formulation": "joint", "parameters": 200_000, "ms": 1.0, "ms_low": 0.9, "ms_high": 1.1}
    networks = [{"backbone": name, **cost} for name in TOY.backbones]
    run = replace(RUN, costs={"where": "here", "networks": networks})
    assert first_points(TOY, asked.settle(2, 0), run)[0].count(asdict(TOY.starting_points[0])) == times


@pytest.mark.parametrize("flips", [True, False])
def test_what_was_learned_where_no_picture_is_mirrored_says_nothing_of_that_elsewhere(
    flips: bool, study: SettledStudy, tmp_path: Path
) -> None:
    config = replace(GOOD, flip=0.5 if not flips else 0.0)
    configs = [config, *(replace(config, lr=lr) for lr in (1e-4, 2e-4, 2e-3, 3e-3))]
    trials = [
        TrialHistory(
            trial_id=f"{number:05}",
            config=each,
            reports=(a_report(score=0.1 if number else 0.9),),
            status=TrialStatus.FINISHED,
            reason=None,
        )
        for number, each in enumerate(configs)
    ]
    earlier = a_run(split_hash="f", data=RUN.data | {"pictures": 9})
    assert remember_trials(earlier, trials, replace(study, flips=not flips)) == len(configs)
    here = TOY.fixing(fixed_settings(flips=flips))
    points, _ = first_points(here, replace(study, flips=flips), RUN)
    assert points[1] == asdict(replace(GOOD, flip=0.5 if flips else 0.0))


def test_what_was_trained_from_random_weights_says_nothing_of_frozen_stages(tmp_path: Path) -> None:
    space = get_space("efficientnet", ["tf_efficientnet_lite0"])
    study = AskedStudy.of(space="efficientnet", storage=tmp_path, trials=10, epochs=3).settle(2, 0)
    default = space.starting_points[0]
    assert default.frozen_stages > 0
    weights = {default.backbone: "weights.safetensors"}
    for number, known in enumerate((weights, {})):
        task = replace(RUN.task, weights=known)
        trials = [
            TrialHistory(
                trial_id=f"{trial:05}",
                config=replace(default, lr=2e-3 / (1 + trial), frozen_stages=2 if known else 0),
                reports=(a_report(score=0.1 if trial else 0.9),),
                status=TrialStatus.FINISHED,
                reason=None,
            )
            for trial in range(5)
        ]
        data = RUN.data | {"pictures": 9}
        earlier = replace(a_run(split_hash=str(number), data=data), name=f"run-{number}", space=space.name, task=task)
        remember_trials(earlier, trials, study)
    points, _ = first_points(space, study, RUN)
    learned = [point["frozen_stages"] for point in points if point["lr"] == 2e-3]
    assert sorted(learned) == [2, default.frozen_stages], "the default's, where all was trained from random weights"
    points, _ = first_points(space.fixing(fixed_settings(pretrained=False)), study, RUN)
    assert {point["frozen_stages"] for point in points} == {0}


def test_backbones_that_this_search_does_not_have_are_left_out(study: SettledStudy, tmp_path: Path) -> None:
    remember(tmp_path, "earlier", backbone="test_vit")
    narrowed = get_space("toy", ["test_resnet"])
    points, _ = first_points(narrowed, study, RUN)
    assert {point["backbone"] for point in points} == {"test_resnet"}
