"""Grouped, stratified folds over the train and validation people, for sets too small for one validation side."""

from __future__ import annotations

import numpy as np
import pandas
from sklearn.model_selection import StratifiedGroupKFold

from trainables.data.split import Split
from trainables.errors import UserError


def split_into_folds(split: Split, num_folds: int, seed: int) -> list[Split]:
    """One split a fold: its people validate, the others train, the test side stays as it is.

    Every picture of train and val is validated on in exactly one fold, no group is on two sides, and classes are
    spread as evenly as the groups allow (scikit-learn's StratifiedGroupKFold). The same seed gives the same folds
    whatever the order of the rows.

    Raises:
        UserError: There are fewer groups than folds, or pictures of the largest class; or fewer than two folds.
    """
    table = split.table.sort_values("path", ignore_index=True)
    places = np.flatnonzero(table["split"].isin(["train", "val"]))
    rows = table.iloc[places]
    num_groups = rows["group"].nunique()
    largest = int(rows["label"].value_counts().max())
    if not 2 <= num_folds <= min(num_groups, largest):
        bound = f"{num_groups} groups of" if num_groups <= largest else f"{largest} pictures of the largest class in"
        raise UserError(f"--folds is {num_folds}: it must be between 2 and the {bound} train and val")
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    splits = []
    for number, (_, held_out) in enumerate(folds.split(rows, _codes(rows["label"]), _codes(rows["group"]))):
        side = table["split"].copy()
        side.iloc[places] = "train"
        side.iloc[places[held_out]] = "val"
        splits.append(Split(table.assign(split=side), seed, f"fold {number} of {num_folds}, seed {seed}"))
    return splits


def _codes(names: pandas.Series) -> np.ndarray:
    return pandas.factorize(names, sort=True)[0]
