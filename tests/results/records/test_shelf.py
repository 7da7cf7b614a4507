"""One record per space and data set: where it goes, and which is meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from results.export import export_best, export_retrained
from results.records.record import BestTrial
from results.records.retrained import load_retrained
from results.records.shelf import data_name, latest_of, paths_of, place_of
from tests.final_models import a_final
from tests.records import a_record
from trainables.strict_json import RecordError


def on(source: str, run: str, **changes: object) -> BestTrial:
    return replace(a_record(), run=run, data={"source": source, "pictures": 9}, **changes)


def export(tmp_path: Path, record: BestTrial) -> str:
    return export_best(record, records_dir=tmp_path / "results" / "best", readme=tmp_path / "README.md")


def test_two_data_sets_have_two_rows_and_each_row_its_own_section(tmp_path: Path) -> None:
    export(tmp_path, on("cats", "a"))
    export(tmp_path, on("dogs & more", "b"))
    names = [path.name for path in paths_of(tmp_path / "results" / "best", "toy")]
    assert names == ["toy.json", "toy@dogs-more.json"]
    rows = [line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("| [")]
    assert "| cats |" in rows[0]
    assert "| dogs &#38; more |" in rows[1]
    page = (tmp_path / "results" / "README.md").read_text()
    for number, row in enumerate(rows, start=1):
        anchor = "record-toy" if number == 1 else f"record-toy-{number}"
        assert f"#{anchor})" in row
        assert page.count(f'<a id="{anchor}"></a>') == 1


def test_a_data_set_that_moved_or_grew_keeps_its_row(tmp_path: Path) -> None:
    export(tmp_path, on("cats", "a"))
    export(tmp_path, on("dogs", "b"))
    said = export(tmp_path, replace(on("dogs", "c"), split_hash="grown"))
    assert "on another split" in said
    assert len(paths_of(tmp_path / "results" / "best", "toy")) == 2


def test_other_classes_under_one_name_are_another_data_set(tmp_path: Path) -> None:
    first = on("train", "a")
    other = replace(on("train", "b"), task=replace(first.task, classes=("u", "v")))
    export(tmp_path, first)
    export(tmp_path, other)
    export(tmp_path, replace(other, run="c", task=replace(other.task, classes=("u", "w"))))
    names = [path.name for path in paths_of(tmp_path / "results" / "best", "toy")]
    assert names == ["toy.json", "toy@train-2.json", "toy@train.json"]


def test_the_last_search_is_meant_or_that_on_the_pictures_that_are_named(tmp_path: Path) -> None:
    best = tmp_path / "results" / "best"
    export(tmp_path, on("cats", "a", date="2026-11-02T10:00:00+00:00"))
    export(tmp_path, on("dogs", "b", date="2026-11-01T10:00:00+00:00"))
    assert latest_of(best, "toy") == best / "toy.json"
    assert latest_of(best, "toy", Path("/elsewhere/dogs")) == best / "toy@dogs.json"
    assert latest_of(best, "toy", Path("/elsewhere/mice")) == best / "toy.json"
    assert latest_of(best, "resnet") is None


def test_a_test_score_lies_beside_the_record_of_its_search(tmp_path: Path) -> None:
    export(tmp_path, on("cats", "a"))
    export(tmp_path, on("dogs", "b"))
    places = {"records_dir": tmp_path / "results" / "best", "readme": tmp_path / "README.md"}
    for run in ("a", "b"):
        assert "the README shows it" in export_retrained(replace(a_final(), run=run), **places)
    retrained = tmp_path / "results" / "retrained"
    assert [load_retrained(retrained / name).run for name in ("toy.json", "toy@dogs.json")] == ["a", "b"]


def test_a_record_under_the_name_of_another_space_is_refused(tmp_path: Path) -> None:
    a_record().save(tmp_path / "other@cats.json")
    with pytest.raises(RecordError, match="rename the file"):
        place_of(tmp_path, replace(a_record(), space="other"))


def test_the_built_in_pictures_have_a_short_name() -> None:
    assert data_name(on("built-in demo set", "a")) == "built-in"
    assert data_name(on("/home/me/pictures/", "a")) == "pictures"
