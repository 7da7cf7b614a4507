"""The pictures in a report: some of each class, and what the winner was surest of and wrong."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from results.pages.report_pictures import PER_CLASS, SIDE, pictures_part, sample_pictures, thumbnail
from results.records.record import BestTrial
from results.records.trials import load_trials
from tests.conftest import draw
from tests.records import a_record, a_run, a_task
from tests.runs import a_line, a_run_dir
from trainables.data.rows import SplitRow


def rows_of(folder: Path) -> list[SplitRow]:
    """Six people with a picture of each of two classes, two on each side."""
    rows = []
    for person in range(6):
        for kind, label in enumerate("xy"):
            path = folder / f"p{person}{label}.png"
            draw(path, kind, np.random.default_rng(person))
            rows.append(SplitRow(str(path), label, f"p{person}", ("train", "val", "test")[person // 2]))
    return rows


def searched(folder: Path, rows: list[SplitRow], probabilities: np.ndarray) -> tuple[Path, BestTrial]:
    """A run of one trial with these answers on its validation side."""
    run_dir = folder / "run"
    run_dir.mkdir()
    a_run_dir(run_dir, [a_line(0, 1, 0.5, status="finished")])
    (run_dir / "split.csv").write_text("path,label,group,split\n" + "".join(",".join(row) + "\n" for row in rows))
    (run_dir / "answers").mkdir()
    chosen = probabilities.argmax(axis=1)[None].astype(np.uint8)
    np.savez(run_dir / "answers" / "00000.npz", probabilities=probabilities, chosen=chosen, best_epoch=1)
    return run_dir, a_record(trial_id="00000")


def test_the_surest_mistakes_come_first_with_truth_answer_and_probability(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    answers = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], dtype=np.float32)  # true: x y x y
    run_dir, best = searched(tmp_path, rows, answers)
    run = a_run(task=a_task(classes=("x", "y")))
    part = pictures_part(run, best, load_trials(run_dir), run_dir, with_pictures=True)
    assert [shown.caption for shown in part["mistakes"]] == [
        ("true: x", "answered: y", "80% sure"),
        ("true: y", "answered: x", "60% sure"),
    ]
    assert part["mistakes_words"].startswith("2 of 4 validation pictures were answered wrongly; these")
    assert [(sample.name, sample.count, len(sample.pictures)) for sample in part["samples"]] == [
        ("x", 2, 2),
        ("y", 2, 2),
    ]
    assert not pictures_part(run, best, load_trials(run_dir), run_dir, with_pictures=False)["samples"]


def test_a_run_without_answers_or_split_has_words(tmp_path: Path) -> None:
    run_dir, best = searched(tmp_path, rows_of(tmp_path), np.ones((4, 2), dtype=np.float32))
    run = a_run(task=a_task(classes=("x", "y")))
    (run_dir / "answers" / "00000.npz").unlink()
    part = pictures_part(run, best, load_trials(run_dir), run_dir, with_pictures=True)
    assert part["mistakes_words"] == "The answers of the best trial were not kept."
    (run_dir / "split.csv").unlink()
    assert "None can be shown" in pictures_part(run, best, [], run_dir, with_pictures=True)["samples_words"]


def test_pictures_are_small_and_one_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 0, np.random.default_rng(0), (400, 300))
    found = Image.open(io.BytesIO(base64.b64decode(thumbnail(str(tmp_path / "a.png")).partition(",")[2])))
    assert found.size == (SIDE, 78)
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert thumbnail(str(tmp_path / "b.png")) == thumbnail(str(tmp_path / "gone.png")) == ""


def test_samples_are_of_different_groups_where_there_are() -> None:
    rows = [SplitRow(f"/nowhere/{number}.png", "x", f"p{number // 10}", "train") for number in range(60)]
    names = [Path(shown.name).stem for shown in sample_pictures(("x",), rows)[0].pictures]
    assert len(names) == PER_CLASS == len({int(name) // 10 for name in names})
