"""The record of a re-training: read back as it was written, refused where it is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from results.records.retrained import load_retrained
from tests.final_models import a_final
from trainables.strict_json import RecordError


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    a_final().save(path)
    assert load_retrained(path) == a_final()


def test_a_record_with_folds_keeps_the_score_out_of_fold(tmp_path: Path) -> None:
    final = a_final(folds=5, out_of_fold={"value": 0.6, "low": None, "high": None})
    final.save(tmp_path / "toy.json")
    assert load_retrained(tmp_path / "toy.json") == final


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            {"a": 3, "b": 0, "c": 1},
            "a (answered 3 times), c (answered once): each counts as 0 in macro-F1; b: left out",
        ),
        ({"a": 0, "b": 2, "c": 0}, "b (answered 2 times): it counts as 0 in macro-F1; a, c: left out of macro-F1"),
        ({"a": 0, "b": 0, "c": 0}, "a, b, c: left out of macro-F1"),
        (None, "a, b, c"),
    ],
)
def test_a_class_without_a_test_picture_is_left_out_only_where_it_is_never_answered(
    answers: dict[str, int] | None, words: str
) -> None:
    counted = {} if answers is None else {"missing_answers": answers}
    said = a_final(test={**a_final().test, "missing": ["a", "b", "c"], **counted}).missing_in_words
    assert said.startswith(words) and ("macro-F1" in said) == (answers is not None)
    assert a_final().missing_in_words == ""


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("gap", "wide", "gap is 'wide', it must be float"),
        ("date", "yesterday", "date is 'yesterday': it must be an ISO 8601"),
        ("test", {"macro_f1": {}}, "test has no accuracy, loss, pictures, groups, missing"),
        ("config", {"dropout": 0.1}, "config: missing key 'backbone'"),
        ("space", "../up", "space is '../up': it names a file"),
    ],
)
def test_a_broken_record_is_refused_by_key_and_file(tmp_path: Path, key: str, value: object, words: str) -> None:
    path = tmp_path / "toy.json"
    path.write_text(json.dumps({**a_final().to_json(), key: value}))
    with pytest.raises(RecordError) as caught:
        load_retrained(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
