"""Tests of the page about a run."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from results.pages.report import render_report, write_report
from results.pages.report_study import LINES_SHOWN, _every_so_many, study_figures
from results.records.confusion import load_confusion
from results.records.found import MODEL_OF_BEFORE, Found
from results.records.presence import Presence
from results.records.run_folder import RunFolder, load_run
from scripts.report import main
from tests.conftest import ROOT
from tests.final_models import a_final
from tests.records import a_report, a_run, a_task
from trainables.called import VARIABLE, calls_from_python
from trainables.config import TrialConfig
from trainables.strict_json import load_object

STARTED = datetime.fromisoformat("2026-10-24T14:03:00+09:00")
EVIL = '<img src=x onerror="alert(1)"> & $x'
SIDES = {
    "train": {"pictures": 60, "groups": 6, "classes": 2},
    "val": {"pictures": 20, "groups": 2, "classes": 2},
    "test": {"pictures": 20, "groups": 2, "classes": 2},
}


def a_config(trial: int) -> TrialConfig:
    return TrialConfig(backbone=f"net{trial % 2}", lr=10 ** -(2 + trial % 3), dropout=trial / 20)


def a_trial(trial: int, scores: Sequence[float], status: str = "stopped") -> list[dict[str, Any]]:
    """The lines of one trial in `trials.jsonl`."""
    lines = []
    for epoch, score in enumerate(scores, start=1):
        report = a_report(epoch, score, class_f1=(score, score / 2))
        state = status if epoch == len(scores) else "running"
        moment = (STARTED + timedelta(seconds=10 * trial + epoch)).isoformat()
        config = {"config": asdict(a_config(trial))} if epoch == 1 else {}
        said = {**report.to_json(), "best_epoch": 0}  # the one of the highest score is
        lines.append({"trial_id": f"{trial:05}", "time": moment, "status": state, **said, **config})
    return lines


TEN_TRIALS = [
    *a_trial(0, (0.2, 0.5, 0.9, 0.8), "finished"),
    *(line for trial in range(1, 10) for line in a_trial(trial, (0.1 + trial / 100,))),
]


def a_failure(trial: int, reason: str, traceback: str | None = None) -> dict[str, Any]:
    event = {"trial_id": f"{trial:05}", "time": (STARTED + timedelta(hours=1)).isoformat(), "event": "failed"}
    return {**event, "reason": reason, "traceback": traceback, "config": asdict(a_config(trial))}


def a_run_dir(
    folder: Path,
    lines: Iterable[dict[str, Any]] = (),
    events: Iterable[dict[str, Any]] = (),
    *,
    classes: tuple[str, ...] = ("x", "y"),
    **options: Any,
) -> Path:
    run = a_run(
        name=folder.name,
        started=STARTED.isoformat(),
        options={"trials": 10, "seed": 0, "val_share": 0.2, "skip_bad": True, "attributes": ["a", "b"], **options},
        task=a_task(classes=classes, epochs=4),
        data={"source": "/home/me/pictures", "pictures": 100, "groups": 10, "sides": SIDES, "skipped": ["bad.png"]},
        weights={"net0": "package net0 1.0", "net1": "random"},
        weights_note="no weights for net1",
        versions={"python": "3.11"},
        trials_asked=10,
    )
    folder.mkdir(exist_ok=True)
    run.save(folder / "run.json")
    (folder / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def a_study(
    run_dir: Path, num_trials: int, num_complete: int = 1, *, lr_by_number: bool = False, earlier: bool = False
) -> Path:
    """Writes a study like that of a search: some trials complete, the others pruned after one epoch."""
    storage: optuna.storages.BaseStorage
    if earlier:  # as an earlier version did
        storage = optuna.storages.RDBStorage(f"sqlite:///{run_dir / 'study.db'}")
    else:
        storage = JournalStorage(JournalFileBackend(str(run_dir / "study.journal")))
    study = optuna.create_study(study_name="macrotune", storage=storage, direction="maximize")
    distributions = {
        "backbone": CategoricalDistribution(("net0", "net1")),
        "lr": FloatDistribution(1e-5, 1e-1, log=True),
        "dropout": FloatDistribution(0, 0.5),
    }
    for number in range(num_trials):
        params = {name: value for name, value in asdict(a_config(number)).items() if name in distributions}
        if lr_by_number:
            distributions["lr"] = FloatDistribution((1e-5, 1e-6)[number % 2], 1e-1, log=True)
        state = TrialState.COMPLETE if number < num_complete else TrialState.PRUNED
        score = 0.1 + number / 100 + params["dropout"]
        study.add_trial(
            create_trial(
                state=state,
                value=score - 0.05,
                params=params,
                distributions=distributions,
                intermediate_values={1: score, 2: score - 0.05, 3: math.nan},
            )
        )
    return run_dir


def words_of(page: str) -> str:
    """What a reader reads: the page without its scripts, styles and tags."""
    without = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(without.split())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    run_dir = a_run_dir(tmp_path_factory.mktemp("runs") / "whole", TEN_TRIALS)
    return write_report(a_study(run_dir, 10)).read_text()


def test_the_page_says_what_won_and_that_its_score_is_flattered(page: str) -> None:
    words = words_of(page)
    assert "Best: trial 00000, net0, validation macro-F1 0.9000" in words
    assert "epoch 3 of the 4 it trained. This score is flattered" in words
    assert "python scripts/retrain.py --run whole" in words
    assert "complete, 10 trials" in words
    assert "No weights for net1" in words
    assert "Bad pictures left out: 1" in words


def test_the_page_needs_no_network(page: str) -> None:
    assert page.count("plotly.js v") >= 1
    assert not re.search(r'<(script|img|link|iframe)[^>]+(src|href)="(?!data:)', page)
    assert "@import" not in page and "url(http" not in page
    assert 4_000_000 < len(page) < 6_000_000  # plotly.js once


def test_the_page_says_what_early_stopping_and_the_cache_saved(page: str) -> None:
    words = words_of(page)
    assert "Early stopping saved 27 of the 40 epochs (68%)" in words
    assert "images trained 780" in words
    assert "The cache saved 940 of 1,040 decodings" in words


def test_the_page_gives_the_command_line_of_the_search(page: str) -> None:
    assert (
        "python search/run.py --space toy --attributes a b --skip-bad --trials 10 --epochs 4 --image-size 224 "
        "--batch-size 64 --seed 0 --val-share 0.2" in words_of(page)
    )


def test_the_leaderboard_is_sorted_by_score_and_shows_what_matters(page: str) -> None:
    table = page[page.index("<h2>Leaderboard") :].split("</table>")[0]
    assert re.findall(r"<td>(\d{5})</td>", table) == ["00000", *(f"{trial:05}" for trial in range(9, 0, -1))]
    assert "<th" in table and ">dropout</th>" in table and ">lr</th>" in table


def test_stopped_trials_count_with_their_best_score_in_the_figures(tmp_path: Path) -> None:
    figures, names = study_figures(a_study(tmp_path, 10))
    assert all(figure.html for figure in figures)
    assert all(
        "10 trials that ended with a score, of which the 9 that were stopped early" in figure.words
        for figure in figures
    )
    assert names[0] == "dropout"
    assert set(names) == {"backbone", "lr", "dropout"}


def test_what_has_no_common_range_is_named_where_it_is_left_out(tmp_path: Path) -> None:
    assert "Left out" not in study_figures(a_study(tmp_path, 10))[0][0].words
    (tmp_path / "study.journal").unlink()
    figures, names = study_figures(a_study(tmp_path, 10, lr_by_number=True))
    assert set(names) == {"backbone", "dropout"}
    assert all("or not in the same range: lr." in figure.words for figure in figures[:2])


@pytest.mark.parametrize(("earlier", "name"), [(False, "study.journal"), (True, "study.db")])
def test_drawing_a_study_does_not_change_its_file(earlier: bool, name: str, tmp_path: Path) -> None:
    path = a_study(tmp_path, 10, earlier=earlier) / name
    before = path.read_bytes()
    figures, names = study_figures(tmp_path)
    assert all(figure.html for figure in figures)
    assert set(names) == {"backbone", "lr", "dropout"}
    assert path.read_bytes() == before
    assert sorted(found.name for found in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize(("num_trials", "drawn"), [(0, 0), (1, 0), (3, 2)])
def test_with_few_trials_the_figures_say_why_they_are_missing(tmp_path: Path, num_trials: int, drawn: int) -> None:
    figures, names = study_figures(a_study(tmp_path, num_trials))
    assert names == []
    assert sum(bool(figure.html) for figure in figures) == drawn
    assert "It takes 8 trials that ended with a score" in figures[0].words


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("study.db", "no database, but long enough to be looked into" * 20),
        ("study.db", ""),
        ("study.journal", "no journal\nnor is this\n"),
        ("study.journal", '{"op_code": 77}\n'),
        ("study.journal", "{}\n"),
        ("study.journal", "[]\n"),
        ("study.journal", ""),
    ],
)
def test_a_study_that_is_none_is_said_to_be_broken(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    figures, _ = study_figures(tmp_path)
    assert all("cannot be read" in figure.words and not figure.html for figure in figures)


def test_a_run_without_a_trial_has_a_page(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "none")
    (run_dir / "trials.jsonl").unlink()
    (run_dir / "events.jsonl").unlink()
    page = render_report(run_dir)
    assert "No trial has a score yet" in words_of(page)
    assert "not complete, 0 of 10 trials are done" in words_of(page)
    assert f"python search/run.py --resume none --storage {tmp_path}" in words_of(page)
    assert "plotly.js" not in page


def test_an_interrupted_run_with_one_trial_has_a_page(tmp_path: Path) -> None:
    words = words_of(render_report(a_run_dir(tmp_path / "one", a_trial(0, (0.2, 0.3), "running"))))
    assert "Best: trial 00000" in words
    assert "0 of 10 trials are done" in words
    assert "holds no study.journal" in words


def test_a_run_that_used_its_time_budget_says_so_and_how_to_give_it_more(tmp_path: Path) -> None:
    end = {**a_failure(0, "time budget"), "event": "interrupted"}
    folder = a_run_dir(tmp_path / "one", a_trial(0, (0.2, 0.3), "running"), [end])
    words = words_of(render_report(folder))
    assert "its time budget is used up, 0 of 10 trials" in words and "10 asked, 1 begun" in words
    assert "--trials 10" in words
    replace(load_run(folder), trials_open=True).save(folder / "run.json")
    words = words_of(render_report(folder))
    assert "its time budget is used up, 1 trial" in words and "as many as the time has room for, 1 begun" in words
    assert "--trials" not in words
    assert "--resume one" in words and "--time-budget 15m" in words
    assert "not complete" not in words


def test_a_run_without_a_finite_score_has_a_page(tmp_path: Path) -> None:
    words = words_of(render_report(a_run_dir(tmp_path / "nan", a_trial(0, (math.nan,), "failed"))))
    assert "No trial has a score yet" in words
    assert "1 of 1 trials failed" in words


def test_failures_are_shown_with_their_reason_and_where_it_broke(tmp_path: Path) -> None:
    events = [
        a_failure(3, "out of memory", "Traceback\n  File x\nRuntimeError: CUDA\n"),
        a_failure(4, "ValueError: no"),
    ]
    run_dir = a_run_dir(tmp_path / "failed", a_trial(0, (0.5,)), events)
    with (run_dir / "events.jsonl").open("a") as file:
        file.write('{"trial_id": "0000')  # cut short by a kill
    page = render_report(run_dir)
    assert "2 of 3 trials failed" in words_of(page)
    assert "out of memory RuntimeError: CUDA" in words_of(page)
    assert page.count("ValueError: no") == 1


def test_names_from_outside_are_text_and_never_markup(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "evil", a_trial(0, (0.5,)), [a_failure(3, EVIL, EVIL + "!")], classes=(EVIL, "y"))
    lines = (run_dir / "trials.jsonl").read_text().replace('"net0"', json.dumps(EVIL + "</script>"))
    (run_dir / "trials.jsonl").write_text(lines)
    (run_dir / "confusion").mkdir()
    quoted = '"' + EVIL.replace('"', '""') + '"'
    (run_dir / "confusion" / "00000.csv").write_text(f"true\\answered,{quoted},y\n{quoted},3,1\ny,2,4\n")
    page = render_report(run_dir)
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    body = page[page.index("<body>") :]
    assert body.count("<script") == body.count("</script>")


def test_confused_classes_are_put_into_words(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "confused", a_trial(0, (0.5,)))
    (run_dir / "confusion").mkdir()
    (run_dir / "confusion" / "00000.csv").write_text("true\\answered,x,y\nx,3,1\ny,2,6\n")
    page = render_report(run_dir)
    assert page.count('class="paper" src="data:image/png;base64,') == 2
    assert "2 of 8 y taken for x 1 of 4 x taken for y" in words_of(page)


@pytest.mark.parametrize("content", ["", "true\\answered,x,y\nx,1,2\n", "true\\answered,x\nx,many\n", "t,x\nz,1\n"])
def test_a_broken_confusion_matrix_is_refused_and_costs_no_page(tmp_path: Path, content: str) -> None:
    run_dir = a_run_dir(tmp_path / "broken", a_trial(0, (0.5,)))
    path = run_dir / "confusion" / "00000.csv"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ValueError, match="is no confusion matrix"):
        load_confusion(path)
    assert "Its confusion matrix cannot be shown" in words_of(render_report(run_dir))


def test_what_re_training_found_is_shown(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "again", a_trial(0, (0.5,)))
    (run_dir / "retrained").mkdir()
    path = run_dir / "retrained" / "model.json"
    record = load_object(ROOT / "results" / "retrained" / "efficientnet.json")
    record["test"]["macro_f1"] = {"value": 0.7, "low": 0.6, "high": None}
    path.write_text(json.dumps({"record": record | {"verdict": "better by .1"}}))
    words = words_of(render_report(run_dir))
    assert "Test macro-F1 .700 [.600, ?] (95% interval over 25 groups never seen" in words
    assert "Verdict: better by .1." in words
    assert "python scripts/retrain.py" not in words  # it has been done
    assert f"{record['trial_id']} (picked)" in words
    assert all(f"{entry['trial_id']} " in words for entry in record["ranking"])
    path.write_text("{}")
    assert "model.json cannot be read" in words_of(render_report(run_dir))


def test_what_was_picked_for_its_cost_stands_where_it_ranks(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "again", a_trial(0, (0.5,)))
    (run_dir / "retrained").mkdir()
    [entry] = a_final().ranking
    entry = {**entry, "scores": [0.7]}
    final = a_final(ranking=[entry, {**entry, "trial_id": "default", "mean": 0.85}])
    (run_dir / "retrained" / "model.json").write_text(json.dumps({"record": final.to_json()}))
    words = words_of(render_report(run_dir))
    assert words.index("default resnet18") < words.index("00003 (picked for its cost) resnet18")


def test_a_split_by_picture_is_said_to_flatter(tmp_path: Path) -> None:
    words = words_of(render_report(a_run_dir(tmp_path / "leaky", split_by="picture")))
    assert "the same people may stand on several sides" in words


def test_the_command_writes_the_page_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = a_run_dir(tmp_path / "a", a_trial(0, (0.5,)))
    assert main(["a", "--storage", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{run_dir / 'report.html'}\n"
    assert (run_dir / "report.html").is_file()


def test_an_unknown_run_is_one_line_that_names_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run_dir(tmp_path / "a")
    assert main(["b", "--storage", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "does not exist: name one of the runs" in error and "(a)" in error
    assert not (tmp_path / "b").exists()
    with pytest.raises(SystemExit):
        main(["runs/a", "--storage", str(tmp_path)])
    assert "'runs/a' is no name of a run" in capsys.readouterr().err


def test_of_many_trials_the_parallel_coordinates_show_some_evenly_by_rank_the_best_among_them() -> None:
    trials = [create_trial(params={}, distributions={}, value=float(number)) for number in range(501)]
    for number, trial in enumerate(trials):
        trial.number = number
    shown = [trial.number for trial in _every_so_many(trials)]
    assert shown == list(range(2, 501, 3))
    assert len(shown) <= LINES_SHOWN
    assert _every_so_many(trials[:250]) == trials[:250]
    assert _every_so_many([]) == []


def test_commands_are_those_that_the_user_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = a_run_dir(tmp_path / "one", a_trial(0, (0.2, 0.3), "running"))
    monkeypatch.setenv(VARIABLE, "1")
    words = words_of(render_report(run_dir))
    for command in ("search --resume one", "search --space toy", "retrain --run one"):
        assert f"macrotune {command}" in words
    assert "python s" not in words
    with calls_from_python():
        words = words_of(render_report(run_dir)).replace("&#39;", "'")
    for call in ("search(resume='one'", "retrain(run='one'"):
        assert f"{call}, storage='{tmp_path}')" in words
    assert "search(space='toy', attributes=['a', 'b'], skip_bad=True, trials=10," in words


def test_what_is_typed_is_quoted(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "a (copy)", a_trial(0, (0.2, 0.3), "running"), time_budget="15 m")
    replace(load_run(run_dir), trials_open=True).save(run_dir / "run.json")
    words = words_of(render_report(run_dir)).replace("&#39;", "'")
    assert f"python scripts/retrain.py --run 'a (copy)' --storage {tmp_path}" in words
    assert f"python search/run.py --resume 'a (copy)' --storage {tmp_path} --time-budget 15m" in words


def test_a_search_that_still_runs_is_not_said_to_go_on_by_another_command(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "one", [*a_trial(0, (0.2, 0.3), "finished"), *a_trial(1, (0.1,), "running")])
    replace(load_run(run_dir), trials_open=True).save(run_dir / "run.json")
    presence = Presence.of_this_process("searched")
    presence.write(RunFolder(run_dir).presence)
    words = words_of(render_report(run_dir))  # as the search itself writes it, at its end
    assert "not complete, 1 trial is done" in words and "--resume one" in words
    replace(presence, host="another").write(RunFolder(run_dir).presence)
    words = words_of(render_report(run_dir))
    assert "still being searched, 1 trial is done" in words
    assert "not complete" not in words and "--resume" not in words


def test_a_trial_that_a_kill_ended_is_not_said_to_run(tmp_path: Path) -> None:
    page = render_report(a_run_dir(tmp_path / "one", a_trial(0, (0.2, 0.3), "running")))
    table = page[page.index("<h2>Leaderboard") :].split("</table>")[0]
    assert ">not ended<" in table and "running" not in table


def what_was_found(run_dir: Path, trial_id: str) -> Found:
    """Judges a trial as the end of a search does, and saves its model."""
    interval = {"value": 0.5, "low": 0.4, "high": 0.6}
    member = {"trial_id": trial_id, "backbone": "net0", "share": 1.0, "val_score": 0.5}
    found = Found(
        trial_id=trial_id, val_interval=interval, val_corrected=interval, people=4, trials=2, epochs=5,
        members=[member], selection=None, model_bytes=1_000_000, time_factor=1.0,
    )  # fmt: skip
    folder = RunFolder(run_dir)
    found.save(folder.found_json)
    folder.model.mkdir(exist_ok=True)
    (folder.model / "model.json").write_text(json.dumps({"record": found.to_json()}))
    return found


def test_what_another_trials_score_is_worth_is_not_said_of_the_best(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "one", [*a_trial(0, (0.5,), "finished"), *a_trial(1, (0.9,), "running")])
    found = what_was_found(run_dir, "00000")
    words = words_of(render_report(run_dir))
    earlier = "trial 00000, the best when the search last ended"
    assert f"Of {earlier}: the best validation score is .500 [.400, .600]" in words
    replace(found, val_interval=None).save(RunFolder(run_dir).found_json)
    assert f"The answers of {earlier}, were not kept" in words_of(render_report(run_dir))
    what_was_found(run_dir, "00001")
    words = words_of(render_report(run_dir))
    assert "The best validation score is .500" in words and "last ended" not in words


def test_a_model_of_before_is_not_called_what_was_found(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "one", a_trial(0, (0.5,), "finished"))
    what_was_found(run_dir, "00000")
    alone = "The model in the folder model is the trial 00000 alone"
    assert alone in words_of(render_report(run_dir))
    description = RunFolder(run_dir).model / "model.json"
    description.write_text(json.dumps({"record": {**what_was_found(run_dir, "00000").to_json(), "members": []}}))
    words = words_of(render_report(run_dir))
    assert f"The model in the folder model is {MODEL_OF_BEFORE}." in words
    assert alone not in words and "Networks in the model" not in words
    assert alone in words_of(render_report(run_dir, saves_model=True))
    description.unlink()
    assert "The model that was found is not in the folder model." in words_of(render_report(run_dir))
