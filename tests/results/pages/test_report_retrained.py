"""What a report says in words of a re-training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from results.pages.report_retrained import retrained_part
from tests.final_models import a_final


def words_of(tmp_path: Path, **changes: Any) -> str:
    (tmp_path / "retrained").mkdir(exist_ok=True)
    path = tmp_path / "retrained" / "model.json"
    entry = {**a_final().ranking[0], "scores": [0.7]}
    path.write_text(json.dumps({"record": a_final(ranking=[entry], **changes).to_json()}))
    return " ".join(retrained_part(tmp_path)["retrained_words"])


def test_pictures_that_name_no_people_are_not_said_to_have_any(tmp_path: Path) -> None:
    by_picture = words_of(tmp_path, data={"groups": None}, out_of_fold=a_final().default_test)
    assert "(95% interval over 70 pictures never seen)" in by_picture
    assert "on the same pictures" in by_picture and "over all pictures of train and val" in by_picture
    assert "people" not in by_picture and "groups" not in by_picture
    by_group = words_of(tmp_path, data={"groups": 12})
    assert "(95% interval over 10 groups never seen, 70 pictures)" in by_group and "on the same people" in by_group


def test_a_validation_score_below_the_test_is_not_said_to_flatter(tmp_path: Path) -> None:
    assert "it flattered by .050." in words_of(tmp_path)
    assert ": it was .066 lower than the test." in words_of(tmp_path, gap=-0.066)


def test_classes_without_a_test_picture_are_said_with_their_answers(tmp_path: Path) -> None:
    test = {**a_final().test, "missing": ["x", "y"], "missing_answers": {"x": 0, "y": 3}}
    said = "Classes without a test picture: y (answered 3 times): it counts as 0 in macro-F1; x: left out of macro-F1."
    assert said in words_of(tmp_path, test=test)
    assert "without a test picture: x, y." in words_of(tmp_path, test={**a_final().test, "missing": ["x", "y"]})
