from __future__ import annotations

import numpy as np
import pytest

from results.records.predictions import ColumnError, add_columns, answer_columns, index_column

PROBABILITIES = np.array([[0.4, 0.3, 0.3], [0.1, 0.1, 0.8]])
CLASSES = ("a", "b", "c")


def test_answers_stand_beside_the_rows_and_are_empty_where_there_is_none() -> None:
    added = answer_columns(CLASSES, PROBABILITIES, {"late": ("no", "yes", "yes")}, every_class=True)
    text = add_columns(("path", "note"), [("x", "1"), ("y", ""), ("z,z", "3")], ["/x", "/y", "/z"], ["/z", "/x"], added)
    assert text.splitlines() == [
        "path,note,answer,probability,answer_late,p_a,p_b,p_c",
        "x,1,c,0.800000,yes,0.100000,0.100000,0.800000",
        "y,,,,,,,",
        '"z,z",3,a,0.400000,yes,0.400000,0.300000,0.300000',
    ]


def test_a_column_is_replaced_only_where_that_is_wanted() -> None:
    added = {"ans": ["7"]}
    arguments = (("ImageID", "ans"), [("x", "0"), ("y", "0")], ["/x", "/y"], ["/x"], added)
    assert add_columns(*arguments, replaced="ans").splitlines() == ["ImageID,ans", "x,7", "y,"]
    with pytest.raises(ColumnError, match="a column 'ans' already"):
        add_columns(*arguments)


def test_an_index_is_the_place_in_the_given_order() -> None:
    assert index_column(CLASSES, PROBABILITIES, ("c", "x", "b", "a")) == ["3", "0"]
    with pytest.raises(ValueError, match="the model's class 'b' is none of the competition's 2"):
        index_column(CLASSES, PROBABILITIES, ("c", "a"))
