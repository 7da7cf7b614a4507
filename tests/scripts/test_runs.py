"""The command about all runs."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from results.records.presence import Presence
from results.records.run_folder import RunFolder
from scripts.runs import Options, main, runs
from search.hold import hold
from tests.records import a_record
from tests.runs import a_line, a_run_dir, an_event
from trainables.errors import UserError


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Two runs, `a` and `b`."""
    for name, score in (("a", 0.5), ("b", 0.75)):
        lines = [a_line(trial, epoch, score, after=epoch) for trial in range(8) for epoch in (1, 2)]
        a_run_dir(tmp_path / "runs" / name, lines, [an_event(trial, "finished", after=3) for trial in range(8)])
    return tmp_path / "runs"


def run(storage: Path, *words: str) -> int:
    readme = storage.parent / "README.md"
    return main([*words, "--storage", str(storage), "--readme", str(readme)])


def test_the_list_has_every_run_and_leaves_the_page(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(storage) == 0
    said = capsys.readouterr().out
    assert "0.5000" in said
    assert "0.7500" in said
    assert (storage / "index.html").is_file()


def test_show_compare_and_open_answer(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(storage, "show", "b") == 0
    assert "How to go on" in capsys.readouterr().out
    assert run(storage, "compare", "a", "b") == 0
    assert "Best so far over 16 epochs" in capsys.readouterr().out
    assert run(storage, "open", "a") == 0
    assert (storage / "a" / "report.html").is_file()


def test_deleting_needs_a_yes_and_says_what_the_table_still_needs(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = storage.parent / "results" / "best"
    best.mkdir(parents=True)
    a_record(run="a").save(best / "toy.json")
    assert run(storage, "rm", "a") == 2
    assert "the table's row for toy" in capsys.readouterr().out
    assert (storage / "a").is_dir()
    assert run(storage, "rm", "a", "--yes") == 0
    assert not (storage / "a").exists()
    assert [path.name for path in storage.iterdir()] == ["b", "index.html"] or (storage / "b").is_dir()


def test_no_name_at_the_question_deletes_nothing(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ctrl_d(question: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ctrl_d)
    assert run(storage, "rm", "a") == 1
    assert (storage / "a").is_dir()


def test_a_run_that_somebody_is_at_is_not_deleted(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold(storage / "a"):
        assert run(storage, "rm", "a", "--yes") == 2
    assert "stop it first" in capsys.readouterr().err
    assert (storage / "a" / "run.json").is_file()


def test_while_a_run_is_held_its_folder_says_who_does(storage: Path) -> None:
    folder = RunFolder(storage / "a")
    with hold(folder.path):
        assert folder.presence.is_file()
    assert not folder.presence.exists()
    assert Presence.of_this_process("searched").is_here


@pytest.mark.parametrize("words", [("show", "nix"), ("rm", "nix"), ("compare", "a", "nix"), ("open", "nix")])
def test_a_run_that_is_not_there_is_one_message(
    words: tuple[str, ...], storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(storage, *words) == 2
    assert "nix" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("show",), ("compare", "a"), ("rm", "../runs/a")])
def test_a_wrong_number_of_names_or_a_path_is_refused(
    words: tuple[str, ...], storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(storage, *words)
    assert (storage / "a").is_dir()


def with_a_study(run_dir: Path, scores: list[float]) -> None:
    """Writes the study of a run with a trial of two epochs per score."""
    backend = JournalFileBackend(str(RunFolder(run_dir).study_journal))
    study = optuna.create_study(storage=JournalStorage(backend), study_name=run_dir.name, direction="maximize")
    for score in scores:
        trial = study.ask()
        trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        trial.report(score / 2, 1)
        trial.report(score, 2)
        study.tell(trial, score)


def test_the_studies_of_several_runs_are_put_into_one_file(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_a_study(storage / "a", [0.25, 0.5])
    with_a_study(storage / "b", [0.75])
    for _ in range(2):  # what is there already is written anew
        assert run(storage, "studies") == 0
    path = storage / "studies.journal"
    assert f"optuna-dashboard {path}" in capsys.readouterr().out.replace("\n", "")
    combined = JournalStorage(JournalFileBackend(str(path)))
    found = {study.study_name: study for study in optuna.get_all_study_summaries(combined)}
    assert {name: study.n_trials for name, study in found.items()} == {"a": 2, "b": 1}
    study = optuna.load_study(study_name="a", storage=combined)
    assert study.metric_names == ["val_macro_f1"]
    assert study.best_value == 0.5
    assert study.trials[0].intermediate_values == {1: 0.125, 2: 0.25}


def test_a_run_without_a_study_is_left_out_and_none_at_all_is_one_message(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="no study to show"):
        runs(Options(action="studies", storage=storage))
    with_a_study(storage / "a", [0.25])
    (storage / "b" / "study.journal").write_text("no journal\n")
    assert run(storage, "studies") == 0
    assert "b is left out" in capsys.readouterr().out
    assert run(storage, "studies", "none") == 2


def test_what_goes_with_a_run_is_looked_for_where_its_search_wrote_it(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = storage / "results" / "best"
    best.mkdir(parents=True)
    a_record(run="a").save(best / "toy.json")
    assert main(["rm", "a", "--yes", "--storage", str(storage)]) == 0
    assert "the table's row for toy" in capsys.readouterr().out


def test_a_run_that_cannot_be_read_can_be_deleted(storage: Path) -> None:
    (storage / "a" / "run.json").write_text("{")
    assert main(["rm", "a", "--yes", "--storage", str(storage)]) == 0
    assert not (storage / "a").exists()


def test_trials_that_a_kill_ended_are_not_said_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = a_run_dir(tmp_path / "runs" / "a", [a_line(0, 1, 0.5)], [an_event(0, "started")])

    def leaders() -> str:
        assert run(tmp_path / "runs", "show", "a") == 0
        return capsys.readouterr().out.partition("trial  ")[2]

    assert "interrupted" in leaders()
    with hold(run_dir):
        assert "running" in leaders()
