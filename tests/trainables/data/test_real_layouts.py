"""Layouts and tables that people have, beyond the competition's, `path,label` and the folder of classes."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from PIL import Image

from trainables.data.label_names import read_label_names
from trainables.data.labelled import read_pictures
from trainables.data.manifest import DataConfig, DataError, Manifest, load_manifest
from trainables.data.readers import read_layout
from trainables.data.side_names import side_of, sides_of
from trainables.data.split import split_by_group
from trainables.data.unlabelled import read_unlabelled


def load(path: Path, **flags: object) -> Manifest:
    return load_manifest(DataConfig(data=path, **flags))  # type: ignore[arg-type]


def problems(path: Path, **flags: object) -> str:
    with pytest.raises(DataError) as error:
        load(path, **flags)
    return "\n".join(error.value.problems)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, "PNG")


def pictures(root: Path, *folders: str, count: int = 4) -> None:
    for folder in folders:
        for number in range(count):
            picture(root / folder / f"{Path(folder).name}{number}.png")


def sides(manifest: Manifest) -> dict[str, str]:
    root = str(manifest.root)
    rows = zip(manifest.table["path"], manifest.table["split"], strict=True)
    return {path[len(root) + 1 :].rpartition("/")[0]: side for path, side in rows}


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *[(name, "train") for name in ("train", "Training", "TRAIN", "training_set", "train2017", "TrainImages")],
        *[(name, "val") for name in ("val", "Valid", "validation-set", "dev")],
        *[(name, "test") for name in ("test", "Testing", "test1", "hold_out", "Holdout", "testset")],
        *[(name, None) for name in ("cat", "sample", "bullet train", "trainer", "latest", "1")],
    ],
)
def test_a_side_is_known_by_its_name(name: str, side: str | None) -> None:
    assert side_of(name) == side


def test_only_a_train_beside_another_side_makes_a_split() -> None:
    assert sides_of(["train", "car", "bus"]) == {}
    assert sides_of(["train", "eval"]) == {"train": "train", "eval": "val"}
    assert sides_of(["train", "val", "eval"])["eval"] == "test"
    assert sides_of(["seg_train", "seg_test", "seg_pred"]) == {"seg_train": "train", "seg_test": "test"}


def test_training_and_testing_are_sides_and_val_is_cut_out_of_train(tmp_path: Path) -> None:
    pictures(tmp_path / "brain" / "MRI", "Training/a", "Training/b", "Testing/a", "Testing/b", count=8)
    manifest = load(tmp_path)
    assert manifest.classes == ("a", "b")
    split = split_by_group(manifest, seed=0).table
    assert set(split.loc[split["path"].str.contains("Testing"), "split"]) == {"test"}
    assert set(split.loc[split["path"].str.contains("Training"), "split"]) == {"train", "val"}


def test_what_lies_beside_the_sides_is_left_out_and_said(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a", "train/b", "valid/a", "valid/b", "sample/train/a", "test1")
    manifest = load(tmp_path)
    assert set(sides(manifest)) == {"train/a", "train/b", "valid/a", "valid/b"}
    said = "\n".join(manifest.understood)
    assert "test1/ as test" in said and "sample/ is no side of the split: its 4 pictures are left out" in said
    assert "4 pictures right in test1/ have no class folder" in said and "16 pictures used, 8 files left out" in said


def test_sides_below_the_classes_and_a_folder_between_are_read(tmp_path: Path) -> None:
    pictures(tmp_path / "one", "a/train", "a/test", "b/train", "b/test")
    assert sides(load(tmp_path / "one")) == {"a/train": "train", "a/test": "test", "b/train": "train", "b/test": "test"}
    pictures(tmp_path / "two", "train/images/a", "train/images/b", "test/images/a", "test/images/b")
    assert load(tmp_path / "two").classes == ("a", "b")


def test_sides_without_class_folders_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "train", "test")
    assert "no class folders with pictures" in problems(tmp_path)


@pytest.mark.parametrize("inner", ["seg_{}", "{}", "intel", "Images"])
def test_the_only_folder_of_a_side_is_entered(tmp_path: Path, inner: str) -> None:
    train, test = (f"seg_{side}/{inner.format(side)}" for side in ("train", "test"))
    pictures(tmp_path, f"{train}/a", f"{train}/b", f"{test}/a", f"{test}/b", "seg_pred/seg_pred")
    manifest = load(tmp_path)
    assert manifest.classes == ("a", "b")
    assert sides(manifest) == {f"{train}/a": "train", f"{train}/b": "train", f"{test}/a": "test", f"{test}/b": "test"}
    assert "seg_pred/ is no side of the split: its 4 pictures are left out" in "\n".join(manifest.understood)


def test_the_only_class_of_a_side_stays_a_class(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a", "train/b", "val/a/x", "val/a/y")
    assert load(tmp_path).classes == ("a", "b")


def test_train_beside_a_folder_of_pictures_is_asked_about(tmp_path: Path) -> None:
    pictures(tmp_path, "train/steam", "train/diesel", "bus")
    assert "is train a side of a split" in (said := problems(tmp_path))
    assert f"give --data {tmp_path}/train;" in said and "rename it, for example to train_class" in said
    assert load(tmp_path / "train").classes == ("diesel", "steam")
    (tmp_path / "train").rename(tmp_path / "train_class")
    assert load(tmp_path).classes == ("bus", "train_class")


def test_look_alikes_are_warned_of_and_refused_with_strict(tmp_path: Path) -> None:
    pictures(tmp_path, "Cat", "cat", "07", "7", "1", "1.0", "caf\u00e9", "cafe\u0301", "big dog", "big_dog")
    alike = "\n".join(load(tmp_path).look_alikes)
    assert "'Cat' and 'cat' look alike (case)" in alike and "sets of classes look alike" in alike
    assert "--strict: the classes" in problems(tmp_path, strict=True)
    with pytest.raises(DataError, match="--strict"):
        read_pictures(DataConfig(data=tmp_path, strict=True))
    assert any("look alike" in line for line in read_pictures(DataConfig(data=tmp_path)).understood)


def test_every_ending_that_can_be_read_is_used_and_the_rest_is_named(tmp_path: Path) -> None:
    pictures(tmp_path, "a", "b")
    for name in ("x.tif", "x.JFIF", "x.heic", "noending"):
        picture(tmp_path / "a" / name)
    (tmp_path / "b" / "iphone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    manifest = load(tmp_path)
    assert len(manifest.table) == 12
    assert "1 .heic (HEIF: convert to JPEG)" in "\n".join(manifest.understood)
    assert "--strict: left out: 1 .heic" in problems(tmp_path, strict=True)
    answered = read_unlabelled(tmp_path)
    assert len(answered.paths) == 12 and answered.left_out.total == 1


def table(root: Path, text: str, name: str = "train.csv") -> Path:
    """A CSV of a0 to a3 and b0 to b3, which lie in `pics`; {a0} and so on stand for their paths."""
    pictures(root / "pics", "a", "b")
    (root / name).write_text(text)
    return root


PLAIN = "".join(f"pics/{c}/{c}{n}.png,{c}\n" for c in "ab" for n in range(4))


@pytest.mark.parametrize("header", ["filename,class", "image_id,target", "Image,Id", "file_name,whatever", "id,dx"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_are_found_by_name_whatever_stands_between(tmp_path: Path, header: str, separator: str) -> None:
    manifest = load(table(tmp_path, f"{header}\n{PLAIN}".replace(",", separator)))
    assert manifest.classes == ("a", "b") and len(manifest.table) == 8


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/", "\\"),
        (".png", ""),
        ("pics/a/", ""),
        ("pics/", "C:\\Users\\me\\pics\\"),
        ("pics/", "/home/other/pics/"),
        (".png", ".PNG"),
    ],
)
def test_paths_that_are_not_there_as_written_are_found(tmp_path: Path, old: str, new: str) -> None:
    manifest = load(table(tmp_path, f"path,label\n{PLAIN.replace(old, new)}"))
    assert len(manifest.table) == 8 and "paths found" in "\n".join(manifest.understood)


def test_a_path_that_fits_two_files_is_refused_with_both(tmp_path: Path) -> None:
    root = table(tmp_path, "image,label\nx,a\na1,a\nb0,b\nb1,b\n")
    picture(root / "one" / "x.png")
    picture(root / "two" / "x.png")
    assert "'x' fits one/x.png and two/x.png; write the folder too" in problems(root)


def test_flags_name_columns_and_two_columns_of_labels_are_refused(tmp_path: Path) -> None:
    lines = [f"pics/{c}/{c}{n}.png,{c},{n % 2},p{n}" for c in "ab" for n in range(4)]
    root = table(tmp_path, "\n".join(["file,class,target,who", *lines]))
    assert "name one by --label-column" in problems(root)
    manifest = load(root, label_column="target", path_column="file", group_column="who")
    assert manifest.classes == ("0", "1") and manifest.has_groups
    assert "--label-column nope: train.csv has no such column" in problems(root, label_column="nope")
    pictures(tmp_path / "folder", "a", "b")
    assert "a folder of classes has no columns" in problems(tmp_path / "folder", label_column="x")


def of_attributes(header: str) -> str:
    """A table whose pictures are of two kinds of each of two attributes."""
    lines = [f"pics/{c}/{c}{n}.png,mask{c},category{n % 2}" for c in "ab" for n in range(4)]
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize("names", [("mask", "category"), ("category", "mask"), ("id", "subject")])
def test_attributes_make_the_class_where_there_is_no_label(tmp_path: Path, names: tuple[str, str]) -> None:
    root = table(tmp_path, of_attributes(f"path,{names[0]},{names[1]}"))
    manifest = load(root, attributes=names)
    assert manifest.classes == ("maska/category0", "maska/category1", "maskb/category0", "maskb/category1")
    assert manifest.attributes[names[1]] == ("category0", "category1") * 2
    assert not manifest.has_groups
    assert f"train.csv: column {names[0]!r}, {names[1]!r} together as label" in "\n".join(manifest.understood)


@pytest.mark.parametrize("label", ["label", "species"])
def test_a_label_stays_the_class_beside_attributes(tmp_path: Path, label: str) -> None:
    lines = [f"pics/{c}/{c}{n}.png,{c}{n % 2},{c},{n % 2}" for c in "ab" for n in range(4)]
    manifest = load(table(tmp_path, "\n".join([f"path,{label},mask,size", *lines])), attributes=("mask", "size"))
    assert manifest.classes == ("a0", "a1", "b0", "b1")
    assert manifest.attributes == {"mask": ("a", "a", "b", "b"), "size": ("0", "1", "0", "1")}
    assert "together as label" not in "\n".join(manifest.understood)


def test_attributes_make_the_class_in_the_table_of_each_side(tmp_path: Path) -> None:
    header, *lines = of_attributes("image,mask,category").splitlines()
    root = table(tmp_path, "\n".join([header, *lines[:2], *lines[4:6]]))
    (root / "test.csv").write_text("\n".join([header, *lines[2:4], *lines[6:]]))
    manifest = load(root, attributes=("mask", "category"))
    assert sorted(manifest.table["split"]) == ["test"] * 4 + ["train"] * 4
    assert set(manifest.table.loc[manifest.table["split"] == "test", "label"]) == set(manifest.classes)


def test_what_is_wrong_with_attributes_that_make_the_class_is_said_once(tmp_path: Path) -> None:
    root = table(tmp_path, of_attributes("path,mask,size"))
    assert problems(root, attributes=("mask", "age")) == (
        "--attributes age: train.csv has no such column of attributes (found 'path,mask,size'); correct the name"
    )
    (root / "train.csv").write_text((root / "train.csv").read_text().replace("b3.png,maskb", "b3.png,"))
    said = problems(root, attributes=("mask", "size"))
    assert "train.csv row 9: the mask is empty ('pics/b/b3.png'); write it, or delete the row" in said
    assert "the label is empty" not in said
    (root / "train.csv").write_text("path,mask,size,shape\npics/a/a0.png,a,b,c\n")
    assert "or make the label of several by --attributes" in problems(root)


def test_one_hot_columns_are_the_classes(tmp_path: Path) -> None:
    lines = [f"pics/{c}/{c}{n}.png,{int(c == 'a')},{float(c == 'b')}" for c in "ab" for n in range(4)]
    assert load(table(tmp_path, "\n".join(["image_id,scab,rust", *lines]))).classes == ("rust", "scab")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "oak\nelm\n"),
        ("classes.txt", "1 elm\n0 oak\n"),
        ("labels.json", '{"0": "oak", "1": "elm"}'),
        ("labels.json", '{"oak": 0, "elm": 1}'),
        ("classes.csv", "id,name\n0,oak\n1,elm\n"),
    ],
)
def test_labels_that_are_numbers_take_their_names_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    root = table(tmp_path, "path,label\n" + PLAIN.replace(",a", ",0").replace(",b", ",1"))
    (root / name).write_text(text)
    manifest = load(root)
    assert manifest.classes == ("elm", "oak") and f"labels have the names of {name}" in "\n".join(manifest.understood)
    (root / "short.txt").write_text("oak\n")
    assert "no name for the label '1'" in problems(root, label_names=root / "short.txt")


def test_names_are_counted_from_1_where_the_labels_are(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("oak\nelm\n")
    assert read_label_names(tmp_path / "names.txt", {"1", "2"}) == ({"1": "oak", "2": "elm"}, "")


def test_names_are_not_counted_where_labels_fit_from_0_as_well_as_from_1(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("oak\nelm\nfir\nash\n")
    assert read_label_names(names, {"0", "2"}) == ({"0": "oak", "2": "fir"}, "")
    assert read_label_names(names, {"2", "4"}) == ({"2": "elm", "4": "ash"}, "")
    found, problem = read_label_names(names, {"1", "3"})  # of a test table that lacks the first class, or the last
    assert not found
    assert "its 4 names fit the labels 1 to 3 counted from 0 as well as from 1" in problem
    assert "write a name in each line, or id,name" in problem


def test_a_list_in_json_is_counted_as_lines_are(tmp_path: Path) -> None:
    names = tmp_path / "classes.json"
    names.write_text('["oak", "elm"]')
    assert read_label_names(names, {"1", "2"}) == ({"1": "oak", "2": "elm"}, "")
    assert read_label_names(names, {"0", "1"}) == ({"0": "oak", "1": "elm"}, "")


def test_two_labels_of_one_name_stay_two_classes(tmp_path: Path) -> None:
    root = table(tmp_path, "path,label\n" + PLAIN.replace(",a", ",0").replace(",b", ",1"))
    (root / "classes.txt").write_text("crane\ncrane\n")
    manifest = load(root)
    assert manifest.classes == (
        "0",
        "1",
    ) and "labels stay numbers, by classes.txt: the labels 0 and 1 are both" in "\n".join(manifest.understood)
    assert "the labels 0 and 1 are both called 'crane'" in problems(root, label_names=root / "classes.txt")


def test_a_table_like_the_competitions_is_a_plain_one_where_its_label_is_told(tmp_path: Path) -> None:
    lines = [f"{n},pics/{c}/{c}{n}.png,5{n},F,{c}" for c in "ab" for n in range(4)]
    for header, flags in (("Diagnosis", {"label_column": "Diagnosis"}), ("class", {})):
        root = tmp_path / header
        manifest = load(table(root, "\n".join([f"ID,Path,Age,Gender,{header}", *lines])), **flags)
        assert manifest.classes == ("a", "b") and manifest.layout == "CSV"


def test_a_parquet_file_is_read_like_a_csv(tmp_path: Path) -> None:
    pictures(tmp_path / "pics", "a", "b")
    rows = [{"file_name": f"pics/{c}/{c}{n}.png", "label": "ab".index(c)} for c in "ab" for n in range(4)]
    pandas.DataFrame(rows).to_parquet(tmp_path / "data.parquet")
    assert load(tmp_path / "data.parquet").classes == load(tmp_path).classes == ("0", "1")
    (tmp_path / "data.parquet").write_bytes(b"none")
    assert "cannot be read as parquet" in problems(tmp_path)


@pytest.mark.parametrize("value", [b"\x89PNG", {"bytes": b"\x89PNG", "path": "0.png"}])
def test_a_parquet_file_of_pictures_is_refused_with_one_message(tmp_path: Path, value: object) -> None:
    pandas.DataFrame({"image": [value] * 4, "label": [0, 0, 1, 1]}).to_parquet(tmp_path / "data.parquet")
    with pytest.raises(DataError) as error:
        load(tmp_path)
    [said] = error.value.problems
    assert "its column 'image' holds the pictures themselves" in said


def test_a_table_for_each_side_is_the_given_split(tmp_path: Path) -> None:
    lines = PLAIN.splitlines()
    root = table(tmp_path, "\n".join(["image,label", *lines[:3], *lines[4:7]]))
    (root / "test.csv").write_text("\n".join(["image,label", lines[3], lines[7]]))
    (root / "sample_submission.csv").write_text("image,label\n")
    assert sorted(load(root).table["split"]) == ["test"] * 2 + ["train"] * 6
    (root / "test.csv").write_text("image\nx\n")
    assert "test.csv: without the columns of train.csv" in "\n".join(load(root).understood)


def test_a_person_in_the_tables_of_two_sides_is_found_though_one_names_each_once(tmp_path: Path) -> None:
    lines = PLAIN.splitlines()
    people = ["p0", "p0", "p1", "p1"] * 2
    rows = [f"{line},{person}" for line, person in zip(lines, people, strict=True)]
    root = table(tmp_path, "\n".join(["image,label,patient_id", *rows[:3], *rows[4:7]]))
    (root / "val.csv").write_text("\n".join(["image,label,patient_id", rows[3], rows[7].replace("p1", "p2")]))
    assert "p1" in problems(root)
    (root / "val.csv").write_text("\n".join(["image,label", lines[3], lines[7]]))
    assert not load(root).has_groups


def test_a_first_line_that_is_no_header_is_told(tmp_path: Path) -> None:
    assert "is a picture; put the header path,label above it" in problems(table(tmp_path, PLAIN))


def test_a_file_that_no_row_names_is_counted(tmp_path: Path) -> None:
    root = table(tmp_path, f"path,label\n{PLAIN}")
    picture(root / "pics" / "a" / "extra.png")
    assert "1 .png (pictures that no row names)" in "\n".join(load(root).understood)


def test_predict_reads_a_table_by_other_names_and_one_picture(tmp_path: Path) -> None:
    root = table(tmp_path, f"Image;Id\n{PLAIN.replace(',', ';')}")
    assert len(read_unlabelled(root / "train.csv").paths) == 8
    one = root / "pics" / "a" / "a0.png"
    assert read_unlabelled(one).paths == (str(one),)


def test_a_side_that_holds_itself_is_entered(tmp_path: Path) -> None:
    for side in ("seg_train", "seg_test"):
        for label in ("forest", "street"):
            for number in range(6):
                picture(tmp_path / side / side / label / f"{side}{number}.png")
    picture(tmp_path / "seg_pred" / "seg_pred" / "1.png")
    raw = read_layout(tmp_path)
    assert not raw.problems
    assert {(row.label, row.split) for row in raw.rows} == {
        (label, side) for label in ("forest", "street") for side in ("train", "test")
    }
    assert len(raw.rows) == 24


def test_a_table_whose_pictures_are_there_goes_before_folders_of_parts(tmp_path: Path) -> None:
    lines = ["image_id,dx,lesion_id"]
    for number in range(12):
        picture(tmp_path / f"images_part{1 + number % 2}" / f"ISIC_{number:04d}.png")
        lines.append(f"ISIC_{number:04d},{'nv' if number < 6 else 'mel'},L{number // 2}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    raw = read_layout(tmp_path)
    assert not raw.problems
    assert {row.label for row in raw.rows} == {"nv", "mel"}
    (tmp_path / "metadata.csv").write_text("note,author\nnothing,nobody\n")
    assert {row.label for row in read_layout(tmp_path).rows} == {"images_part1", "images_part2"}


def test_a_table_beside_folders_that_are_classes_says_nothing_of_them(tmp_path: Path) -> None:
    lines = ["file,width"]
    for label in ("a", "b"):
        for number in range(6):
            picture(tmp_path / label / f"{label}{number}.png")
            lines.append(f"{label}/{label}{number}.png,{number % 2}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    assert {row.label for row in read_layout(tmp_path).rows} == {"a", "b"}


def test_several_tables_over_one_folder_of_pictures_are_named(tmp_path: Path) -> None:
    pictures(tmp_path, "img")
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("path,label\nimg/img0.png,a\nimg/img1.png,b\n")
    said = read_layout(tmp_path).problems
    assert said == [
        f"{tmp_path}: 2 tables (one.csv, two.csv), no class folders; give the CSV itself, {tmp_path}/one.csv"
    ]
    assert len(read_layout(tmp_path / "two.csv").rows) == 2  # which is the way out


def test_several_tables_beside_folders_of_parts_are_told_apart_by_their_pictures(tmp_path: Path) -> None:
    lines = ["image_id,dx,lesion_id"]
    for number in range(12):
        picture(tmp_path / f"images_part_{1 + number % 2}" / f"ISIC_{number:04d}.png")
        lines.append(f"ISIC_{number:04d},{'nv' if number < 6 else 'mel'},{f'L{number // 2}' if number else ''}")
    picture(tmp_path / "__MACOSX" / "images_part_1" / "._x.png")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "pixels.csv").write_text("pixel0000,pixel0001,label\n1,2,0\n3,4,1\n")
    (tmp_path / "HAM_metadata.csv").write_text("\n".join(lines) + "\n")
    manifest = load(tmp_path)
    assert manifest.classes == ("mel", "nv") and manifest.has_groups
    lines = ["image_id,findings,lesion_id,age", *(f"{line},50" for line in lines[1:])]
    (tmp_path / "HAM_metadata.csv").write_text("\n".join(lines) + "\n")
    said = problems(tmp_path)
    assert "its folders images_part_1, images_part_2 differ by a number alone, and HAM_metadata.csv" in said
    table_of_it = tmp_path / "HAM_metadata.csv"
    assert f"--data {table_of_it} " in said
    assert load(table_of_it, label_column="findings").classes == ("mel", "nv")  # which is the way out


def test_numbered_classes_beside_tables_that_name_no_picture_stay_classes(tmp_path: Path) -> None:
    pictures(tmp_path, "class_1", "class_2")
    for name in ("notes.csv", "log.csv"):
        (tmp_path / name).write_text("author,date\nnobody,never\n")
    assert load(tmp_path).classes == ("class_1", "class_2")


def test_a_column_that_says_a_side_in_most_rows_is_not_passed_over(tmp_path: Path) -> None:
    rows = [f"{line},{'test' if number % 4 == 3 else 'train'}" for number, line in enumerate(PLAIN.splitlines())]
    root = table(tmp_path, "\n".join(["image,label,subset", *rows[:-1], rows[-1].removesuffix("test")]))
    said = problems(root)
    assert "the column 'subset' says train, val or test in 7 of 8 rows, and not in 1, first in train.csv row 9" in said
    assert "it says ''; write a side there" in said
    root = table(tmp_path, "\n".join(["image,label,subset", *(row.replace("train", "1") for row in rows[:7])]))
    said = "\n".join(load(root).said)
    assert "column 'subset' is not taken for the split, as its values '1' name no sides" in said


def test_a_picture_whose_person_is_not_known_is_a_group_of_its_own(tmp_path: Path) -> None:
    people = ["p0", "p0", "p1", "", "p2", "p2", "p3", "p3"]
    rows = [f"{line},{person}" for line, person in zip(PLAIN.splitlines(), people, strict=True)]
    manifest = load(table(tmp_path, "\n".join(["image,label,patient_id", *rows])))
    assert manifest.has_groups and manifest.table["group"].nunique() == 5
    assert "1 row without a patient_id: each such picture is a group of its own" in "\n".join(manifest.said)
    rows = [row if number < 2 else row.rpartition(",")[0] + "," for number, row in enumerate(rows)]
    root = table(tmp_path, "\n".join(["image,label,patient_id", *rows, f"{rows[0].partition(',')[0]}x,a,p9"]))
    (root / f"{rows[0].partition(',')[0]}x").write_bytes((root / rows[0].partition(",")[0]).read_bytes())
    manifest = load(root)
    assert not manifest.has_groups
    assert "empty in 6 of 9 rows; --group-column patient_id takes it all the same" in "\n".join(manifest.said)
    assert load(root, group_column="patient_id").has_groups  # which is the way out


@pytest.mark.parametrize("folder", ["images", "test", "unknown"])
def test_a_test_side_whose_only_folder_is_no_class_has_no_labels(folder: str, tmp_path: Path) -> None:
    pictures(tmp_path, "train/ok", "train/defect", count=8)
    pictures(tmp_path, f"test/{folder}")
    manifest = load(tmp_path)
    assert manifest.classes == ("defect", "ok")
    assert f"4 pictures in test/ lie in {folder}/, which is no class of the train side" in "\n".join(manifest.said)
    assert set(split_by_group(manifest, seed=0).table["split"]) == {"train", "val", "test"}
    pictures(tmp_path, "test/ok")
    assert load(tmp_path).classes == tuple(sorted(("defect", "ok", folder)))


def test_sides_with_other_classes_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "train/ok", "train/defect", "test/good", "test/bad")
    assert "test: its folders bad, good are no classes of the train side (defect, ok); rename them" in problems(
        tmp_path
    )


def test_the_same_folders_in_each_folder_may_be_the_classes(tmp_path: Path) -> None:
    pictures(tmp_path / "people", *(f"{person}/{label}" for person in (8863, 8864, 8865) for label in (0, 1)))
    said = problems(tmp_path / "people")
    assert "most of the 3 folders (8863, 8864, ...) hold the same sub-folders, 0/, 1/" in said
    assert "write a CSV with path,label,group" in said
    pictures(tmp_path / "things", *(f"{thing}/{place}" for thing in ("cat", "dog", "cow") for place in ("in", "out")))
    manifest = load(tmp_path / "things")
    assert manifest.classes == ("cat", "cow", "dog")
    assert "which are taken for parts of 3 classes" in "\n".join(manifest.said)


def test_sub_folders_without_pictures_are_no_second_reading(tmp_path: Path) -> None:
    for number in range(3):
        pictures(tmp_path, f"class_{number}/images")
        (tmp_path / f"class_{number}" / "annotations").mkdir()
        (tmp_path / f"class_{number}" / "annotations" / "1.xml").write_text("<a/>")
    assert load(tmp_path).classes == ("class_0", "class_1", "class_2")


@pytest.mark.parametrize("readable", [True, False])
def test_tables_beside_a_lone_folder_of_sides_are_no_reason_to_leave_the_sides(readable: bool, tmp_path: Path) -> None:
    pictures(tmp_path / "dataset", "train/cat", "train/dog", "val/cat", "val/dog")
    rows = [f"dataset/train/{name}/{name}{number}.png" for name in ("cat", "dog") for number in range(4)]
    header, more = ("path,label", ",a") if readable else ("filename,width,height", ",9,9")
    (tmp_path / "info.csv").write_text("\n".join([header, *(f"{row}{more}" for row in rows)]) + "\n")
    (tmp_path / "class_map.csv").write_text("number,word\n0,cat\n1,dog\n")
    manifest = load(tmp_path)
    assert manifest.classes == ("cat", "dog") and set(manifest.table["split"]) == {"train", "val"}


def test_numbers_in_a_table_are_not_taken_for_pictures_of_such_names(tmp_path: Path) -> None:
    for label in ("class_1", "class_2"):
        for number in range(30):
            picture(tmp_path / label / f"{number}.png")
    (tmp_path / "log.csv").write_text("epoch,loss,accuracy\n" + "".join(f"{n},{n},{n}\n" for n in range(30)))
    assert load(tmp_path).classes == ("class_1", "class_2")


def test_sides_below_classes_are_not_asked_about_as_people(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{name}/{side}" for name in ("cat", "dog") for side in ("train", "val", "test")))
    manifest = load(tmp_path)
    assert manifest.group_warning is not None and "folders below" not in manifest.group_warning


def test_a_group_can_be_in_the_name_of_a_folder(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{label}/clip_{number}{label}" for label in "ab" for number in range(3)))
    plain = load(tmp_path)
    assert plain.group_warning is not None
    assert "such as a/clip_0a/clip_0a0.png" in plain.group_warning
    assert "--group-regex '([^/]+)/[^/]+$'" in plain.group_warning
    manifest = load(tmp_path, group_regex="([^/]+)/[^/]+$")
    assert set(manifest.table["group"]) == {f"clip_{number}{label}" for label in "ab" for number in range(3)}
    assert "groups by --group-regex in the path, such as 'clip_0a' in 'a/clip_0a/clip_0a0.png'" in manifest.said
    pictures(tmp_path / "flat", "a", "b")
    assert "folders below" not in str(load(tmp_path / "flat").group_warning)
