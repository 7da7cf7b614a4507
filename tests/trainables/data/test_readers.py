from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainables.data.competition import CLASSES, STEMS, age_band
from trainables.data.manifest import DataConfig, DataError, Manifest, load_manifest
from trainables.data.raw import sorted_names
from trainables.data.tables import read_table

# The people of a competition folder: id, gender, age. Every class has two people.
PEOPLE = [
    (f"{number:06d}", gender, age)
    for number, (gender, age) in enumerate(
        [(gender, age) for gender in ("male", "female") for age in (19, 29, 30, 59, 60, 61)]
    )
]


def competition(root: Path, people: list[tuple[str, str, int]] | None = None) -> Path:
    """Writes the folder that holds `train`, with endings that differ from person to person."""
    lines = ["id,gender,race,age,path"]
    for i, (person, gender, age) in enumerate(PEOPLE if people is None else people):
        folder = root / "train" / "images" / f"{person}_{gender}_Asian_{age}"
        folder.mkdir(parents=True)
        for stem in STEMS:
            (folder / f"{stem}{('.jpg', '.PNG', '.jpeg')[i % 3]}").write_bytes(b"picture")
        lines.append(f"{person},{gender},Asian,{age},{folder.name}")
    (root / "train" / "train.csv").write_text("\n".join(lines) + "\n")
    return root


def load(path: Path, **flags: object) -> Manifest:
    return load_manifest(DataConfig(data=path, **flags))  # type: ignore[arg-type]


def problems(path: Path, **flags: object) -> tuple[str, ...]:
    with pytest.raises(DataError) as error:
        load(path, **flags)
    return error.value.problems


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_competition_has_18_classes_in_the_order_of_its_answers() -> None:
    assert len(CLASSES) == 18
    assert list(CLASSES)[:6] == [
        "wear/male/under30",
        "wear/male/30-59",
        "wear/male/60+",
        "wear/female/under30",
        "wear/female/30-59",
        "wear/female/60+",
    ]
    for index, kinds in enumerate(CLASSES.values()):
        mask = ("wear", "incorrect", "none").index(kinds["mask"])
        age = ("under30", "30-59", "60+").index(kinds["age"])
        assert index == 6 * mask + 3 * (kinds["gender"] == "female") + age


def test_pictures_per_class_agree_with_the_published_numbers(tmp_path: Path) -> None:
    # A hundredth of the competition's people, rounded up: wear has five pictures a person, the others one.
    people_per_band = [-(-n // 100) for n in (549, 410, 83 + 100, 732, 817, 109)]
    people = []
    for band, count in enumerate(people_per_band):
        for _ in range(count):
            gender = "female" if band >= 3 else "male"
            people.append((f"{len(people):06d}", gender, (20, 45, 60)[band % 3]))
    manifest = load(competition(tmp_path, people))
    counts = manifest.table["label"].value_counts()
    expected = [5 * n for n in people_per_band] + 2 * people_per_band
    assert [counts[name] for name in manifest.classes] == expected


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("18", "under30"),
        ("29", "under30"),
        ("30", "30-59"),
        ("59", "30-59"),
        ("60", "60+"),
        ("061", "60+"),
        ("0", ""),
        ("-3", ""),
        ("thirty", ""),
        ("30.5", ""),
        ("", ""),
        ("²", ""),
    ],
)
def test_ages_fall_into_the_bands_of_the_competition(age: str, band: str) -> None:
    assert age_band(age) == band


@pytest.mark.parametrize("place", ["", "train", "train/images", "train/train.csv"])
def test_a_competition_folder_is_recognized_from_above_and_below(tmp_path: Path, place: str) -> None:
    competition(tmp_path)
    manifest = load(tmp_path / place)
    assert manifest.layout == "competition folder"
    assert manifest.root == tmp_path / "train"
    assert manifest.classes == tuple(CLASSES)
    assert len(manifest.table) == 7 * len(PEOPLE)
    assert manifest.has_groups and manifest.group_warning is None
    assert manifest.attributes["mask"] == ("wear",) * 6 + ("incorrect",) * 6 + ("none",) * 6
    assert manifest.attributes["age"][:3] == ("under30", "30-59", "60+")


def test_an_eval_folder_beside_train_is_left_alone(tmp_path: Path) -> None:
    competition(tmp_path)
    (tmp_path / "eval" / "images").mkdir(parents=True)
    (tmp_path / "eval" / "info.csv").write_text("ImageID,ans\n")
    assert len(load(tmp_path).table) == 7 * len(PEOPLE)


def test_rows_carry_label_person_attributes_and_source(tmp_path: Path) -> None:
    table = load(competition(tmp_path)).table.set_index("path")
    folder = tmp_path / "train" / "images" / "000006_female_Asian_19"
    row = table.loc[str(folder / "incorrect_mask.jpg")]
    assert row.to_dict() == {
        "label": "incorrect/female/under30",
        "group": "000006",
        "split": "",
        "source": "train.csv row 8",
        "mask": "incorrect",
        "gender": "female",
        "age": "under30",
    }


def test_an_id_with_a_suffix_is_another_person(tmp_path: Path) -> None:
    table = load(competition(tmp_path, [*PEOPLE, ("000003-1", "female", 20)])).table
    assert set(table.loc[table["group"] == "000003", "label"].str.split("/").str[1]) == {"male"}
    assert set(table.loc[table["group"] == "000003-1", "label"].str.split("/").str[1]) == {"female"}


def test_hidden_files_and_files_without_a_picture_ending_are_ignored(tmp_path: Path) -> None:
    competition(tmp_path)
    folder = tmp_path / "train" / "images" / "000000_male_Asian_19"
    for name in ("._mask1.jpg", ".DS_Store", "notes.txt"):
        (folder / name).write_bytes(b"")
    for place in (folder, folder.parent):
        (place / ".ipynb_checkpoints").mkdir()
        (place / ".ipynb_checkpoints" / "mask1-checkpoint.jpg").write_bytes(b"")
    assert len(load(tmp_path).table) == 7 * len(PEOPLE)


def test_rows_are_sorted_whatever_the_order_of_the_csv(tmp_path: Path) -> None:
    first = load(competition(tmp_path)).table
    csv = tmp_path / "train" / "train.csv"
    header, *lines = csv.read_text().splitlines()
    csv.write_text("\n".join([header, *reversed(lines)]))
    second = load(tmp_path).table
    assert list(first["path"]) == sorted(first["path"]) == list(second["path"])
    assert list(first["label"]) == list(second["label"])


def test_everything_wrong_in_a_competition_folder_is_listed_with_row_and_value(tmp_path: Path) -> None:
    competition(tmp_path)
    images = tmp_path / "train" / "images"
    edit(tmp_path / "train" / "train.csv", "000000,male,Asian,19,", "000000,man,Asian,19,")
    edit(tmp_path / "train" / "train.csv", "000001,male,Asian,29,", "000001,male,Asian,old,")
    edit(tmp_path / "train" / "train.csv", "000003,male", "000002,male")
    (images / "000004_male_Asian_60").rename(images / "elsewhere")
    (images / "000005_male_Asian_61" / "mask2.jpeg").unlink()
    (images / "000006_female_Asian_19" / "mask6.jpg").write_bytes(b"picture")
    (images / "000006_female_Asian_19" / "normal.PNG").write_bytes(b"picture")
    (images / "000007_female_Asian_29" / "mask1.PNG").write_bytes(b"")
    found = problems(tmp_path)
    expected = [
        "train.csv row 2: the gender 'man' is neither male nor female",
        "train.csv row 3: the age 'old' is not in whole years",
        "train.csv row 5: the id '000002' stands in train.csv row 4 too",
        "train.csv row 6: 000004_male_Asian_60/: the person's folder cannot be read (No such file",
        "train.csv row 7: 000005_male_Asian_61/mask2: no such picture",
        "train.csv row 8: 000006_female_Asian_19/mask6.jpg: none of the seven names",
        "train.csv row 8: 000006_female_Asian_19/normal.PNG: there is normal.jpg too",
        "train.csv row 9: 000007_female_Asian_29/mask1.PNG: zero bytes",
    ]
    for start in expected:
        assert any(problem.startswith(start) for problem in found), (start, found)


def test_a_competition_without_its_pictures_says_where_they_belong(tmp_path: Path) -> None:
    competition(tmp_path)
    (tmp_path / "train" / "images").rename(tmp_path / "train" / "pictures")
    [problem] = problems(tmp_path)
    assert problem.startswith(f"{tmp_path / 'train' / 'images'}: no such folder")


def test_flags_that_a_competition_has_no_use_for_are_refused(tmp_path: Path) -> None:
    competition(tmp_path)
    assert load(tmp_path, attributes=("mask", "age")).attributes.keys() == {"mask", "gender", "age"}
    assert "--attributes race" in problems(tmp_path, attributes=("race",))[0]
    assert "--group-regex '^m'" in problems(tmp_path, group_regex="^m")[0]


def folder_of_classes(root: Path) -> Path:
    """Three classes with two people each, two pictures a person."""
    for label in ("10", "2", "1"):
        for person in ("p1", "p2"):
            for number in range(2):
                path = root / label / f"{person}_{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"picture")
    return root


def test_a_folder_of_classes_is_read_in_natural_order_with_nested_folders(tmp_path: Path) -> None:
    folder_of_classes(tmp_path)
    (tmp_path / "2" / "more" / "deep").mkdir(parents=True)
    (tmp_path / "2" / "more" / "deep" / "p3_0.WebP").write_bytes(b"picture")
    (tmp_path / "2" / "notes.txt").write_text("no picture")
    (tmp_path / "2" / "._p1_0.jpg").write_text("")
    (tmp_path / ".git").mkdir()
    (tmp_path / "README").write_text("no picture")
    manifest = load(tmp_path)
    assert manifest.layout == "folder of classes"
    assert manifest.classes == ("1", "2", "10")
    assert list(manifest.table["label"].value_counts()[["1", "2", "10"]]) == [4, 5, 4]
    assert manifest.left_out.counts == {
        ("no picture", "no ending"): 1,
        ("no picture", ".txt"): 1,
        ("hidden", ".jpg"): 1,
    }
    assert not manifest.has_groups and "--group-regex" in str(manifest.group_warning)
    assert manifest.table["group"].nunique() == 13
    assert manifest.table["group"].iloc[0] == "1/p1_0.jpg"  # relative: the data can be moved


def test_groups_come_from_the_first_capture_group_or_the_whole_match(tmp_path: Path) -> None:
    folder_of_classes(tmp_path)
    assert set(load(tmp_path, group_regex="p([0-9])_").table["group"]) == {"1", "2"}
    assert set(load(tmp_path, group_regex="^p[0-9]").table["group"]) == {"p1", "p2"}


def test_a_group_regex_that_does_not_fit_is_refused_with_examples(tmp_path: Path) -> None:
    folder_of_classes(tmp_path)
    assert "no regular expression" in problems(tmp_path, group_regex="(p")[0]
    [nothing, *_] = problems(tmp_path, group_regex="^x")
    assert "in no file name" in nothing and "'p1_0.jpg'" in nothing
    (tmp_path / "2" / "odd.jpg").write_bytes(b"picture")
    [odd] = problems(tmp_path, group_regex="^p[0-9]")
    assert odd.startswith(f"{tmp_path / '2' / 'odd.jpg'}: ") and "'odd.jpg'" in odd


def test_an_empty_class_folder_and_useless_attributes_are_refused(tmp_path: Path) -> None:
    folder_of_classes(tmp_path)
    (tmp_path / "empty").mkdir()
    found = problems(tmp_path, attributes=("mask",))
    assert found[0].startswith("--attributes mask: a folder of classes has no columns")
    assert found[1].startswith(f"{tmp_path / 'empty'}: no picture")


def test_a_link_to_a_parent_folder_is_not_walked_for_ever(tmp_path: Path) -> None:
    folder_of_classes(tmp_path)
    (tmp_path / "2" / "again").symlink_to(tmp_path / "2")
    assert len(load(tmp_path).table) == 12


def test_a_file_name_that_is_not_utf_8_is_listed_or_left_out(tmp_path: Path) -> None:
    folder_of_classes(tmp_path)
    (tmp_path / "2" / os.fsdecode(b"\xff.jpg")).write_bytes(b"picture")
    [problem] = problems(tmp_path)
    assert "\\udcff.jpg: the file name is not UTF-8 text" in problem
    assert len(load(tmp_path, skip_bad=True).table) == 12


def test_folders_called_like_sides_are_not_taken_for_classes(tmp_path: Path) -> None:
    for side in ("train", "val"):
        folder_of_classes(tmp_path / side)
    assert set(load(tmp_path).table["split"]) == {"train", "val"}
    (tmp_path / "train").rename(tmp_path / "test")
    [problem] = problems(tmp_path)
    assert "test, val look like the sides of a split" in problem


def test_a_path_with_nothing_to_read_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "clothing").mkdir()
    [missing] = problems(tmp_path / "clothes")
    assert f"{tmp_path / 'clothes'}: no such file or folder ({tmp_path} holds clothing)" in missing
    [empty] = problems(tmp_path / "clothing")
    assert "no data found; looked for a competition folder" in empty
    (tmp_path / "clothing" / "labels.csv").write_text("path,label\n")
    [csv] = problems(tmp_path / "clothing")
    assert "no row below the header" in csv
    (tmp_path / "clothing" / "other.csv").write_text("path,label\n")
    (tmp_path / "clothing" / "more.csv").write_text("path,label\n")
    (tmp_path / "clothing" / "labels.csv").unlink()
    [csv] = problems(tmp_path / "clothing")
    assert f"give the CSV itself, {tmp_path / 'clothing' / 'more.csv'}" in csv
    (tmp_path / "labels.txt").write_text("path,label\n")
    assert "neither a folder nor a .csv file" in problems(tmp_path / "labels.txt")[0]


def test_no_path_at_all_is_said_so() -> None:
    with pytest.raises(DataError, match="give a folder or a CSV by --data"):
        load_manifest(DataConfig())


def test_a_csv_is_read_as_text_whatever_program_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes('\ufeffPath, LABEL ,kids\r\n\r\na.jpg, 001 ,"yes, both"\r\nb.jpg,NA,\r\n'.encode())
    table = read_table(path)
    assert table.columns == ("path", "label", "kids")
    assert table.rows == [
        ("table.csv row 3", {"path": "a.jpg", "label": "001", "kids": "yes, both"}),
        ("table.csv row 4", {"path": "b.jpg", "label": "NA", "kids": ""}),
    ]
    assert not table.problems


def test_a_csv_that_cannot_be_read_says_where_and_how_to_save_it(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("path,label\nä.jpg,x\n".encode("latin-1"))
    assert "not UTF-8" in read_table(path).said[0]
    assert read_table(path).rows[0][1] == {"path": "ä.jpg", "label": "x"}
    path.write_text("path;label\na.jpg;x\n")
    assert read_table(path).rows[0][1] == {"path": "a.jpg", "label": "x"}
    path.write_bytes(b"path\0label")
    assert "cannot be read as CSV" in read_table(path).problems[0]
    path.write_text("path,label\na.jpg\nb.jpg,x,y\n")
    assert [problem.split(":")[0] for problem in read_table(path).problems] == [
        "table.csv row 2",
        "table.csv row 3",
    ]
    path.write_text("path,label,label\n")
    assert "two columns are called label" in read_table(path).problems[0]


def test_names_are_sorted_by_number_and_then_by_letter() -> None:
    assert sorted_names(["10", "b", "2", "1", "a10", "A2"]) == ("1", "2", "10", "A2", "a10", "b")
