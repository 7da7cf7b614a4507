"""The end of a search: what cannot be written costs nothing else, and every way on that is said is one."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from rich.console import Console

from results.pages.report import write_report
from results.records.found import MODEL_OF_BEFORE, load_found
from results.records.run_folder import RunFolder, load_run
from results.records.summary import RunState, summary
from results.records.trials import TIME_BUDGET
from search import finish as room
from search.finish import finish, has_best, way_on
from search.hold import hold
from search.open_run import OpenRun
from search.refit import is_model_of
from search.stop import StopRequest
from tests.runs import a_line, a_run_dir, an_event
from tests.search.test_refit import ANYTHING, Trained, a_search, no_refit, study

MADE_OF = "Networks in the model"
"""In a report on a model that is what was found."""


class Saved:
    """Stands for the process that saves a model; which of them cannot is said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: Sequence[int] = ()) -> None:
        self.records: list[dict[str, Any]] = []
        self._fails = fails
        monkeypatch.setattr("search.found_model.begin_saving", self)
        monkeypatch.setattr("search.found_model.end_saving", lambda process: None)

    def __call__(self, draft: Path, members: object, task: object, record: dict[str, Any], **_: object) -> Any:
        self.records.append(record)
        if len(self.records) - 1 in self._fails:
            raise OSError("the disk is full")
        draft.mkdir(parents=True)
        (draft / "model.json").write_text(json.dumps({"record": record}))
        return Process()


class Process:
    def poll(self) -> int:
        return 0


def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[int, str, Any]:
    """The exit code of a search with the model's turn, what it said, and the search."""
    opened, _, stop = a_search(tmp_path)
    opened = replace(opened, run=replace(opened.run, trials_open=True), **options)
    monkeypatch.setattr("search.refit.run_jobs", Trained())
    said = io.StringIO()
    code = finish(opened, ANYTHING, stop, Console(file=said, width=1000))
    return code, said.getvalue(), opened


def test_a_search_leaves_its_record_its_report_and_the_model_as_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = Saved(monkeypatch)
    code, said, opened = ended(tmp_path, monkeypatch)
    assert code == 0
    assert [bool(record["refit_epochs"]) for record in saved.records] == [False, True]
    found = load_found(opened.folder.found_json)
    assert found is not None and found.refit_epochs and is_model_of(found, opened.folder)
    assert "then trained further, with the validation pictures" in said and f"Table: {tmp_path / 'README.md'}" in said


@pytest.mark.parametrize("has_turn", [False, True])
def test_a_report_that_is_written_while_the_model_is_saved_says_what_it_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_turn: bool
) -> None:
    saved, is_written = Saved(monkeypatch), Event()

    def end_saving(process: object) -> None:
        assert len(saved.records) <= has_turn or is_written.wait(60)  # the last one is behind the report

    def write(run_dir: Path, **more: bool) -> Path:
        path = write_report(run_dir, **more)
        is_written.set()
        return path

    monkeypatch.setattr("search.found_model.end_saving", end_saving)
    monkeypatch.setattr(room, "write_report", write)
    opened = ended(tmp_path, monkeypatch)[2] if has_turn else no_refit(of_open_length(tmp_path))
    if not has_turn:
        end(opened, StopRequest())
    assert MADE_OF in opened.folder.report_html.read_text()


def test_a_table_that_cannot_be_written_costs_neither_the_model_nor_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = Saved(monkeypatch)
    (tmp_path / "README.md").write_text("<!-- macrotune:results:begin -->\n")  # without its end
    code, said, opened = ended(tmp_path, monkeypatch)
    assert code == 1
    assert (
        "WARNING: the record is kept, but the table could not be written; to try again: python results/export.py"
        in said
    )
    assert f" --readme {tmp_path / 'README.md'} --records {tmp_path / 'results' / 'best'}: " in said
    assert "Table:" not in said and (tmp_path / "results" / "best" / "toy.json").is_file()
    assert f"Report: {opened.folder.report_html}" in said and opened.folder.report_html.is_file()
    assert [bool(record["refit_epochs"]) for record in saved.records] == [False, True]


def test_where_not_even_the_record_can_be_written_the_way_on_is_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Saved(monkeypatch)
    (tmp_path / "results").write_text("no folder")
    code, said, _ = ended(tmp_path, monkeypatch)
    assert code == 1
    assert "WARNING: record and table could not be written; to try again: python search/run.py --resume run" in said
    assert "results/export.py" not in said


def of_open_length(tmp_path: Path) -> OpenRun:
    """A search that no time budget ends, whose two trials have finished, and whose model's turn is due."""
    opened, _, _ = a_search(tmp_path)
    events = [an_event(trial, "finished", after=9) for trial in range(2)]
    opened.folder.events_jsonl.write_text("".join(json.dumps(event) + "\n" for event in events))
    replace(load_run(opened.folder.path), refits=True, trials_asked=2).save(opened.folder.run_json)
    run = replace(opened.run, refits=True, trials_asked=2)
    return replace(opened, run=run, study=replace(opened.study, trials_open=False, single=True))


def end(opened: OpenRun, stop: StopRequest) -> str:
    """What the end of a search says."""
    said = io.StringIO()
    with hold(opened.folder.path):
        finish(opened, ANYTHING, stop, Console(file=said, width=1000))
    return said.getvalue()


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_models_turn_that_was_interrupted_is_said_and_a_resume_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: bool
) -> None:
    Saved(monkeypatch)
    opened, stop = of_open_length(tmp_path), StopRequest()
    monkeypatch.setattr("search.refit.run_jobs", Trained(interrupted=True, never=["00000"]))
    if not meanwhile:
        stop.exit_code = 130
        stop.ask("Ctrl-C")
    said = end(opened, stop)
    way = f"python search/run.py --resume run --storage {tmp_path}\n"
    assert f"WARNING: the model was not trained further (Ctrl-C). Go on with: {way}" in said
    row = summary(opened.folder.path)
    assert row is not None and row.can_resume
    assert (row.state, row.problem) == (RunState.INTERRUPTED, "the model was not trained further (Ctrl-C)")
    monkeypatch.setattr("search.refit.run_jobs", Trained())
    said = end(opened, StopRequest())
    assert "was not trained further" not in said and "then trained further, with the validation pictures" in said
    row = summary(opened.folder.path)
    assert row is not None and (row.state, row.can_resume) == (RunState.FINISHED, False)


def test_half_of_a_models_turn_is_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, found, _ = a_search(tmp_path)
    opened = replace(opened, run=replace(opened.run, refits=True))
    interrupted = StopRequest()
    interrupted.ask("Ctrl-C")
    half = replace(found, refit_epochs={"00000": 2})
    whole = replace(found, refit_epochs={"00000": 2, "00001": 2})
    assert room._cut_short(opened, half, interrupted) == "not all of the model was trained further (Ctrl-C)"
    for what, stop in ((whole, interrupted), (None, interrupted), (half, StopRequest()), (half, StopRequest(0.0))):
        assert room._cut_short(opened, what, stop) is None
    without = replace(opened, study=replace(opened.study, refit=False))
    assert room._cut_short(without, half, interrupted) is None


def test_where_a_re_training_answers_for_the_run_its_new_model_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Saved(monkeypatch)
    opened = no_refit(of_open_length(tmp_path))
    assert f"To classify pictures: python scripts/predict.py {opened.folder.path} --data DIR\n" in end(
        opened, StopRequest()
    )
    opened.folder.retrained.path.mkdir()
    (opened.folder.retrained.path / "model.json").write_text("{}")
    said = end(opened, StopRequest())
    assert f"To classify pictures: python scripts/predict.py {opened.folder.model} --data DIR (" in said
    assert f"({opened.folder.path} answers with its re-training of before)" in said


def test_a_model_that_could_not_be_replaced_is_not_called_what_was_found_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Saved(monkeypatch)
    opened = no_refit(of_open_length(tmp_path))
    assert f"Model: {opened.folder.model}, picked by validation: trial 00000 alone" in end(opened, StopRequest())
    monkeypatch.undo()
    Saved(monkeypatch, fails=[0])
    with opened.folder.trials_jsonl.open("a") as file:
        file.write(json.dumps(a_line(2, 1, 0.9)) + "\n")
    with opened.folder.events_jsonl.open("a") as file:
        file.write(json.dumps(an_event(2, "finished", after=9)) + "\n")
    (opened.folder.checkpoints / "00002").mkdir()
    (opened.folder.checkpoints / "00002" / "best.pt").write_bytes(b"picked")
    said = end(opened, StopRequest())
    assert "could not be written: the disk is full" in said and "Best: trial 00002" in said
    assert f"Model: {opened.folder.model}, {MODEL_OF_BEFORE}" in said and "trial 00002 alone" not in said
    report = opened.folder.report_html.read_text()
    assert f"The model in the folder model is {MODEL_OF_BEFORE}." in report and MADE_OF not in report


def test_where_the_model_as_trained_on_cannot_be_saved_nothing_says_that_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Saved(monkeypatch, fails=[1])
    code, said, opened = ended(tmp_path, monkeypatch)
    assert code == 0
    assert "could not be written: the disk is full" in said
    found = load_found(opened.folder.found_json)
    assert found is not None and not found.refit_epochs
    assert "then trained on" not in said


def test_a_model_that_was_trained_on_when_a_kill_came_is_saved_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Saved(monkeypatch, fails=[1])
    save = room.leaving_model
    monkeypatch.setattr(room, "is_model_of", lambda found, folder: True)  # the kill, before it was looked at
    _, _, opened = ended(tmp_path, monkeypatch)
    monkeypatch.undo()
    assert room.leaving_model is save
    found = load_found(opened.folder.found_json)
    assert found is not None and found.refit_epochs and list(opened.folder.refit.checkpoints.glob("*/best.pt"))
    saved, said = Saved(monkeypatch), io.StringIO()
    monkeypatch.setattr("search.refit.run_jobs", None)
    assert finish(opened, ANYTHING, StopRequest(), Console(file=said, width=1000)) == 0
    assert [record["refit_epochs"] for record in saved.records] == [dict(found.refit_epochs)]
    assert not opened.folder.refit.checkpoints.exists()
    assert "then trained further, with the validation pictures" in said.getvalue()


def test_the_way_on_of_a_search_in_a_time_budget_has_one(tmp_path: Path) -> None:
    opened, _, _ = a_search(tmp_path)
    assert way_on(opened).endswith(" --time-budget 5m")
    spaced = replace(opened, study=study(tmp_path, time_budget="5 m"))
    assert way_on(spaced).endswith(" --time-budget 5m")
    of_trials = replace(opened, study=study(tmp_path, trials_open=False))
    assert "--time-budget" not in way_on(of_trials)
    assert math.isinf(of_trials.study.time_budget_seconds)


@pytest.mark.parametrize(("share", "says"), [(0.3, True), (1.0, False)])
def test_a_budget_that_ends_in_the_first_epoch_of_all_is_said_to_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, says: bool
) -> None:
    Saved(monkeypatch)
    opened, _, stop = a_search(tmp_path)
    lines = [{**a_line(0, 1, 0.4), "trained_share": share}, {**a_line(1, 1, 0.3), "trained_share": 0.1}]
    opened.folder.trials_jsonl.write_text("".join(json.dumps(line) + "\n" for line in lines))
    opened.folder.events_jsonl.unlink(missing_ok=True)
    stop.ask(TIME_BUDGET)
    said = io.StringIO()
    run = replace(opened.run, trials_open=True)
    finish(
        replace(opened, run=run, study=replace(opened.study, refit=False)),
        ANYTHING,
        stop,
        Console(file=said, width=1000),
    )
    assert ("used up before one epoch was whole: 2 trials" in said.getvalue()) == says
    assert "used up" in said.getvalue()


def test_no_weights_are_no_model_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Saved(monkeypatch)
    _, _, opened = ended(tmp_path, monkeypatch)
    for weights in opened.folder.checkpoints.glob("*/best.pt"):
        weights.unlink()  # as --keep 0 does
    said = io.StringIO()
    finish(opened, ANYTHING, StopRequest(), Console(file=said, width=1000))
    assert "no trial's weights were kept, so there is no model" in said.getvalue()
    assert "Model:" not in said.getvalue() and "the one that answers now" not in said.getvalue()


def test_where_a_second_turn_cannot_be_saved_the_model_is_that_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Saved(monkeypatch)
    _, _, opened = ended(tmp_path, monkeypatch)
    first = load_found(opened.folder.found_json)
    assert first is not None and first.refit_epochs and has_best(opened.folder)
    monkeypatch.undo()
    Saved(monkeypatch, fails=[0])
    twice = Trained(epochs=2)
    monkeypatch.setattr("search.refit.run_jobs", twice)
    stop, said = StopRequest(60.0), io.StringIO()
    stop.keep_back(60.0)
    finish(opened, ANYTHING, stop, Console(file=said, width=1000))
    assert twice.jobs
    assert load_found(opened.folder.found_json) == first
    assert "the one that answers now" not in said.getvalue()
    assert "then trained further, with the validation pictures" in said.getvalue()


def test_a_search_of_failures_has_come_to_nothing(tmp_path: Path) -> None:
    lines = [a_line(trial, 1, 0.5) for trial in range(3)]
    events = [an_event(trial, "failed", after=9, reason="no") for trial in range(2)]
    assert not has_best(RunFolder(a_run_dir(tmp_path / "run", lines, events)))


def test_a_copied_run_is_gone_on_with_by_the_name_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Saved(monkeypatch)
    opened = no_refit(of_open_length(tmp_path))
    copy = opened.folder.path.with_name("run (copy)")
    opened.folder.path.rename(copy)
    said = end(replace(opened, folder=RunFolder(copy)), StopRequest())
    assert f"never seen: python scripts/retrain.py --run 'run (copy)' --storage {tmp_path}\n" in said
    assert way_on(replace(opened, folder=RunFolder(copy))).startswith("python search/run.py --resume 'run (copy)' ")
