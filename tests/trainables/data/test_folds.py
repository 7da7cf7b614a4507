"""Folds: every person validates once, nobody is on two sides, the test side stays untouched."""

from __future__ import annotations

import pandas
import pytest

from trainables.data.folds import split_into_folds
from trainables.data.split import Split
from trainables.errors import UserError


@pytest.fixture
def split() -> Split:
    rows = [
        (f"/p/{person}-{number}.jpg", f"class{(person + number) % 3}", f"p{person:02}", side)
        for person in range(30)
        for side in ["test" if person < 6 else "val" if person < 12 else "train"]
        for number in range(4)
    ]
    return Split(pandas.DataFrame(rows, columns=["path", "label", "group", "split"]), 0, "made here")


def test_every_group_validates_once_and_the_test_side_stays(split: Split) -> None:
    folds = split_into_folds(split, 4, seed=1)
    validated = [set(fold.table.loc[fold.table["split"] == "val", "group"]) for fold in folds]
    people = set(split.table.loc[split.table["split"] != "test", "group"])
    assert set.union(*validated) == people
    assert sum(map(len, validated)) == len(people)
    for fold in folds:
        sides = fold.table.groupby("group")["split"].nunique()
        assert sides.max() == 1
        assert set(fold.table.loc[fold.table["split"] == "test", "group"]) == {f"p{person:02}" for person in range(6)}


def test_every_fold_validates_on_every_class(split: Split) -> None:
    for fold in split_into_folds(split, 4, seed=1):
        assert set(fold.table.loc[fold.table["split"] == "val", "label"]) == {"class0", "class1", "class2"}


def test_the_folds_follow_from_the_seed_alone_whatever_the_order_of_the_rows(split: Split) -> None:
    shuffled = Split(split.table.sample(frac=1, random_state=3), 0, "shuffled")
    for one, other in zip(split_into_folds(split, 3, 7), split_into_folds(shuffled, 3, 7), strict=True):
        assert one.table.equals(other.table)
    different = [
        one.table.equals(other.table)
        for one, other in zip(split_into_folds(split, 3, 7), split_into_folds(split, 3, 8), strict=True)
    ]
    assert not all(different)


@pytest.mark.parametrize("num_folds", [1, 25])
def test_too_few_groups_for_the_folds_are_an_error_that_names_the_flag(split: Split, num_folds: int) -> None:
    with pytest.raises(ValueError, match=f"--folds is {num_folds}: it must be between 2 and the 24 groups"):
        split_into_folds(split, num_folds, 0)


def test_folds_that_no_class_has_pictures_for_are_an_error_that_names_the_flag(split: Split) -> None:
    few = split.table.assign(label=[f"class{number // 3}" for number in range(len(split.table))])
    with pytest.raises(UserError, match="--folds is 5: it must be between 2 and the 3 pictures of the largest class"):
        split_into_folds(Split(few, 0, "made here"), 5, 0)
