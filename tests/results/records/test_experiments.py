"""Tests of the file that lists finished searches."""

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from results.records.experiments import COLUMNS, append_experiment, note_retrained
from tests.records import a_record
from trainables.config import TrialConfig
from trainables.strict_json import RecordError

BEST = a_record(
    0.8125,
    config=TrialConfig(backbone="net, the 1st"),
    data={"pictures": 840, "groups": None},
    weights="package net1 1.0",
    history="the starting points\nof the space",
    wall_seconds=61.5,
    hardware='2 "cores"',
)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_search_is_one_line_under_one_header(tmp_path: Path) -> None:
    path = tmp_path / "results" / "experiments.csv"
    append_experiment(path, BEST)
    append_experiment(path, replace(BEST, run="b"))
    assert len(path.read_text().splitlines()) == 3
    first, second = rows(path)
    assert tuple(first) == COLUMNS
    assert (first["run"], second["run"]) == ("a", "b")
    assert (first["backbone"], first["val_macro_f1"], first["best_epoch"]) == ("net, the 1st", "0.8125", "3")
    assert (first["trials_asked"], first["trials_finished"], first["trials_stopped"], first["trials_failed"]) == tuple(
        "8341"
    )
    assert (first["groups"], first["commit"], first["test_macro_f1"]) == ("", "", "")
    assert first["history"] == "the starting points of the space"
    assert first["hardware"] == '2 "cores"'
    assert '"backbone":"net, the 1st"' in first["config"]


def test_a_resumed_search_replaces_its_own_line_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "experiments.csv"
    for run in "abc":
        append_experiment(path, replace(BEST, run=run))
    before = path.read_bytes().splitlines()
    append_experiment(path, replace(BEST, run="b", epochs_trained=9))
    after = path.read_bytes().splitlines()
    assert [line == other for line, other in zip(before, after, strict=True)] == [True, True, False, True]
    assert rows(path)[1]["epochs_trained"] == "9"


def test_a_run_of_the_same_name_begun_at_another_time_is_another_search(tmp_path: Path) -> None:
    path = tmp_path / "experiments.csv"
    append_experiment(path, BEST)
    append_experiment(path, replace(BEST, date="2026-10-25T14:03:00+09:00"))
    assert len(rows(path)) == 2


def test_a_line_that_was_doubled_by_hand_becomes_one(tmp_path: Path) -> None:
    path = tmp_path / "experiments.csv"
    append_experiment(path, BEST)
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[1])
    append_experiment(path, BEST)
    assert len(rows(path)) == 1


def test_lines_of_others_are_kept_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "experiments.csv"
    append_experiment(path, BEST)
    header = path.read_bytes().splitlines()[0]
    odd = b"\xef\xbb\xbf" + header + b"\r\n\r\n# mine, \xff\r\n" + b'"q""uoted" ,x\nlast line without an end'
    path.write_bytes(odd)
    append_experiment(path, BEST)
    assert path.read_bytes().startswith(odd + b"\r\n2026-10-24T14:03:00+09:00,a,toy,")
    assert path.read_bytes().endswith(b"\r\n")


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"date;run;space\n", b"\x00\x01\xff"])
def test_a_foreign_file_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "experiments.csv"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"experiments\.csv does not begin with the header .* move the file away"):
        append_experiment(path, BEST)
    with pytest.raises(RecordError, match="does not begin"):
        note_retrained(path, "a", BEST.date, "00003", 0.7, 0.6, 0.8)
    assert path.read_bytes() == content


def test_an_empty_file_gets_its_header(tmp_path: Path) -> None:
    path = tmp_path / "experiments.csv"
    path.touch()
    append_experiment(path, BEST)
    assert len(rows(path)) == 1


def test_a_test_score_goes_into_the_line_of_its_search_alone(tmp_path: Path) -> None:
    path = tmp_path / "experiments.csv"
    append_experiment(path, BEST)
    append_experiment(path, replace(BEST, run="b"))
    before = path.read_bytes().splitlines()
    assert note_retrained(path, "a", BEST.date, "00003", 0.7, 0.61234567, 0.8)
    after = path.read_bytes().splitlines()
    assert (before[0], before[2]) == (after[0], after[2])
    assert [rows(path)[0][name] for name in ("test_macro_f1", "test_low", "test_high")] == ["0.7", "0.612346", "0.8"]


def test_a_test_score_without_a_line_is_not_noted(tmp_path: Path) -> None:
    path = tmp_path / "experiments.csv"
    assert not note_retrained(path, "a", BEST.date, "00003", 0.7, 0.6, 0.8)
    assert not path.exists()
    append_experiment(path, BEST)
    assert not note_retrained(path, "b", BEST.date, "00003", 0.7, 0.6, 0.8)


def test_a_test_score_stays_while_the_same_trial_wins(tmp_path: Path) -> None:
    path = tmp_path / "experiments.csv"
    append_experiment(path, BEST)
    note_retrained(path, "a", BEST.date, "00003", 0.7, 0.6, 0.8)
    append_experiment(path, replace(BEST, wall_seconds=99.0))
    assert (rows(path)[0]["test_macro_f1"], rows(path)[0]["wall_seconds"]) == ("0.7", "99")
    append_experiment(path, replace(BEST, config=TrialConfig(backbone="net2")))
    assert rows(path)[0]["test_macro_f1"] == ""


def test_a_broken_line_of_the_same_search_is_an_error_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "experiments.csv"
    append_experiment(path, BEST)
    path.write_bytes(path.read_bytes()[:-30] + b"\n")
    content = path.read_bytes().replace(b",toy,", b",")
    path.write_bytes(content)
    with pytest.raises(RecordError, match="line 2 has"):
        append_experiment(path, BEST)
    assert path.read_bytes() == content


def test_two_searches_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "experiments.csv"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: append_experiment(path, replace(BEST, run=f"run{number}")), range(16)))
    assert sorted(row["run"] for row in rows(path)) == sorted(f"run{number}" for number in range(16))
