"""What comes with the project is written from searches: gains beside the default, once a data set and seed."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from results.records.run_folder import RunFolder, load_run
from scripts.build_portfolio import main
from search.engine.shipped import Situation, load_shipped
from tests.runs import a_line, a_run_dir, an_event
from trainables.config import TrialConfig

DEFAULT = TrialConfig(backbone="net0")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A search of its default configuration, right in half of 40 pictures, of one right in all, and of a short one."""
    lines = []
    for trial, config in enumerate((DEFAULT, replace(DEFAULT, sampling="sqrt"), replace(DEFAULT, cutmix=0.5))):
        epochs = [1] if trial == 2 else [1, 2]
        lines += [{**a_line(trial, epoch, 0.1 * epoch), "config": asdict(config)} for epoch in epochs]
    folder = RunFolder(a_run_dir(tmp_path / "run", lines, [an_event(trial, "finished", after=9) for trial in range(3)]))
    rows = [f"/v{number}.png,{'xy'[number % 2]},p{number},val" for number in range(40)]
    folder.split_csv.write_text("\n".join(["path,label,group,split", *rows, "/a.png,x,a,train", "/b.png,y,b,train"]))
    data = {"source": "/home/me/pictures", "imbalance": 4.0, "sides": {"train": {"pictures": 100}}}
    saved = load_run(folder.path)
    replace(saved, data=data, points=[asdict(DEFAULT)], task=replace(saved.task, epochs=2)).save(folder.run_json)
    folder.answers.mkdir()
    right = np.eye(2)[np.arange(40) % 2]
    for trial, answers in enumerate((np.array([[0.6, 0.4]] * 40), 0.8 * right + 0.1, right)):
        epochs = 1 if trial == 2 else 2
        np.savez(
            folder.answers_npz(f"{trial:05}"),
            probabilities=answers.astype(np.float16),
            chosen=np.zeros((epochs, 40), np.uint8),
            best_epoch=epochs,
        )
    return folder.path


def test_the_gain_of_a_whole_trial_is_that_of_its_answers_with_the_defaults(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shipped.json"
    for _ in range(2):  # the same search replaces itself
        assert main([str(run), "--out", str(out)]) == 0
    [search] = load_shipped(out)
    assert (search.space, search.data, search.seed) == ("efficientnet", "pictures", 7)
    assert search.situation == Situation(pictures=100, classes=2, imbalance=4.0, image_size=224, epochs=2)
    assert search.gains == (({"sampling": "sqrt"}, pytest.approx(1 - 1 / 3, abs=1e-4)),)
    assert "| pictures | 7 | +0.667 |" in capsys.readouterr().out
    assert "/home/me" not in out.read_text()


def test_searches_of_two_data_sets_of_one_name_are_both_kept(run: Path, tmp_path: Path) -> None:
    out, saved = tmp_path / "shipped.json", load_run(run)
    for place in ("here", "there", "here"):
        replace(saved, data={**saved.data, "place": place}).save(run / "run.json")
        assert main([str(run), "--out", str(out)]) == 0
    assert [search.where["place"] for search in load_shipped(out)] == ["there", "here"]


def test_a_search_without_its_default_is_refused_and_the_file_stays(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shipped.json"
    out.write_text('{"searches": []}')
    saved = load_run(run)
    replace(saved, points=[asdict(replace(DEFAULT, lr=0.5))]).save(run / "run.json")
    assert main([str(run), "--out", str(out)]) == 2
    assert "trained its default configuration and others to their end" in "".join(capsys.readouterr()).replace(
        "\n", " "
    )
    assert out.read_text() == '{"searches": []}'
