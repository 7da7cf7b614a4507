"""A search from its flags to its row: what is noted of a process that ends before all is written."""

from __future__ import annotations

import io
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from results.records.run_folder import ADDRESS_FILE, RunFolder
from results.records.summary import RunState, summary
from results.records.trials import last_time_budget
from search import pipeline
from search.start import _free_name
from search.study import AskedStudy
from tests.runs import a_run_dir, an_event
from tests.search.test_refit import a_search
from trainables.data.manifest import DataConfig
from trainables.errors import UserError


@pytest.mark.parametrize("where", ["run_trials", "finish"])
def test_a_second_ctrl_c_behind_the_last_trial_leaves_a_run_that_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    opened, _, _ = a_search(tmp_path)
    no_facts: Any = SimpleNamespace(known={})
    opened = replace(opened, facts=no_facts, run=replace(opened.run, trials_asked=2))
    opened.run.save(opened.folder.run_json)
    events = [an_event(trial, "finished", after=9) for trial in range(2)]
    opened.folder.events_jsonl.write_text("".join(json.dumps(event) + "\n" for event in events))
    row = summary(opened.folder.path)
    assert row is not None and row.state == RunState.FINISHED

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    engine = SimpleNamespace(searcher=SimpleNamespace(close=lambda _: None), scheduler=None)
    nothing = dict.fromkeys(("announce", "workload", "run_trials"), lambda *_: None)
    instead = {**nothing, "begin_run": lambda *_: opened, "build_engine": lambda *_: engine, where: interrupt}
    for name, function in instead.items():
        monkeypatch.setattr(pipeline, name, function)
    asked = AskedStudy.of(storage=tmp_path, readme=tmp_path / "README.md", time_budget="20m")
    with pytest.raises(KeyboardInterrupt):
        pipeline.search(asked, DataConfig(), Console(file=io.StringIO()), time.monotonic())
    row = summary(opened.folder.path)
    assert row is not None and (row.state, row.can_resume) == (RunState.INTERRUPTED, True)
    assert "interrupted" in (tmp_path / "index.html").read_text()
    assert last_time_budget(opened.run, opened.folder.events()) == "20m"


def test_a_name_that_another_machine_takes_meanwhile_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    there = tmp_path / "there"
    there.mkdir()
    asked = AskedStudy.of(storage=Path(f"file://{there}"), name="first")
    folder = RunFolder(asked.places.runs_dir / "first")

    def begin(*_: Any) -> Any:
        a_run_dir(folder.path)
        a_run_dir(there / "first")
        return SimpleNamespace(folder=folder, run=SimpleNamespace(name="first"))

    monkeypatch.setattr(pipeline, "begin_run", begin)
    with pytest.raises(UserError, match=r"there is a run 'first' in file://.*/there: .*--name, .*--resume first"):
        pipeline.search(asked, DataConfig(), Console(file=io.StringIO()), time.monotonic())
    assert not folder.path.exists()


def test_a_run_in_a_bucket_is_named_as_none_of_another_machine_is(tmp_path: Path) -> None:
    assert _free_name(tmp_path, "toy-20261201-031500") == "toy-20261201-031500"
    (tmp_path / ADDRESS_FILE).write_text("s3://pictures/search")
    assert re.fullmatch("toy-20261201-031500-[0-9a-f]{4}", _free_name(tmp_path, "toy-20261201-031500"))
