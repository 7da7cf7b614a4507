"""The command about all runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.records.presence import Presence
from results.records.run_folder import RunFolder
from scripts.runs import main
from search.hold import hold
from tests.records import a_record
from tests.runs import a_line, a_run_dir, an_event


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
