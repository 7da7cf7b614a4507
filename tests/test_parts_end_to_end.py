"""A user's own parts, as the page has them: searched, refused when changed, and answered with when the file is gone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from results.records.run_folder import load_run
from results.records.trials import load_trials
from scripts import evaluate, predict
from tests.conftest import run_command
from trainables.config import TaskConfig
from trainables.parts.check import check
from trainables.parts.loading import use
from trainables.parts.registry import sha256_of

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("--image-size", "32", "--batch-size", "32", "--weights", "none", "--history", "none", "--cpus-per-trial", "1")


def page() -> str:
    """The blocks of the page, which make one file."""
    return "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "parts.md").read_text(), re.DOTALL))


def test_the_parts_of_the_page_do_a_step_each() -> None:
    source = page()
    space: dict[str, object] = {}
    exec(compile(source, "my.py", "exec"), space)
    points = [
        space["TrialConfig"](  # type: ignore[operator]
            backbone="three_layers", loss="own:poly", augmentation="own:fade", drop_path=drop_path, mixup=mixup
        )
        for drop_path, mixup in ((0.0, 0.0), (0.1, 1.0))
    ]
    given = {"file": "my.py", "sha256": sha256_of(source), "source": source}
    task = TaskConfig(
        cache_path="", split_path="", checkpoint_dir="", classes=("a", "b", "c"), image_size=32, batch_size=2,
        device="cpu", parts=given, metric="own:worst_class",
    )  # fmt: skip
    try:
        check(points, task)
    finally:
        use(None)


@pytest.mark.slow
@pytest.mark.long
def test_own_parts_go_all_the_way_and_a_file_that_has_changed_is_refused(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(page().replace('"resnet18"', '"test_resnet"'))
    asked = ("--space", "my.py:mine", "--metric", "my.py:worst_class", "--data", str(pictures), *SMALL)
    run_command("search/run.py", *asked, "--trials", "2", "--epochs", "1", "--name", "one", folder=tmp_path)
    run = tmp_path / "runs" / "one"
    task = load_run(run).task
    assert task.metric == "own:worst_class"
    assert task.parts["source"] == (tmp_path / "my.py").read_text() == (run / "model" / "parts.py").read_text()
    reports = [report for trial in load_trials(run) for report in trial.reports]
    assert len(reports) == 2
    assert all(0 <= report.val_score <= 1 and report.val_score <= report.val_accuracy for report in reports)
    record = json.loads((tmp_path / "results" / "best" / "my-mine.json").read_text())
    assert record["task"]["metric"] == "own:worst_class"
    assert set(record["task"]["parts"]) == {"file", "sha256"}
    assert "worst_class" in (tmp_path / "README.md").read_text()

    before = (tmp_path / "my.py").read_text()
    (tmp_path / "my.py").write_text(before + "\n# changed\n")
    for command in (("search/run.py", "--resume", "one"), ("scripts/retrain.py", "--run", "one")):
        said = " ".join(run_command(*command, folder=tmp_path, code=2).split())
        assert "my.py has changed since the run one began" in said
        assert "runs/one/parts.py" in said
    (tmp_path / "my.py").unlink()
    model, cache = str(run / "model"), ("--cache-dir", str(tmp_path / "cache"))
    assert evaluate.main([model, "--data", str(pictures / "train.csv"), "--device", "cpu", *cache]) == 0
    assert re.search(r"^worst_class \.?\d.* which it was searched for$", capsys.readouterr().out, re.MULTILINE)
    answers = tmp_path / "answers.csv"
    assert predict.main([model, "--data", str(pictures / "train.csv"), "--out", str(answers), *cache]) == 0
    assert answers.read_text().count("\n") == 97
