"""One record per space and data set: where it goes, and which is meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from results.export import export_best, export_retrained
from results.records.record import BestTrial
from results.records.retrained import load_retrained
from results.records.shelf import all_paths, data_facts, data_name, paths_of, place_of, record_of
from tests.final_models import a_final
from tests.records import a_record
from trainables.errors import UserError
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
    for anchor, row in zip(("record-toy-cats", "record-toy-dogs-more"), rows, strict=True):
        assert f"#{anchor})" in row
        assert page.count(f'<a id="{anchor}"></a>') == 1


def test_a_data_set_that_moved_or_grew_keeps_its_row(tmp_path: Path) -> None:
    export(tmp_path, on("cats", "a"))
    export(tmp_path, on("dogs", "b"))
    said = export(tmp_path, replace(on("dogs", "c"), split_hash="grown"))
    assert "on another split" in said
    assert len(paths_of(tmp_path / "results" / "best", "toy")) == 2


def test_other_classes_under_one_name_are_another_data_set(tmp_path: Path) -> None:
    first = on("train", "a", split_hash="1")
    other = replace(on("train", "b", split_hash="2"), task=replace(first.task, classes=("u", "v")))
    export(tmp_path, first)
    export(tmp_path, other)
    export(tmp_path, replace(other, run="c", split_hash="3", task=replace(other.task, classes=("u", "w"))))
    names = [path.name for path in paths_of(tmp_path / "results" / "best", "toy")]
    assert names == ["toy.json", "toy@train.json", "toy@train-2.json"]


def test_two_folders_of_one_name_in_different_places_are_two_data_sets(tmp_path: Path) -> None:
    best = tmp_path / "results" / "best"
    for folder, run in (("a", "one"), ("b", "two"), ("c", "three")):
        facts = data_facts(tmp_path / folder / "train")
        record = on("train", run, split_hash=run)
        export(tmp_path, replace(record, data={**record.data, **facts}))
    rows = [line.split(" | ")[2] for line in (tmp_path / "README.md").read_text().splitlines() if line[:3] == "| ["]
    assert rows == ["a/train", "b/train", "c/train"]
    assert len(paths_of(best, "toy")) == 3
    grown = on("train", "four", split_hash="grown")
    export(tmp_path, replace(grown, data={**grown.data, **data_facts(tmp_path / "b" / "train")}))
    assert len(paths_of(best, "toy")) == 3
    assert str(tmp_path) not in (best / "toy.json").read_text()


def test_a_new_data_set_moves_the_link_of_no_other(tmp_path: Path) -> None:
    links: set[str] = set()
    for number, source in enumerate(("pets", "ants", "pets", "zoo")):
        record = on(source, f"run-{number}", split_hash=f"{number}")
        export(tmp_path, replace(record, task=replace(record.task, classes=("x", f"y{number}"))))
        now = {
            line.split("](")[1].split(")")[0]
            for line in (tmp_path / "README.md").read_text().splitlines()
            if "](" in line
        }
        assert links < now
        links = now
    assert len(links) == 4
    assert all_paths(tmp_path / "results" / "best")[0].name == "toy.json"


def test_of_several_data_sets_it_is_asked_which_is_meant(tmp_path: Path) -> None:
    best = tmp_path / "results" / "best"
    export(tmp_path, on("cats", "a", date="2026-11-02T10:00:00+00:00"))
    assert record_of(best, "toy") == best / "toy.json"
    assert record_of(best, "toy", Path("/elsewhere/mice")) == best / "toy.json"
    export(tmp_path, on("dogs", "b", date="2026-11-01T10:00:00+00:00"))
    assert record_of(best, "toy", Path("/elsewhere/dogs")) == best / "toy@dogs.json"
    for data in (None, Path("/elsewhere/mice")):
        with pytest.raises(UserError, match=r"each of 2 data sets: cats \(run a, .*dogs \(run b, .*Say which by --run"):
            record_of(best, "toy", data)
    assert record_of(best, "resnet") is None


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
