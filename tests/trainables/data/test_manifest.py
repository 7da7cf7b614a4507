from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from trainables.data import manifest as module
from trainables.data.manifest import (
    DataConfig,
    DataError,
    Manifest,
    bad_picture_error,
    drop_pictures,
    load_manifest,
)

STEMS = ("mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal")


def write_csv(root: Path, lines: list[str], header: str = "path,label,group", name: str = "train.csv") -> Path:
    """Writes a CSV, and a picture for every path in its first column that has none yet."""
    (root / name).write_text("\n".join([header, *lines]) + "\n")
    for line in lines:
        path = root / line.split(",")[0]
        if path != root and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"picture")
    return root / name


def good_lines() -> list[str]:
    """Two classes, three people each, two pictures a person."""
    return [f"{label}{person}_{i}.jpg,{label},p{person}" for label in "ab" for person in range(3) for i in range(2)]


def load(path: Path, **flags: object) -> Manifest:
    return load_manifest(DataConfig(data=path, **flags))  # type: ignore[arg-type]


def problems(path: Path, **flags: object) -> tuple[str, ...]:
    with pytest.raises(DataError) as error:
        load(path, **flags)
    return error.value.problems


def test_a_csv_and_the_folder_around_train_csv_are_the_same_data(tmp_path: Path) -> None:
    csv = write_csv(tmp_path, good_lines())
    manifest, same = load(csv), load(tmp_path)
    assert manifest.table.equals(same.table)
    assert manifest.layout == "CSV"
    assert manifest.classes == ("a", "b")
    assert manifest.attributes == {}
    assert manifest.root == tmp_path
    assert manifest.has_groups
    assert list(manifest.table.columns) == ["path", "label", "group", "split", "source"]
    assert manifest.table.iloc[0].to_list() == [str(tmp_path / "a0_0.jpg"), "a", "p0", "", "train.csv row 2"]


def test_paths_are_relative_to_the_csv_and_absolute_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"../pictures/./{line}" for line in good_lines()]
    (tmp_path / "tables").mkdir()
    write_csv(tmp_path / "tables", lines, name="any.csv")
    monkeypatch.chdir(tmp_path)
    paths = load(Path("tables/any.csv")).table["path"]
    assert paths.iloc[0] == str(tmp_path / "pictures" / "a0_0.jpg")


def test_labels_and_groups_that_look_like_numbers_stay_text_in_natural_order(tmp_path: Path) -> None:
    lines = [f"{label}_{i}.jpg,{label},00{i}" for label in ("10", "2", "01", "NA") for i in range(2)]
    manifest = load(write_csv(tmp_path, lines))
    assert manifest.classes == ("01", "2", "10", "NA")
    assert set(manifest.table["group"]) == {"000", "001"}


def test_without_a_group_column_every_picture_is_its_own_group(tmp_path: Path) -> None:
    lines = [line.rpartition(",")[0] for line in good_lines()]
    manifest = load(write_csv(tmp_path, lines, "path,label"))
    assert not manifest.has_groups
    assert str(manifest.group_warning).startswith("No groups:")
    assert manifest.table["group"].nunique() == len(lines)
    grouped = load(tmp_path, group_regex="^.([0-9])")
    assert grouped.has_groups and grouped.group_warning is None
    assert set(grouped.table["group"]) == {"0", "1", "2"}


def test_everything_wrong_in_a_csv_is_listed_at_once_with_row_value_and_way_out(tmp_path: Path) -> None:
    lines = good_lines()
    lines += ["missing.jpg,a,p1", "zero.jpg,a,p1", "a0_0.jpg,a,p0", "sub/../a0_1.jpg,b,p0", "empty.jpg,,p1"]
    lines += [
        "lonely.jpg,c,p1",
        "lonely2.jpg,c,p1",
        "nogroup.jpg,a,",
        ",a,p1",
        "folder,a,p1",
        "link.jpg,b,p1",
    ]
    csv = write_csv(tmp_path, lines)
    (tmp_path / "missing.jpg").unlink()
    (tmp_path / "zero.jpg").write_bytes(b"")
    (tmp_path / "folder").unlink()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.jpg").unlink()
    (tmp_path / "link.jpg").symlink_to("b1_0.jpg")
    found = problems(csv)
    way_out = "; replace it, or go on without it: --skip-bad"
    assert sorted(found) == sorted(
        [
            "train.csv row 16: 'a0_0.jpg' is the same picture as 'a0_0.jpg' (train.csv row 2); delete one of the two",
            "train.csv row 17: 'sub/../a0_1.jpg' is the same picture as 'a0_1.jpg' (train.csv row 3); "
            "delete one of the two",
            "train.csv row 18: the label is empty ('empty.jpg'); write it, or delete the row",
            "train.csv row 21: the group is empty ('nogroup.jpg'); write it, or delete the row",
            "train.csv row 22: the path is empty (''); write it, or delete the row",
            "train.csv row 24: 'link.jpg' is the same picture as 'b1_0.jpg' (train.csv row 10); delete one of the two",
            "the class 'c' has one group, 'p1' (2 pictures, first: train.csv row 19), which train and val "
            "cannot share; add pictures of other groups (people), merge the class with another, or drop it",
            f"train.csv row 14: missing.jpg: no such file (looked for {tmp_path / 'missing.jpg'}){way_out}",
            f"train.csv row 15: zero.jpg: zero bytes{way_out}",
            f"train.csv row 23: folder: not a file{way_out}",
        ]
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_a_picture_without_read_permission_is_listed(tmp_path: Path) -> None:
    csv = write_csv(tmp_path, good_lines())
    (tmp_path / "a0_0.jpg").chmod(0)
    [problem] = problems(csv)
    assert problem.startswith("train.csv row 2: a0_0.jpg: cannot be read (no permission")


def test_skip_bad_goes_on_without_bad_pictures_but_not_with_a_bad_structure(tmp_path: Path) -> None:
    csv = write_csv(tmp_path, good_lines())
    (tmp_path / "a0_0.jpg").write_bytes(b"")
    (tmp_path / "b1_1.jpg").unlink()
    manifest = load(csv, skip_bad=True)
    assert len(manifest.table) == 10
    assert manifest.skipped == (
        "train.csv row 2: a0_0.jpg: zero bytes",
        f"train.csv row 11: b1_1.jpg: no such file (looked for {tmp_path / 'b1_1.jpg'})",
    )
    (tmp_path / "train.csv").write_text(csv.read_text() + "a0_0.jpg,,p0\n")
    assert not any("zero bytes" in problem for problem in problems(csv, skip_bad=True))


def test_skip_bad_that_empties_a_class_names_the_class(tmp_path: Path) -> None:
    csv = write_csv(tmp_path, [*good_lines(), "c0.jpg,c,p0", "c1.jpg,c,p1"])
    (tmp_path / "c0.jpg").unlink()
    assert problems(csv, skip_bad=True)[0].startswith("the class 'c' has one group, 'p1' (1 pictures")
    (tmp_path / "c1.jpg").unlink()
    assert problems(csv, skip_bad=True)[0].startswith("the class 'c' has no good picture left")


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    [problem] = problems(write_csv(tmp_path, good_lines()[:6]))
    assert problem.startswith("the data have one class only, 'a'; a classifier needs two")


def test_a_folder_with_one_class_asks_whether_the_classes_are_further_down(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(2):
            (tmp_path / "set" / label / f"{i}.jpg").write_bytes(b"picture")
    assert f"give {tmp_path / 'set'}" in problems(tmp_path)[1]
    assert load(tmp_path / "set").classes == ("a", "b")


def test_a_class_of_one_picture_is_refused_without_groups_too(tmp_path: Path) -> None:
    lines = ["a0.jpg,a", "a1.jpg,a", "b0.jpg,b"]
    [problem] = problems(write_csv(tmp_path, lines, "path,label"))
    assert problem.startswith("the class 'b' has one picture (train.csv row 4), which train and val cannot share")


@pytest.mark.parametrize("header", ["a,b", "path,b", "", "id,gender,race,path"])
def test_a_csv_without_path_and_label_says_what_it_has(tmp_path: Path, header: str) -> None:
    (tmp_path / "train.csv").write_text(f"{header}\n")
    [problem] = problems(tmp_path)
    assert "path,label" in problem and header in problem


def test_a_csv_without_rows_is_refused(tmp_path: Path) -> None:
    assert "no row below the header" in problems(write_csv(tmp_path, []))[0]


def test_the_split_column_is_read_in_any_case_and_bad_values_are_listed(tmp_path: Path) -> None:
    sides = ["Train", "VAL", "test"]
    lines = [f"{label}{i}.jpg,{label},{side}" for label in "ab" for i, side in enumerate(sides)]
    manifest = load(write_csv(tmp_path, lines, "path,label,split"))
    assert list(manifest.table["split"]) == ["train", "val", "test"] * 2
    found = problems(write_csv(tmp_path, [*lines, "c0.jpg,a,", "c1.jpg,a,later"], "path,label,split"))
    assert found == (
        "train.csv row 8: the split '' is none of train, val, test; correct it",
        "train.csv row 9: the split 'later' is none of train, val, test; correct it",
    )
    no_train = [line for line in lines if not line.endswith("Train")]
    assert "never says train" in problems(write_csv(tmp_path, no_train, "path,label,split"))[0]


def test_a_group_on_two_sides_is_named_with_its_rows(tmp_path: Path) -> None:
    lines = [f"{label}{i}.jpg,{label},p{i},{'train' if i else 'val'}" for label in "ab" for i in range(3)]
    lines.append("a9.jpg,a,p1,val")
    [problem] = problems(write_csv(tmp_path, lines, "path,label,group,split"))
    assert problem.startswith("the group 'p1' stands on two sides, train (train.csv row 3) and val (train.csv row 8)")


def attribute_lines() -> list[str]:
    """Four classes that are products of shape and colour."""
    kinds = [("red ball", "ball", "red"), ("blue ball", "ball", "blue"), ("red box", "box", "red")]
    kinds.append(("blue box", "box", "blue"))
    return [f"{label}{i}.jpg,{label},p{i},{shape},{colour}" for label, shape, colour in kinds for i in range(5)]


HEADER = "path,label,group,shape,colour"


def test_attributes_are_given_for_each_class_in_class_order(tmp_path: Path) -> None:
    manifest = load(write_csv(tmp_path, attribute_lines(), HEADER), attributes=("shape", "colour"))
    assert manifest.classes == ("blue ball", "blue box", "red ball", "red box")
    assert manifest.attributes == {
        "shape": ("ball", "box", "ball", "box"),
        "colour": ("blue", "blue", "red", "red"),
    }
    assert list(manifest.table.columns)[-2:] == ["shape", "colour"]


def test_attributes_that_do_not_tell_classes_apart_are_refused(tmp_path: Path) -> None:
    csv = write_csv(tmp_path, attribute_lines(), HEADER)
    assert problems(csv, attributes=("shape",)) == (
        "the classes 'blue ball' and 'red ball' have the same attributes (ball); name one more column in "
        "--attributes that tells them apart, or leave the flag out",
        "the classes 'blue box' and 'red box' have the same attributes (box); name one more column in "
        "--attributes that tells them apart, or leave the flag out",
    )
    lines = attribute_lines()
    lines[0] = lines[0][: -len("red")] + "green"
    [problem] = problems(write_csv(tmp_path, lines, HEADER), attributes=("shape", "colour"))
    assert problem.startswith(
        "the class 'red ball' has the colour 'green' (train.csv row 2) and 'red' (train.csv row 3)"
    )
    lines[0] = lines[0][: -len("green")]
    assert any("the colour is empty" in p for p in problems(write_csv(tmp_path, lines, HEADER), attributes=("colour",)))


def test_columns_that_are_no_attributes_are_refused(tmp_path: Path) -> None:
    csv = write_csv(tmp_path, attribute_lines(), HEADER)
    found = problems(csv, attributes=("size", "label"))
    assert [problem.split(":")[0] for problem in found] == ["--attributes size", "--attributes label"]
    assert "path,label,group,shape,colour" in found[0]


def competition(root: Path) -> Path:
    """Three people for each of gender and age band: ids 0 to 2 are men under 30, 3 to 5 men of 30 to 59."""
    lines = ["id,gender,race,age,path"]
    people = [(gender, age) for gender in ("male", "female") for age in (20, 40, 60) for _ in range(3)]
    for number, (gender, age) in enumerate(people):
        folder = root / "images" / f"{number:06d}_{gender}_Asian_{age}"
        folder.mkdir(parents=True)
        for stem in STEMS:
            (folder / f"{stem}.jpg").write_bytes(b"picture")
        lines.append(f"{number:06d},{gender},Asian,{age},{folder.name}")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    return root


def corrections(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "corrections.csv"
    path.write_text("\n".join(["key,column,value", *lines]) + "\n")
    return path


def test_a_corrected_attribute_of_a_person_changes_all_their_labels(tmp_path: Path) -> None:
    data = competition(tmp_path / "train")
    fixes = corrections(tmp_path, "000003,gender,Female", "000006,age,59", "000000,age,25")
    manifest = load(data, corrections=fixes)
    table = manifest.table[manifest.table["group"] == "000003"]
    assert set(table["label"]) == {"wear/female/30-59", "incorrect/female/30-59", "none/female/30-59"}
    assert set(table["gender"]) == {"female"}
    assert set(manifest.table.loc[manifest.table["group"] == "000006", "age"]) == {"30-59"}
    assert manifest.corrected_rows == 14  # 000000 is under 30 as before


def test_swapped_pictures_of_a_person_are_corrected_by_their_paths(tmp_path: Path) -> None:
    data = competition(tmp_path / "train")
    folder = "000003_male_Asian_40"
    fixes = corrections(tmp_path, f"{folder}/normal,mask,incorrect", f"images/{folder}/incorrect_mask.jpg,mask,none")
    manifest = load(data, corrections=fixes)
    table = manifest.table[manifest.table["group"] == "000003"].set_index("path")
    images = tmp_path / "train" / "images" / folder
    assert table.loc[str(images / "normal.jpg"), "label"] == "incorrect/male/30-59"
    assert table.loc[str(images / "incorrect_mask.jpg"), "label"] == "none/male/30-59"
    assert table.loc[str(images / "mask1.jpg"), "label"] == "wear/male/30-59"
    assert manifest.corrected_rows == 2


def test_what_is_said_of_a_picture_goes_before_what_is_said_of_its_person(tmp_path: Path) -> None:
    data = competition(tmp_path / "train")
    fixes = corrections(tmp_path, "000003_male_Asian_40/normal,age,20", "000003,age,60")
    table = load(data, corrections=fixes).table
    ages = table.loc[table["group"] == "000003"].set_index("path")["age"]
    assert ages[str(tmp_path / "train" / "images" / "000003_male_Asian_40" / "normal.jpg")] == "under30"
    assert (ages == "60+").sum() == 6


def test_a_csv_is_corrected_by_label_group_split_and_attribute(tmp_path: Path) -> None:
    lines = [f"{line},train" for line in attribute_lines()]
    csv = write_csv(tmp_path, lines, f"{HEADER},split")
    fixes = corrections(
        tmp_path,
        "red ball1.jpg,colour,blue",
        "red ball3,label,red box",
        "red ball0.jpg,group,p9",
        "p2,split,TEST",
    )
    manifest = load(csv, corrections=fixes, attributes=("shape", "colour"))
    table = manifest.table.set_index(manifest.table["path"].str.rpartition("/")[2])
    assert table.loc["red ball1.jpg", "label"] == "blue ball"
    assert table.loc["red ball3.jpg", ["label", "shape", "colour"]].to_list() == ["red box", "box", "red"]
    assert table.loc["red ball0.jpg", "group"] == "p9"
    assert set(table.loc[table["group"] == "p2", "split"]) == {"test"}
    assert manifest.corrected_rows == 7


def test_a_class_can_be_merged_away_by_corrections(tmp_path: Path) -> None:
    csv = write_csv(tmp_path, [*good_lines(), "c0.jpg,c,p0"])
    manifest = load(csv, corrections=corrections(tmp_path, "c0.jpg,label,b"))
    assert manifest.classes == ("a", "b")
    assert manifest.corrected_rows == 1


def test_everything_wrong_in_a_corrections_file_is_listed_with_row_and_value(tmp_path: Path) -> None:
    data = competition(tmp_path / "train")
    fixes = corrections(
        tmp_path,
        "999999,gender,male",
        "000001,race,Asian",
        "000001,gender,man",
        "000001,age,old",
        "000003_male_Asian_40/normal,mask,off",
        "000002,split,train",
        "000004,group,",
        "000005,age,20",
        "000005,age,60",
        "000003,label,wear/male/30-59",
        "000003,gender,female",
    )
    found = problems(data, corrections=fixes)
    assert found[:9] == (
        "corrections.csv row 2: the key '999999' is neither a group nor a path of the data; correct it or "
        "delete the line",
        "corrections.csv row 3: the column 'race' cannot be corrected, only label, group, mask, gender, "
        "age; correct the name",
        "corrections.csv row 4: the gender 'man' is none of female, male; correct it",
        "corrections.csv row 5: the age 'old' is none of 30-59, 60+, under30; correct it",
        "corrections.csv row 6: the mask 'off' is none of incorrect, none, wear; correct it",
        "corrections.csv row 7: the column 'split' cannot be corrected, only label, group, mask, gender, "
        "age; correct the name",
        "corrections.csv row 8: the group is empty; write one",
        "corrections.csv row 10: the age of '000005' is '60+' here and 'under30' in corrections.csv row 9; "
        "delete one of the two",
        "corrections.csv row 12: 000003_male_Asian_40/mask1.jpg: 'wear/male/30-59' and gender female "
        "contradict each other; delete one of the lines",
    )


def test_a_corrections_file_that_is_missing_or_has_other_columns_is_refused(tmp_path: Path) -> None:
    csv = write_csv(tmp_path, good_lines())
    assert problems(csv, corrections=tmp_path / "none.csv")[0].startswith(f"--corrections {tmp_path / 'none.csv'}")
    (tmp_path / "wrong.csv").write_text("id,label\n")
    assert problems(csv, corrections=tmp_path / "wrong.csv")[0].startswith(
        "wrong.csv row 1: no column key, column, value"
    )


def test_a_key_that_fits_two_pictures_needs_its_ending(tmp_path: Path) -> None:
    csv = write_csv(tmp_path, [*good_lines(), "a0_0.png,a,p0"])
    [problem] = problems(csv, corrections=corrections(tmp_path, "a0_0,label,b"))
    assert "fits a0_0.jpg and a0_0.png; write the ending too" in problem


def test_no_class_has_such_attributes(tmp_path: Path) -> None:
    lines = [line for line in attribute_lines() if not line.startswith("blue box")]
    csv = write_csv(tmp_path, lines, HEADER)
    fixes = corrections(tmp_path, "red box1.jpg,colour,blue")
    found = problems(csv, corrections=fixes, attributes=("shape", "colour"))
    assert found[0].startswith("corrections.csv row 2: red box1.jpg: no class has shape box, colour blue")


def test_pictures_that_cannot_be_decoded_are_listed_or_dropped(tmp_path: Path) -> None:
    manifest = load(write_csv(tmp_path, good_lines()))
    bad = {str(tmp_path / "b0_0.jpg"): "truncated", str(tmp_path / "a0_1.jpg"): "not a picture"}
    assert bad_picture_error(manifest, bad).problems == (
        "train.csv row 3: a0_1.jpg: not a picture; replace it, or go on without it: --skip-bad",
        "train.csv row 8: b0_0.jpg: truncated; replace it, or go on without it: --skip-bad",
    )
    left = drop_pictures(manifest, bad)
    assert len(left.table) == 10 and list(left.table.index) == list(range(10))
    assert left.skipped == (
        "train.csv row 3: a0_1.jpg: not a picture",
        "train.csv row 8: b0_0.jpg: truncated",
    )
    assert left.classes == manifest.classes


def test_dropping_the_only_other_person_of_a_class_is_refused(tmp_path: Path) -> None:
    manifest = load(write_csv(tmp_path, [*good_lines(), "c0.jpg,c,p0", "c1.jpg,c,p1"]))
    with pytest.raises(DataError, match="'c' has one group"):
        drop_pictures(manifest, {str(tmp_path / "c0.jpg"): "truncated"})


def test_an_error_writes_fifty_problems_and_counts_the_rest() -> None:
    error = DataError([f"problem {i}" for i in range(60)])
    lines = str(error).splitlines()
    assert lines[0] == "60 problems with the data:"
    assert lines[1] == "  problem 0" and lines[50] == "  problem 49"
    assert lines[51] == "  ... and 10 more"
    assert len(error.problems) == 60
    assert str(DataError(["one"])) == "1 problem with the data:\n  one"


def test_what_is_wrong_is_said_soon_however_many_pictures_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(module, "LOOK_AT", 4)
    path = write_csv(tmp_path, [*good_lines(), "a0_0.jpg,,p0"])
    asked: list[str] = []

    def slow(paths: Sequence[str]) -> dict[str, str]:
        asked.extend(paths)
        time.sleep(0.01)
        return {paths[0]: "cut short"}

    with pytest.raises(DataError) as error:
        load_manifest(DataConfig(data=path), slow)
    said = "\n".join(error.value.problems)
    assert len(asked) == 4
    assert "the label is empty" in said and "cut short" in said
    assert "4 of 13 pictures were looked at; the others are once this is fixed" in said
