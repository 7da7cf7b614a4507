"""Shortcuts through Ray: put back when they end, skipped with a word where Ray has changed, and all may be off."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from ray.air.execution import FixedResourceManager, PlacementGroupResourceManager
from ray.tune.execution import class_cache, tune_controller
from ray.tune.trainable.metadata import _TrainingRunMetadata

from results.records.trials import load_trials
from search.machine.ray_shortcuts import (
    PRELOADED,
    SWITCH,
    shortcuts,
    start_preloading,
    without_lightning_variables,
    without_placement_groups,
    without_statistics,
)
from tests.conftest import Searched, run_command

STATISTICS = (_TrainingRunMetadata, "update_metric")
PLACEMENT = (tune_controller, "PlacementGroupResourceManager")
LIGHTNING = (class_cache, "DEFAULT_ENV_VARS")
PLACES = [STATISTICS, PLACEMENT, LIGHTNING]
EACH = pytest.mark.parametrize(
    ("shortcut", "place"),
    [(without_statistics, STATISTICS), (without_placement_groups, PLACEMENT), (without_lightning_variables, LIGHTNING)],
    ids=["statistics", "placement", "lightning"],
)
Shortcut = Callable[[], AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)


def in_place() -> list[Any]:
    return [getattr(*place) for place in PLACES]


@EACH
def test_a_shortcut_puts_back_what_it_replaced(shortcut: Shortcut, place: tuple[Any, str]) -> None:
    usual = getattr(*place)
    with pytest.raises(RuntimeError, match="over"), shortcut():
        assert getattr(*place) is not usual
        raise RuntimeError("over")
    assert getattr(*place) is usual


@EACH
def test_a_shortcut_whose_place_is_gone_is_skipped_with_one_line(
    shortcut: Shortcut, place: tuple[Any, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner, name = place
    monkeypatch.delattr(owner, name)
    with shortcut():
        assert not hasattr(owner, name)
    assert not hasattr(owner, name)
    [line] = caplog.messages
    assert name in line


def test_one_shortcut_that_is_gone_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr("ray.air.execution.FixedResourceManager")
    usual = in_place()
    with shortcuts(one_node=True):
        assert [now is before for now, before in zip(in_place(), usual, strict=True)] == [False, True, False]
    assert len(caplog.messages) == 1


def test_a_manager_that_cannot_be_made_gives_way_to_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def changed(self: Any, total: int) -> None:
        """Wants what it did not want before."""

    monkeypatch.setattr(FixedResourceManager, "__init__", changed)
    with without_placement_groups():
        made = tune_controller.PlacementGroupResourceManager()
    assert isinstance(made, PlacementGroupResourceManager)
    assert len(caplog.messages) == 1


def test_on_several_nodes_trials_are_placed_as_usual() -> None:
    usual = in_place()
    with shortcuts(one_node=False):
        assert in_place()[1:] == usual[1:]
        assert in_place()[0] is not usual[0]


def test_all_may_be_off(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(SWITCH, "off")
    usual = in_place()
    given: list[dict[str, Any]] = []
    with shortcuts(one_node=True):
        assert in_place() == usual
    start_preloading(lambda **settings: given.append(settings), 2)
    assert given == [{}]
    assert not caplog.messages


def test_waiting_workers_import_what_a_trial_needs() -> None:
    given: list[dict[str, Any]] = []
    start_preloading(lambda **settings: given.append(settings), 2)
    [settings] = given
    assert settings["_system_config"]["preload_python_modules"] == list(PRELOADED)
    assert settings["_system_config"]["num_workers_soft_limit"] == 2  # none is ended for having found no trial


def test_ray_starts_as_usual_where_it_refuses_to_preload(caplog: pytest.LogCaptureFixture) -> None:
    given: list[dict[str, Any]] = []

    def start(**settings: Any) -> None:
        given.append(settings)
        if settings:
            raise RuntimeError(f"Unknown keyword argument(s): {', '.join(settings)}")

    start_preloading(start, 2)
    assert [list(settings) for settings in given] == [["_system_config"], []]
    [line] = caplog.messages
    assert "_system_config" in line


def test_what_keeps_ray_from_starting_at_all_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    def start(**_: Any) -> None:
        raise ConnectionError("no port is free")

    with pytest.raises(ConnectionError, match="no port is free"):
        start_preloading(start, 2)
    assert not caplog.messages


@pytest.mark.slow
@pytest.mark.long
def test_a_search_without_any_shortcut_gives_the_same_numbers(
    searched: Searched, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "off")
    small = ("--space", "toy", "--trials", "4", "--epochs", "3", "--image-size", "32", "--batch-size", "16")
    flags = (*small, "--data", str(pictures), "--name", "plain", "--seed", "3")
    said = run_command("search/run.py", *flags, folder=tmp_path)
    assert "shortcut" not in said
    usual, plain = load_trials(searched.folder / "runs" / "first"), load_trials(tmp_path / "runs" / "plain")
    assert [trial.trial_id for trial in plain] == [trial.trial_id for trial in usual]
    assert [trial.config for trial in plain] == [trial.config for trial in usual]
    for ours, theirs in zip(plain, usual, strict=True):
        both = list(zip(ours.reports, theirs.reports, strict=False))  # ASHA stops by the order in which epochs end
        assert both
        assert [one.val_loss for one, _ in both] == [other.val_loss for _, other in both]
        assert [one.class_f1 for one, _ in both] == [other.class_f1 for _, other in both]
