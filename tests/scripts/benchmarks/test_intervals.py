"""The test sides of the interval benchmark are what they are said to be, and its tables say what came of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from results.statistics.bootstrap import macro_f1
from scripts.benchmarks.intervals import SKILLS, draw_crowd, draw_sides, main, score_cells, score_rows, spread


def test_every_kind_of_people_is_there_and_the_rest_in_the_shares() -> None:
    kinds = spread(60)
    assert len(kinds) == 60
    assert set(kinds) == set(range(6))
    assert (kinds == 4).sum() > 5 * (kinds == 2).sum()


def test_a_test_side_has_the_kinds_of_people_of_a_split_seven_pictures_each() -> None:
    rng = np.random.default_rng(0)
    for side in draw_sides(draw_crowd(SKILLS["weak"], rng, 60), 25, 3, rng):
        assert (side[:, 1].sum(axis=1) == 7).all()
        worn = side[:, 1, :6] > 0  # with a mask there are six classes, one for each kind
        assert worn.sum(axis=0).tolist() == np.bincount(spread(25)).tolist() == [5, 4, 1, 7, 7, 1]


def test_more_skill_is_a_higher_score() -> None:
    rng = np.random.default_rng(0)
    scores = [float(macro_f1(draw_crowd(skill, rng, 300).sum(axis=0))) for skill in SKILLS.values()]
    assert scores == sorted(scores)
    assert scores[-1] > scores[0] + 0.4


def test_intervals_of_test_sides_all_alike_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    one_of_each = np.zeros((6, 3, 18), dtype=np.int64)
    for kind in range(6):
        one_of_each[kind, :, [kind, 6 + kind, 12 + kind]] = [[5], [1], [1]]  # everything is answered rightly
    rows = score_rows(one_of_each, 6, 2, rng)
    assert rows[:, [0, 1, 2, 4, 5]].tolist() == [[0] * 5] * 2
    assert (rows[:, 3] > 0).all()  # but six people prove nothing like it
    assert score_cells(np.array([rows]))[:3] == ["+0.000", "1.000 (1.000)", "0.000 / 0.000"]


def test_tables_are_printed_of_drawn_answers_and_of_saved_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--people", "12", "--repeats", "2"]) == 0
    out = capsys.readouterr().out
    assert "| weak: 1 | 12 | " in out
    assert "pairs" not in out
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        (tmp_path / f"seed-{seed}").mkdir()
        crowds = {f"fresh_{name}": draw_crowd(SKILLS[name], rng, 60) for name in ("weak", "good")}
        np.savez(tmp_path / f"seed-{seed}" / "answers-people-60.npz", test_final=crowds["fresh_weak"][:9], **crowds)
    assert main(["--people", "12", "--repeats", "2", "--answers", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "| all: 4 | 12 | " in out
    assert "\n| 2 | 12 | " in out  # a pair a search
    assert main(["--people", "12", "--repeats", "2", "--answers", str(tmp_path), "--seeds", "1"]) == 0
    assert "| all: 2 | 12 | " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--people", "5"], "at least 6"),
        (["--repeats", "0"], "at least 1"),
        (["--seeds", "1"], "give --answers too"),
    ],
)
def test_a_flag_out_of_range_is_one_message(flags: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(flags)
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_folder_without_answers_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--answers", str(tmp_path)]) == 2
    assert "no answers of networks there" in " ".join(capsys.readouterr().err.split())
