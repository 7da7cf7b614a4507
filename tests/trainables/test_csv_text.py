from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas
import pytest

from results.records.confusion import load_confusion, save_confusion
from results.records.predictions import add_columns
from trainables.csv_text import csv_text
from trainables.data.split import Split, load_split

NAMES = (
    "car\rriage.png",
    "new\nline.png",
    "\r\n",
    'quo"te,comma.png',
    " space ",
    "#1 %20",
    "[bold]tag",
    "'",
    "a\tb",
    "",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_comes_back_as_it_was_from_every_table_of_ours(name: str, tmp_path: Path) -> None:
    path, label = f"/data/{name}/x.png", f"class {name}"
    table = pandas.DataFrame({"path": [path], "label": [label], "group": [name], "split": ["train"]}, dtype=str)
    Split(table, 0, "").save(tmp_path / "split.csv")
    assert load_split(tmp_path / "split.csv").table.equals(table)
    save_confusion(tmp_path / "confusion.csv", [[1, 2], [3, 4]], [label, "other"])
    assert load_confusion(tmp_path / "confusion.csv") == ((label, "other"), [[1, 2], [3, 4]])
    text = add_columns(["path"], [[name]], [path], [path], {"answer": [label]})
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == [name, label]


def test_ordinary_rows_are_written_as_they_always_were() -> None:
    assert csv_text([("path", "n"), ("a b.png", 1), ("a,b", None)]) == 'path,n\na b.png,1\n"a,b",\n'
