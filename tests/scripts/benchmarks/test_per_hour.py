"""The comparison by the hour reads shorter times off a longer training, and its table says what was compared."""

from __future__ import annotations

import math
from typing import Any

from scripts.benchmarks.per_hour import read_off
from scripts.benchmarks.per_hour_report import draw, render

CURVE = [[60.0, 0.5, 0.45, 0.4, 1], [120.0, 0.7, 0.6, 0.61, 1], [180.0, 0.6, 0.65, 0.64, 1], [240.0, 0.8, 0.7, 0.72, 1]]


def test_a_shorter_time_has_the_best_epoch_until_then() -> None:
    steps = [[60.0, 0.45], [120.0, 0.6], [240.0, 0.7]]
    assert read_off(CURVE, 300, 100) == {"f1": 0.7, "two_views": 0.72, "epochs": 4, "best_epoch": 4, "curve": steps}
    assert read_off(CURVE, 200, 100) == {"f1": 0.6, "two_views": 0.61, "epochs": 3, "best_epoch": 2, "curve": steps[:2]}
    assert read_off(CURVE, 60, 100) == {"f1": 0.45, "two_views": 0.4, "epochs": 1, "best_epoch": 1, "curve": steps[:1]}


def test_the_epoch_that_a_time_ends_in_counts_for_that_time_alone() -> None:
    curve = [*CURVE[:3], [200.0, 0.75, 0.68, 0.69, 0.5], CURVE[3]]
    steps = [[60.0, 0.45], [120.0, 0.6], [200.0, 0.68]]
    assert read_off(curve, 200, 100) == {"f1": 0.68, "two_views": 0.69, "epochs": 3.5, "best_epoch": 4, "curve": steps}
    assert read_off(curve, 300, 100) == read_off(CURVE, 300, 100)


def test_a_later_epoch_that_is_as_good_by_two_pictures_is_the_best() -> None:
    curve = [*CURVE, [300.0, 0.785, 0.71, 0.73, 1], [360.0, 0.77, 0.69, 0.7, 1]]
    steps = [[60.0, 0.45], [120.0, 0.6], [240.0, 0.7], [300.0, 0.71]]
    passing = [250.0, 0.79, math.nan, math.nan, 1]
    assert read_off([*CURVE, passing, *curve[4:]], 400, 100)["curve"] == steps, "one that soon had a successor"
    assert read_off(curve, 400, 100) == {"f1": 0.71, "two_views": 0.73, "epochs": 6, "best_epoch": 5, "curve": steps}
    assert read_off(curve, 400, 1000) == {**read_off(CURVE, 300, 1000), "epochs": 6}


def a_row(seed: int, search: float, **more: Any) -> dict[str, Any]:
    searched = {"f1": search, "epochs": 40, "networks": 2}
    alone = {"f1": 0.7, "two_views": 0.71, "epochs": 30, "best_epoch": 28}
    return {"data": "birds", "minutes": 5.0, "seed": seed, "search": searched, "alone": alone, **more}


def test_the_table_pairs_by_seed_and_leaves_empty_what_was_not_measured() -> None:
    said = render([a_row(0, 0.72, autogluon={"f1": 0.4}), a_row(1, 0.71)])
    wanted = (
        "| birds | 5 | 2 | 0.700 |  | 0.400 | 0.715 | +0.015 [-0.049, +0.079] | +0.005 [-0.059, +0.069] | 30 | 40 |"
    )
    assert f"{wanted} 2, 2 |" in said
    assert "searches of" not in said
    cars = {**a_row(1, 0.71), "data": "cars", "alone": {"f1": 0.7, "epochs": 30}}
    said = render([a_row(0, 0.72), cars])
    assert (
        "5 minutes, 2 searches of 2 data sets: search - alone +0.015 [-0.049, +0.079], with two views +0.010." in said
    )
    said = render([a_row(0, 0.72, plain={"f1": 0.6}, autogluon={"f1": 0.4}), {**cars, "plain": {"f1": 0.7}}])
    assert "with two views +0.010, search - plain script +0.065 [-0.634, +0.764], search - AutoGluon +0.320." in said


def test_the_figure_has_a_panel_a_data_set_with_each_seed_s_line_and_its_searches() -> None:
    rows = [a_row(0, 0.72), {**a_row(0, 0.74), "minutes": 15.0}, a_row(1, 0.71), {**a_row(0, 0.9), "data": "cars"}]
    rows[1]["alone"]["curve"] = [[60.0, 0.6], [300.0, 0.7]]
    birds, cars = draw(rows).axes
    assert (birds.get_title(), cars.get_title()) == ("birds", "cars")
    line, points = birds.lines[:2]
    assert [list(values) for values in line.get_data()] == [[1.0, 5.0, 15.0], [0.6, 0.7, 0.7]]
    assert [list(values) for values in points.get_data()] == [[5.0, 15.0], [0.72, 0.74]]
    assert len(birds.lines) == 4 and len(cars.lines) == 2
    assert (birds.get_ylabel(), cars.get_ylabel()) == ("macro-F1 on test", "")


def test_panels_beyond_three_go_below() -> None:
    figure = draw([{**a_row(0, 0.72), "data": name} for name in ("a", "b", "c", "d")])
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", "d"]
    assert [bool(axes.get_ylabel()) for axes in figure.axes] == [True, False, False, True]
    first, *_, last = (axes.get_subplotspec() for axes in figure.axes)
    assert first is not None and last is not None
    assert (first.rowspan.start, last.rowspan.start, last.colspan.start) == (0, 1, 0)
