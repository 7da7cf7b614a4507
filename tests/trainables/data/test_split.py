from __future__ import annotations

import dataclasses
import functools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy
import pandas
import pytest

from trainables.data.manifest import DataError, Manifest
from trainables.data.rows import SplitRow, read_split
from trainables.data.split import Split, load_split, render_split, split_by_group
from trainables.data.stratify import divide, take_apart, take_of_each_class

REPOSITORY = Path(__file__).resolve().parents[3]


def manifest_of(rows: list[tuple[str, str, str, str]], *, has_groups: bool = True, root: str = "/data") -> Manifest:
    """A manifest of (relative path, label, group, split)."""
    table = pandas.DataFrame(rows, columns=["path", "label", "group", "split"], dtype=str)
    table["source"] = [f"train.csv row {i + 2}" for i in range(len(table))]
    table["path"] = [f"{root}/{path}" for path in table["path"]]
    classes = tuple(sorted(set(table["label"])))
    return Manifest(table, classes, {}, Path(root), "CSV", has_groups)


def people(num_people: int = 120, num_classes: int = 6, root: str = "/data", largest: float = 0.13) -> Manifest:
    """Unbalanced classes; people with 1 to 8 pictures of any class, and one with `largest` of all."""
    rng = numpy.random.RandomState(0)
    chances = numpy.arange(1, num_classes + 1) ** 2.0
    sizes = list(rng.randint(1, 9, num_people - 1))
    sizes.append(round(sum(sizes) * largest / (1 - largest)))
    rows = []
    for person, size in enumerate(sizes):
        for picture in range(size):
            label = f"class {rng.choice(num_classes, p=chances / chances.sum())}"
            rows.append((f"p{person}/{picture}.jpg", label, f"p{person}", ""))
    return manifest_of(rows, root=root)


@functools.cache
def drawn(seed: int) -> Split:
    """The split of `people()`, drawn once for all tests that look at it."""
    return split_by_group(people(), seed=seed)


def shares(split: Split) -> dict[str, float]:
    return {side.split: side.share for side in split.summary()}


def sides_by_path(split: Split) -> dict[str, str]:
    return dict(zip(split.table["path"], split.table["split"], strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_apart_and_every_side_has_every_class_in_fair_shares(seed: int) -> None:
    split = drawn(seed)
    assert (split.table.groupby("group")["split"].nunique() == 1).all()
    assert list(split.table["path"]) == list(people().table["path"])
    assert not split.warnings
    for side in split.summary():
        assert side.missing == ()
        assert side.groups / 120 == pytest.approx(0.6 if side.split == "train" else 0.2, abs=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_shares_of_pictures_are_balanced_although_one_person_owns_an_eighth(seed: int) -> None:
    split = drawn(seed)
    assert split.table["group"].value_counts(normalize=True).iloc[0] == pytest.approx(0.13, abs=0.005)
    assert shares(split) == pytest.approx({"train": 0.6, "val": 0.2, "test": 0.2}, abs=0.03)
    by_class = pandas.crosstab(split.table["label"], split.table["split"], normalize="index")
    assert by_class["val"].between(0.1, 0.35).all()
    assert by_class["test"].between(0.1, 0.35).all()


def test_other_shares_are_met_too() -> None:
    split = split_by_group(people(), seed=0, val_share=0.1, test_share=0.3)
    assert shares(split) == pytest.approx({"train": 0.6, "val": 0.1, "test": 0.3}, abs=0.04)
    assert shares(split_by_group(people(), seed=0, test_share=0))["test"] == 0


@pytest.mark.parametrize(("val_share", "test_share"), [(0, 0.2), (0.5, 0.5), (0.2, -0.1), (float("nan"), 0.2)])
def test_shares_that_leave_nothing_are_refused(val_share: float, test_share: float) -> None:
    with pytest.raises(ValueError, match=f"val_share is {val_share} and test_share {test_share}"):
        split_by_group(people(), seed=0, val_share=val_share, test_share=test_share)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=f"seed is {seed}"):
        split_by_group(people(), seed=seed)


def test_every_seed_is_another_split() -> None:
    hashes = {drawn(seed).hash(Path("/data")) for seed in range(5)}
    assert len(hashes) == 5


def test_every_group_gets_to_each_side_under_some_seed() -> None:
    rows = [(f"{label}{i}.jpg", label, f"{label}{i}", "") for label in "ab" for i in range(5)]
    seen = {
        (path, side)
        for seed in range(40)
        for path, side in sides_by_path(split_by_group(manifest_of(rows), seed=seed)).items()
    }
    assert len(seen) == 10 * 3


def test_the_split_depends_neither_on_the_order_of_rows_nor_on_where_the_data_lie() -> None:
    manifest = people(num_people=40)
    split = split_by_group(manifest, seed=3)
    moved = people(num_people=40, root="/elsewhere/below")
    moved_split = split_by_group(moved, seed=3)
    assert moved_split.hash(moved.root) == split.hash(Path("/data"))
    shuffled = dataclasses.replace(manifest, table=manifest.table.sample(frac=1, random_state=0))
    assert sides_by_path(split_by_group(shuffled, seed=3)) == sides_by_path(split)


def test_the_split_is_the_same_in_every_process(tmp_path: Path) -> None:
    manifest = people(num_people=20, num_classes=3)
    (tmp_path / "manifest.pickle").write_bytes(pickle.dumps(manifest))
    code = (
        "import pathlib, pickle, sys; from trainables.data.split import split_by_group; "
        "manifest = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()); "
        "print(split_by_group(manifest, seed=7).hash(manifest.root))"
    )
    for hash_seed in ("0", "1"):  # this process has a third, at random
        output = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "manifest.pickle"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        assert output.stdout.strip() == split_by_group(manifest, seed=7).hash(manifest.root)


def test_a_known_split_never_changes() -> None:
    # Records name splits by this hash: new versions of NumPy or pandas_streaming must not change them.
    assert drawn(0).hash(Path("/data")) == "0b5bd0a51670"


def test_a_class_with_two_groups_is_in_train_and_val_and_its_absence_from_test_is_said() -> None:
    manifest = people()
    rare = [("rare/0.jpg", "rare", "p1", ""), ("rare/1.jpg", "rare", "p2", "")]
    rows = [
        (path.removeprefix("/data/"), label, group, "")
        for path, label, group in manifest.table[["path", "label", "group"]].itertuples(index=False)
    ]
    for seed in range(2):
        split = split_by_group(manifest_of(rows + rare), seed=seed)
        assert set(split.table.loc[split.table["label"] == "rare", "split"]) == {"train", "val"}
        assert split.warnings == ("The test side has no picture of rare.",)


@pytest.mark.parametrize("seed", range(5))
def test_three_groups_a_class_are_enough_for_all_sides(seed: int) -> None:
    rows = [(f"{label}{i}.jpg", label, f"{label}{i}", "") for label in "abcd" for i in range(3)]
    split = split_by_group(manifest_of(rows), seed=seed)
    assert all(side.missing == () for side in split.summary())


@pytest.mark.parametrize("seed", range(5))
def test_rare_classes_that_share_people_are_repaired(seed: int) -> None:
    # Each class has two of five people in a chain: only 2 of 2**5 divisions have all on both sides.
    rows = [(f"{label}/{i}.jpg", label, f"p{i}", "") for k, label in enumerate("abcd") for i in (k, k + 1)]
    split = split_by_group(manifest_of(rows), seed=seed)
    for _, sides in split.table.groupby("label")["split"]:
        assert set(sides) == {"train", "val"}


def test_classes_that_cannot_all_be_shared_are_an_error() -> None:
    rows = [
        (f"{label}/{i}.jpg", label, f"p{i}", "")
        for label, pair in zip("abc", ((0, 1), (1, 2), (2, 0)), strict=True)
        for i in pair
    ]
    with pytest.raises(DataError, match="its 2 groups cannot stand on both train and val"):
        split_by_group(manifest_of(rows), seed=0)


def test_a_class_without_any_picture_is_only_warned_of() -> None:
    manifest = people()
    manifest = dataclasses.replace(manifest, classes=(*manifest.classes, "unseen"))
    assert split_by_group(manifest, seed=0).warnings == (
        "No picture at all of unseen: left out of the score unless answered, which counts as 0.",
    )


def with_sides(sides: dict[str, str]) -> Manifest:
    """People whose pictures the data put on sides, by the last digit of the person."""
    manifest = people()
    table = manifest.table.copy()
    table["split"] = [sides.get(group[-1], "train") for group in table["group"]]
    return dataclasses.replace(manifest, table=table)


def test_given_sides_are_kept() -> None:
    manifest = with_sides({"0": "val", "1": "test"})
    split = split_by_group(manifest, seed=0)
    assert list(split.table["split"]) == list(manifest.table["split"])
    assert split.method == "as the column split says (train, val, test)"


def test_a_side_that_is_not_given_is_cut_out_of_train_by_group() -> None:
    manifest = with_sides({"1": "test"})
    split = split_by_group(manifest, seed=0, val_share=0.25)
    given = manifest.table["split"] == "test"
    assert set(split.table.loc[given, "split"]) == {"test"}
    rest = split.table[~given]
    assert set(rest["split"]) == {"train", "val"}
    assert (rest["split"] == "val").mean() == pytest.approx(0.25, abs=0.03)
    assert (split.table.groupby("group")["split"].nunique() == 1).all()
    assert split.warnings == ("No val is given: cut out of train, and the rest is as the column split says.",)
    assert "as the column split says (train, test); of its train pictures by group" in split.method


def test_only_train_given_is_the_same_as_nothing_given() -> None:
    split = split_by_group(with_sides({}), seed=0)
    assert split.hash(Path("/data")) == drawn(0).hash(Path("/data"))
    assert split.warnings[0] == "No test or val is given: cut out of train, and the rest is as the column split says."


def test_a_group_on_two_given_sides_is_an_error_that_names_it() -> None:
    manifest = with_sides({"0": "val"})
    manifest.table.loc[manifest.table["group"] == "p10", "split"] = "train"
    manifest.table.loc[manifest.table["path"] == "/data/p10/0.jpg", "split"] = "val"
    with pytest.raises(DataError, match=r"the group 'p10' stands on two sides, val .* and train .*drop the column"):
        split_by_group(manifest, seed=0)


def test_given_sides_without_any_val_picture_to_cut_are_an_error() -> None:
    rows = [("a0.jpg", "a", "p0", "train"), ("b0.jpg", "b", "p1", "train")]
    rows += [("a1.jpg", "a", "p2", "test"), ("b1.jpg", "b", "p3", "test")]
    with pytest.raises(DataError, match="the val side has no picture"):
        split_by_group(manifest_of(rows), seed=0)


def test_a_class_that_given_sides_keep_apart_is_warned_of() -> None:
    rows = [(f"{label}{i}.jpg", label, f"{label}{i}", "val" if i == 0 else "train") for label in "ab" for i in range(4)]
    rows += [(f"c{i}.jpg", "c", f"c{i}", "train") for i in range(4)]
    split = split_by_group(manifest_of(rows), seed=0, test_share=0)
    assert "The val side has no picture of c." in split.warnings


def test_a_split_by_picture_lets_people_leak_and_says_so() -> None:
    manifest = people()
    split = split_by_group(manifest, seed=0, by="picture")
    person = manifest.table["group"]
    assert (split.table.groupby(person)["split"].nunique() > 1).sum() > 50
    assert split.table["group"].nunique() == len(manifest.table)
    assert shares(split) == pytest.approx({"train": 0.6, "val": 0.2, "test": 0.2}, abs=0.01)
    assert "flattering" in split.warnings[0]
    assert split.method.startswith("by picture")


@pytest.mark.parametrize("seed", range(40))
def test_groups_of_one_class_are_taken_as_the_library_takes_them(seed: int) -> None:
    rng = numpy.random.default_rng(seed)
    num_groups, num_classes = int(rng.integers(2, 60)), int(rng.integers(2, 12))
    drawn = rng.integers(num_classes, size=num_groups) ** 2 // num_classes  # many of the first, few of others
    groups, share = rng.permutation(num_groups), float(rng.choice([0.005, 0.1, 0.25, 0.5, 0.9]))
    labels = numpy.unique(drawn, return_inverse=True)[1]
    assert take_of_each_class(groups, labels, share).tolist() == take_apart(groups, labels, share).tolist()


def test_as_many_classes_as_pictures_take_no_table_of_both() -> None:
    number = 40_000  # of 12.8 GB, with an integer for each
    labels = [f"c{i // 2}" for i in range(number)]
    sides = divide(labels, [f"p{i}" for i in range(number)], seed=0, val_share=0.5, test_share=0)
    assert sides.count("val") == number // 2
    assert sides[::2] == ["train" if side == "val" else "val" for side in sides[1::2]]


def test_a_saved_split_reads_back_the_same_with_and_without_pandas(tmp_path: Path) -> None:
    rows = [(f'{label}/ä, "{i}".jpg', label, f"00{i}", "") for label in ("a,b", "NA", "1") for i in range(4)]
    split = split_by_group(manifest_of(rows), seed=0)
    path = tmp_path / "run" / "split.csv"
    split.save(path)
    assert path.read_bytes().startswith(b"path,label,group,split\n/data/a,b/") or path.read_bytes().startswith(
        b'path,label,group,split\n"/data/a,b/'
    )
    loaded = load_split(path)
    assert loaded.table.equals(split.table)
    assert loaded.hash(Path("/data")) == split.hash(Path("/data"))
    assert loaded.seed is None
    read = read_split(path)
    assert read[0] == SplitRow(*split.table.iloc[0])
    assert [row.path for row in read] == list(split.table["path"])
    split.save(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["split.csv"]


@pytest.mark.parametrize(
    "text",
    ["", "path,label,split\n", "path,label,group,split\na,b,c\n", "path,label,group,split\na,b,c,dev\n"],
)
def test_a_file_that_is_no_split_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"split\.csv"):
        read_split(path)


def test_workers_read_a_split_without_importing_pandas() -> None:
    code = "import sys; from trainables.data.rows import read_split; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_the_table_for_the_terminal_is_aligned() -> None:
    rows = [("a0.jpg", "a", "p0", "train"), ("b0.jpg", "b", "p1", "train"), ("a1.jpg", "a", "p2", "val")]
    rows += [(f"b{i}.jpg", "b", "p4", "train") for i in range(1, 1200)]
    text = render_split(split_by_group(manifest_of(rows), seed=0, test_share=0))
    assert text.splitlines() == [
        "side   pictures  share  groups  classes",
        "train     1,201  99.9%       3   2 of 2",
        "val           1   0.1%       1   1 of 2",
        "test          0   0.0%       0   0 of 2",
    ]
