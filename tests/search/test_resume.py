"""A run goes on as it began."""

from __future__ import annotations

import io
import shutil
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from results.records.run_folder import RunFolder
from results.records.trials import load_trials, used_its_time
from search.engine.engine import counts_seconds
from search.finish import most_failed
from search.flags import PlaceFlags, SplitFlags
from search.prepare import prepare_data
from search.resume import (
    Options,
    _decoded,
    _ended_beyond_their_length,
    _extended,
    _offer_again,
    _without_absent_trackers,
    refuse_contradictions,
    refuse_other_device,
    resume_run,
    saved_options,
    with_kept_corrections,
)
from search.run import parse
from search.start import _make_folder
from search.study import AskedStudy
from search.track_flags import TrackFlags
from search.tuner import trial_ids
from tests.records import a_run, a_task
from tests.runs import a_line, a_run_dir, an_event
from trainables.atomic import write_whole
from trainables.data.manifest import DataConfig, DataError
from trainables.errors import UserError
from trainables.networks.weights import resolve_weights
from trainables.report import TrialStatus


@pytest.mark.parametrize(
    ("began", "gpus", "says"),
    [("cuda", 0, "begun on a GPU, and there is none"), ("cpu", 1, "go on with it by --gpus-per-trial 0")],
)
def test_a_run_does_not_change_between_devices(began: str, gpus: int, says: str) -> None:
    run = a_run()
    run = replace(run, task=replace(run.task, device=began))
    with pytest.raises(ValueError, match=says):
        refuse_other_device(run, AskedStudy().settle(4, gpus))
    refuse_other_device(run, AskedStudy().settle(4, 1 - gpus))


def test_failed_trials_are_offered_again_and_those_that_diverged_are_not(tmp_path: Path) -> None:
    nothing = {"val_macro_f1": None, "diverged": True}
    folder = a_run_dir(
        tmp_path,
        [a_line(0, 1, 0.5), a_line(1, 1, 0.5), {**a_line(2, 1, 0.5), **nothing}],
        [
            an_event(0, "finished", after=9),
            an_event(1, "failed", after=9, reason="RuntimeError: no"),
            an_event(2, "failed", after=9, reason="diverged"),
        ],
    )
    before = load_trials(folder)
    after = _offer_again(RunFolder(folder), before)
    assert [trial.status for trial in after] == [TrialStatus.FINISHED, TrialStatus.INTERRUPTED, TrialStatus.FAILED]
    assert "RuntimeError: no" in (after[1].reason or "")
    assert trial_ids(after, 1) == ["00001"]
    assert [trial.config for trial in after] == [trial.config for trial in before]


def test_trials_that_are_added_end_a_run_from_then_on_and_its_time_budget_does_not(tmp_path: Path) -> None:
    run = a_run(options={"time_budget": "15m"}, trials_open=True)
    folder = RunFolder(a_run_dir(tmp_path / "a", [a_line(0, 1, 0.5)], [an_event(0, "finished", after=9)]))
    longer = _extended(run, 4, begun=3)
    assert (longer.trials_asked, longer.trials_open) == (7, False)
    longer.save(folder.run_json)

    def budget(*flags: str) -> str | None:
        return parse(["--resume", "a", "--storage", str(tmp_path), *flags]).study.search.time_budget

    assert budget() is None, "after a kill, too"
    assert budget("--time-budget", "5m") == "5m" and budget("--add-trials", "2") is None
    assert counts_seconds(longer), "its proposals stay what they would have been"
    assert AskedStudy.restored(longer.options).run.add_trials == 0
    assert used_its_time(run, folder.events()) and not used_its_time(longer, folder.events())
    within = _extended(longer, 2, 7, "1h")
    within.save(folder.run_json)
    assert (within.trials_asked, budget()) == (9, "1h")


def test_trials_are_added_to_those_asked_for_or_where_the_time_decided_to_those_begun() -> None:
    run = a_run(trials_asked=36)
    assert _extended(run, 4, begun=3).trials_asked == 40
    run = replace(run, trials_open=True)
    assert _extended(run, 0, begun=3) == run
    assert _extended(run, 4, begun=3) == replace(run, trials_asked=7, trials_open=False)


@pytest.mark.parametrize(
    ("ends", "most"),
    [
        (["finished"], False),
        (["failed"], True),
        (["failed", "finished"], False),  # half of them is not most
        (["failed", "failed", "finished"], True),
        (["diverged", "diverged", "finished"], False),  # an answer about their configurations
        (["failed", "failed", "running", "running"], True),  # of those that are done
        (["failed", "interrupted", "interrupted"], False),  # what the time has cut short has a score
        ([], False),
    ],
)
def test_a_search_of_which_most_trials_failed_is_known(ends: list[str], most: bool, tmp_path: Path) -> None:
    nothing = {"val_macro_f1": None, "diverged": True}
    lines = [{**a_line(number, 1, 0.5), **(nothing if end == "diverged" else {})} for number, end in enumerate(ends)]
    events = [
        an_event(number, "failed" if end == "diverged" else end, after=9)
        for number, end in enumerate(ends)
        if end != "running"
    ]
    assert most_failed(load_trials(a_run_dir(tmp_path, lines, events))) == most


def test_the_file_of_a_space_may_have_moved_and_its_function_is_the_same(tmp_path: Path) -> None:
    def asked(space: str) -> Options:
        return AskedStudy.of(space=space, storage=tmp_path), DataConfig()

    saved = asked("/old/mine.py:space")
    refuse_contradictions(saved, asked(f"{tmp_path}/mine.py:space"))
    with pytest.raises(UserError, match=r"--space .*mine.py:other, the run has /old/mine.py:space"):
        refuse_contradictions(saved, asked(f"{tmp_path}/mine.py:other"))
    with pytest.raises(UserError, match=r"--space toy, the run has"):
        refuse_contradictions(saved, asked("toy"))


def test_a_run_goes_on_from_the_same_weights_where_they_lie_elsewhere_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    backbone, cache = "tf_efficientnet_lite0", tmp_path / "cache"
    found = resolve_weights([backbone], "auto", cache)
    run = a_run(options={"space": "efficientnet"}, weights=found.sources)
    run = replace(run, task=replace(run.task, weights={backbone: "/home/other/lite0.safetensors"}))
    run.save(RunFolder(tmp_path / "a").run_json)
    asked, data = saved_options(PlaceFlags(storage=tmp_path), "a")
    asked = asked.replace(readme=tmp_path / "README.md", cache_dir=cache)

    def look(files: Collection[str]) -> None:
        assert list(files) == [found.files[backbone]]
        raise InterruptedError

    session: Any = SimpleNamespace(look_at_nodes=lambda *_: None, look_for_weights=look)
    with ExitStack() as stack, pytest.raises(InterruptedError):
        resume_run(asked, data, session, stack, Console(file=io.StringIO()))


def test_pictures_are_decoded_again_with_corrections_that_are_gone_with_the_cache(
    pictures: Path, tmp_path: Path
) -> None:
    lines, cache = tmp_path / "cache" / "same_groups.csv", tmp_path / "cache"
    write_whole(lines, b"key,column,value\np00_0.png,group,p01\n")
    data = DataConfig(data=pictures, corrections=lines)
    places = {"cache_path": cache, "console": Console(file=io.StringIO())}
    prepared = prepare_data(data, SplitFlags(), seed=0, image_size=32, **places)
    run = replace(a_run(), task=a_task(cache_path=str(prepared.cache.path)))
    folder = RunFolder(tmp_path / "runs" / "a")
    _make_folder(run, folder.path, prepared, lines)
    shutil.rmtree(cache)
    study = AskedStudy.of(cache_dir=cache, image_size=32).settle(1, 0)
    with pytest.raises(DataError, match="no such file"):
        _decoded(run, study, data, Console(file=io.StringIO()))
    kept = with_kept_corrections(data, folder)
    assert _decoded(run, study, kept, Console(file=io.StringIO())) == str(prepared.cache.path)
    assert with_kept_corrections(DataConfig(data=pictures), folder).corrections is None
    assert with_kept_corrections(data, RunFolder(tmp_path)) == data  # a run of an earlier version


def test_retry_failed_is_for_a_run_that_goes_on() -> None:
    with pytest.raises(UserError, match="--resume NAME"):
        AskedStudy.of(retry_failed=True)


def test_trials_beyond_their_length_have_ended_where_none_goes_on(tmp_path: Path) -> None:
    folder = a_run_dir(
        tmp_path,
        [
            a_line(trial, epoch, 0.5, after=epoch)
            for trial, last in ((0, 4), (1, 3), (2, 2))
            for epoch in range(1, last + 1)
        ],
        [an_event(0, "interrupted", after=9), an_event(2, "interrupted", after=9)],
    )
    after = _ended_beyond_their_length(RunFolder(folder), load_trials(folder), 3)
    assert [trial.status for trial in after] == [TrialStatus.FINISHED, TrialStatus.FINISHED, TrialStatus.INTERRUPTED]
    assert after[0].reason == "it had come to epoch 4 of 3"
    assert trial_ids(after, 2) == ["00002", "00003"]


def test_a_tracker_that_is_not_here_any_more_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = io.StringIO()
    asked = _without_absent_trackers(AskedStudy.of(mlflow="there", wandb="team"), Console(file=said, width=200))
    assert asked.track == TrackFlags()
    assert said.getvalue().count("The run goes on without it") == 2


@pytest.mark.parametrize(
    ("time_decides", "flags", "budget"),
    [
        (True, [], "15m"),
        (True, ["--time-budget", "5m"], "5m"),
        (True, ["--add-trials", "2"], None),
        (False, [], "15m"),
    ],
)
def test_a_search_in_a_time_budget_has_as_long_again(
    tmp_path: Path, time_decides: bool, flags: list[str], budget: str | None
) -> None:
    folder = RunFolder(tmp_path / "a")
    folder.path.mkdir()
    a_run(options={"time_budget": "15m"}, trials_open=time_decides).save(folder.run_json)
    options = parse(["--resume", "a", "--storage", str(tmp_path), *flags])
    assert options.study.search.time_budget == budget
