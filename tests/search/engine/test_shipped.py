"""What comes with the project about where to start: like pictures count more, and nothing that gained nothing comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FixedTrial

from search.engine.history import HistoryTrial, append_trials
from search.engine.portfolio import first_points
from search.engine.shipped import MOST_SHIPPED, MeasuredSearch, Situation, beside, leave_one_out, load_shipped
from search.study import AskedStudy, SettledStudy
from spaces import get_space
from tests.search.engine.test_portfolio import RUN
from trainables.config import TrialConfig

HERE = Situation(pictures=1000, classes=6, imbalance=4.0, image_size=64, epochs=20)
EFFICIENTNET = get_space("efficientnet")
DEFAULT = asdict(EFFICIENTNET.starting_points[0])


def measured(data: str, gains: Mapping[str, float], situation: Situation = HERE, seed: int = 0) -> MeasuredSearch:
    changes: dict[str, dict[str, Any]] = {
        "natural": {"sampling": "natural"},
        "cutmix": {"cutmix": 0.5},
        "lr": {"lr": 5e-4},
    }
    return MeasuredSearch(
        space="efficientnet",
        data=data,
        seed=seed,
        situation=situation,
        gains=tuple((changes[name], gain) for name, gain in gains.items()),
        where={},
    )


@pytest.mark.parametrize(
    ("change", "likeness"),
    [({}, 1.0), ({"pictures": 2000}, 0.5), ({"epochs": 10}, 0.5), ({"classes": 24, "image_size": 32}, 0.25)],
)
def test_a_factor_of_two_halves_what_a_search_counts(change: dict[str, int], likeness: float) -> None:
    assert HERE.likeness(replace(HERE, **change)) == replace(HERE, **change).likeness(HERE) == likeness


def test_what_gained_most_comes_first_and_what_gained_nothing_not_at_all() -> None:
    searches = [
        measured("a", {"natural": 0.01, "cutmix": 0.03, "lr": -0.01}),
        measured("b", {"natural": 0.01, "cutmix": 0}),
    ]
    assert beside(DEFAULT, HERE, searches) == [{**DEFAULT, "cutmix": 0.5}, {**DEFAULT, "sampling": "natural"}]
    assert beside(DEFAULT, HERE, []) == []


def test_what_was_measured_on_like_pictures_counts_more() -> None:
    unlike = replace(HERE, pictures=64_000, epochs=160)
    searches = [
        measured("a", {"natural": 0.02, "cutmix": 0.01}),
        measured("b", {"natural": 0.01, "cutmix": 0.03}, unlike),
    ]
    assert beside(DEFAULT, HERE, searches)[0]["sampling"] == "natural"
    assert beside(DEFAULT, unlike, searches)[0]["cutmix"] == 0.5


def test_a_data_set_left_out_does_not_pick_for_itself() -> None:
    searches = [
        measured("a", {"natural": 0.5, "cutmix": 0.0}),
        measured("a", {"natural": 0.5, "cutmix": 0.01}, seed=1),
        measured("b", {"natural": -0.01, "cutmix": 0.02}),
    ]
    assert [(search.data, pick, gain) for search, pick, gain in leave_one_out(searches)] == [
        ("a", {"cutmix": 0.5}, 0.0),
        ("a", {"cutmix": 0.5}, 0.01),
        ("b", {"sampling": "natural"}, -0.01),
    ]


@pytest.fixture
def study(tmp_path: Path) -> SettledStudy:
    return AskedStudy.of(space="efficientnet", storage=tmp_path, trials=12, epochs=20).settle(2, 0)


def test_a_first_search_tries_what_did_well_elsewhere_before_the_points_of_the_space(study: SettledStudy) -> None:
    points, words = first_points(EFFICIENTNET, study, RUN)
    own = [asdict(point) for point in EFFICIENTNET.starting_points[1:]]
    known = [{**DEFAULT, **change} for search in load_shipped() for change, _ in search.gains]
    shipped = points[1 : MOST_SHIPPED + 1]
    assert points[0] == DEFAULT
    assert all(point in known for point in shipped)
    assert points[MOST_SHIPPED + 1 :] == [point for point in own if point not in shipped]
    assert f"{len(shipped)} configurations that did well beside it in {len(load_shipped())} measured searches" in words
    assert len({str(point) for point in points}) == len(points)


@pytest.mark.parametrize(("earlier", "shipped"), [(1, 2), (2, 1), (3, 0), (4, 0)])
def test_it_gives_way_to_what_was_learned_here(earlier: int, shipped: int, study: SettledStudy, tmp_path: Path) -> None:
    for number in range(earlier):
        values = {0.5: 0.9, 0.4: 0.2, 0.3: 0.2, 0.1: 0.2}
        trials = [
            HistoryTrial(
                study=str(number), space="efficientnet", config={**DEFAULT, "dropout": dropout}, values=[value]
            )
            for dropout, value in values.items()
        ]
        append_trials(tmp_path, trials)
    points, words = first_points(EFFICIENTNET, study, RUN)
    known = [{**DEFAULT, **change} for search in load_shipped() for change, _ in search.gains]
    assert points[0] == DEFAULT and points[1]["dropout"] == 0.5
    assert sum(point in known for point in points) == shipped
    assert "starting point" not in words


def test_what_comes_with_the_project_lies_in_its_space_and_is_of_several_data_sets() -> None:
    searches = load_shipped()
    assert len({search.data for search in searches}) >= 3
    for search in searches:
        assert MeasuredSearch.from_json(search.to_json()) == search
        assert {"backbone", "weights", "started", "hardware"} <= search.where.keys()
        for change, _ in search.gains:
            space = get_space(search.space)
            config = {**asdict(space.starting_points[0]), **change}
            assert space.suggest(FixedTrial(config)) == TrialConfig(**config)


def test_what_is_the_default_today_takes_no_place_beside_it() -> None:
    earlier = measured("a", {"natural": 0.03, "cutmix": 0.02, "lr": 0.01})
    own = replace(earlier, gains=(({"sampling": DEFAULT["sampling"]}, 0.05), *earlier.gains))
    assert beside(DEFAULT, HERE, [own]) == beside(DEFAULT, HERE, [earlier])
    assert len(beside(DEFAULT, HERE, [own])) == MOST_SHIPPED
