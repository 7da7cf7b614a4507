from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from trainables.config import TaskConfig
from trainables.data.labelled import bad_pictures_error, read_pictures
from trainables.data.manifest import DataConfig, DataError


def write(root: Path, *lines: str) -> DataConfig:
    for line in lines:
        name = line.split(",")[0]
        if not name.startswith("missing"):
            Image.new("RGB", (8, 8)).save(root / name)
    (root / "test.csv").write_text("\n".join(["path,label,group", *lines]))
    return DataConfig(data=root / "test.csv")


def test_one_class_and_one_group_a_class_are_enough_to_score_on(tmp_path: Path) -> None:
    found = read_pictures(write(tmp_path, "b.png,x,p", "a.png,x,p"))
    assert found.paths == (str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    assert found.labels == ("x", "x")
    assert found.groups == ("p", "p")


def test_a_folder_of_classes_has_no_groups(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "x" / "a.png")
    assert read_pictures(DataConfig(data=tmp_path)).groups is None


def test_a_side_of_a_split_needs_no_data(task: TaskConfig) -> None:
    found = read_pictures(DataConfig(), Path(task.split_path))
    assert len(found.paths) == 16
    assert set(found.groups or ()) == {"p20", "p21", "p22", "p23"}
    assert len(read_pictures(DataConfig(), Path(task.split_path), "train").paths) == 64


def test_with_both_the_labels_are_those_of_the_data(task: TaskConfig, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "corrections.csv").write_text("key,column,value\np20,label,stripes\n")
    config = DataConfig(data=pictures, corrections=tmp_path / "corrections.csv")
    found = read_pictures(config, Path(task.split_path))
    plain = read_pictures(DataConfig(), Path(task.split_path))
    assert set(found.paths) == set(plain.paths)
    assert found.groups is not None
    assert {label for label, group in zip(found.labels, found.groups, strict=True) if group == "p20"} == {"stripes"}


def test_a_split_of_other_data_is_refused(task: TaskConfig, tmp_path: Path) -> None:
    config = write(tmp_path, "a.png,circle,p")
    with pytest.raises(DataError, match=r"16 pictures of the side test of .* are not in"):
        read_pictures(config, Path(task.split_path))


def test_what_is_wrong_is_listed(task: TaskConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no pictures; name labelled ones by --data, or a run's split.csv by --split"):
        read_pictures(DataConfig())
    with pytest.raises(DataError, match="--group-regex needs --data"):
        read_pictures(DataConfig(group_regex="a"), Path(task.split_path))
    split = tmp_path / "split.csv"
    split.write_text("path,label,group,split\n/a.png,x,p,train\n")
    with pytest.raises(ValueError, match="no picture on the side test, only on train"):
        read_pictures(DataConfig(), split)
    split.write_text("path,label\n")
    with pytest.raises(ValueError, match="a split has path,label,group,split"):
        read_pictures(DataConfig(), split)


def test_bad_pictures_are_left_out_only_if_asked(tmp_path: Path) -> None:
    config = write(tmp_path, "a.png,x,p", "missing.png,x,p")
    with pytest.raises(DataError, match=r"row 3: missing.png: no such file.*--skip-bad"):
        read_pictures(config)
    found = read_pictures(DataConfig(data=config.data, skip_bad=True))
    assert len(found.paths) == len(found.skipped) == 1
    config = write(tmp_path, "missing.png,x,p")
    with pytest.raises(DataError, match="no good picture is left"):
        read_pictures(DataConfig(data=config.data, skip_bad=True))
    assert "/a.png: broken; replace it" in str(bad_pictures_error({"/a.png": "broken"}))


def test_pictures_that_lie_elsewhere_now_are_known_by_how_they_lie(
    task: TaskConfig, pictures: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    linked.symlink_to(pictures, target_is_directory=True)
    moved = tmp_path / "moved"
    shutil.copytree(pictures, moved)
    plain = read_pictures(DataConfig(), Path(task.split_path))
    for place in (linked, moved):
        found = read_pictures(DataConfig(data=place), Path(task.split_path))
        assert sorted(found.known_as) == sorted(plain.paths)
        assert all(path.startswith(str(place)) for path in found.paths)
        assert any("lie elsewhere" in line for line in found.understood) == (place == moved)
        names = {path.rpartition("/")[2] for path in plain.paths}
        assert {path.rpartition("/")[2] for path in found.paths} == names


def test_other_pictures_of_the_same_names_are_not_taken_for_those_of_a_split(
    task: TaskConfig, pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(pictures, tmp_path / "other")
    names = {"circle": "stripes", "stripes": "square", "square": "circle"}
    for table in (tmp_path / "other").rglob("*.csv"):
        text = re.sub("circle|stripes|square", lambda found: names[found[0]], table.read_text())
        table.write_text(text)
    with pytest.raises(DataError, match=r"16 pictures of the side test of .* are not in"):
        read_pictures(DataConfig(data=tmp_path / "other"), Path(task.split_path))
