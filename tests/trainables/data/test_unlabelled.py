from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from results.records.predictions import add_columns
from trainables.data.manifest import DataError
from trainables.data.unlabelled import read_unlabelled


def test_a_folder_is_walked_in_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.png", "a/.hidden.png", ".cache/x.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = read_unlabelled(tmp_path)
    assert found.columns == ("path",)
    assert [row[0] for row in found.rows] == ["a/z.png", "b.JPG"]
    assert found.paths == (str(tmp_path / "a" / "z.png"), str(tmp_path / "b.JPG"))
    assert not found.is_eval


def test_a_csv_keeps_its_columns_and_its_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "list.csv").write_text("id,path\n2,../b.png\n1,/abs/a.png\n")
    found = read_unlabelled(tmp_path / "sub" / "list.csv")
    assert found.columns == ("id", "path")
    assert found.rows == (("2", "../b.png"), ("1", "/abs/a.png"))
    assert found.paths == (str(tmp_path / "b.png"), "/abs/a.png")


def test_a_table_keeps_its_header_as_it_is_written_and_columns_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(",ID,Path,Age,,\n0,2,b.png,30,x,\n")
    found = read_unlabelled(tmp_path / "list.csv")
    assert found.columns == ("", "ID", "Path", "Age", "Unnamed: 4", "Unnamed: 5")
    assert found.rows == (("0", "2", "b.png", "30", "x", ""),)
    assert found.paths == (str(tmp_path / "b.png"),)
    text = add_columns(found.columns, found.rows, found.paths, found.paths, {"label": ["cat"]})
    assert text.splitlines() == [",ID,Path,Age,Unnamed: 4,Unnamed: 5,label", "0,2,b.png,30,x,,cat"]


@pytest.mark.parametrize("given", ["eval", ".", "eval/info.csv"])
def test_an_eval_folder_is_found_from_itself_its_parent_and_its_table(tmp_path: Path, given: str) -> None:
    (tmp_path / "eval" / "images").mkdir(parents=True)
    (tmp_path / "eval" / "info.csv").write_text("ImageID,ans\nx.jpg,0\n")
    found = read_unlabelled(tmp_path / given)
    assert found.is_eval
    assert found.paths == (str(tmp_path / "eval" / "images" / "x.jpg"),)
    assert found.file == tmp_path / "eval" / "info.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("what,label\na,b\n", "no column path .found 'what,label'."),
        ("", "no column path .the file is empty."),
        (",what\n0,a\n1,b\n", "no column path .found ',what'."),
        ("path\n", "no row below the header"),
        ("path,x\n,1\n", "row 2: the path is empty"),
        ("path,x\na,1,2\n", "3 values"),
    ],
)
def test_a_csv_that_cannot_be_used_says_why(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_unlabelled(tmp_path / "list.csv")


def test_a_path_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no picture .* in it or below"):
        read_unlabelled(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        read_unlabelled(tmp_path / "nothing")
    (tmp_path / "a.zip").touch()
    with pytest.raises(DataError, match=r"neither a folder nor a .csv file"):
        read_unlabelled(tmp_path / "a.zip")


def test_a_folder_that_may_not_be_read_is_named_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/x.png", "shut/y.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    open_folder = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return open_folder(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises((DataError, OSError), match="shut"):
        read_unlabelled(tmp_path)


def test_a_list_without_a_header_is_refused_and_loses_no_picture(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    for lines in ("a.jpg\nb.jpg\n", "a.jpg,cat\nb.jpg,dog\n", f"{tmp_path / 'a.jpg'}\n{tmp_path / 'b.jpg'}\n"):
        (tmp_path / "list.csv").write_text(lines)
        with pytest.raises(DataError, match=r"list.csv row 1: .*a.jpg' is a picture; put the header path above it"):
            read_unlabelled(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text(f"path\n{lines}")
    assert len(read_unlabelled(tmp_path / "list.csv").paths) == 2


def test_a_path_that_fits_two_files_says_so(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / folder / "img.jpg")
    (tmp_path / "list.csv").write_text("path\nimg.jpg\na/img.jpg\n")
    found = read_unlabelled(tmp_path / "list.csv")
    assert found.problems == {str(tmp_path / "img.jpg"): "'img.jpg' fits a/img.jpg and b/img.jpg; write the folder too"}
