"""What is said at the end of a re-training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from results.records.retrained import RetrainedModel
from search.retraining import everyone
from search.retraining.summary import summarize
from tests.final_models import a_final


def said_of(result: RetrainedModel) -> str:
    retraining: Any = SimpleNamespace(study=SimpleNamespace(readme_path=Path("README.md")), folder=Path("retrained"))
    console = Console(width=500)
    console.quiet = False
    with console.capture() as said:
        summarize(retraining, result, "kept", console)
    return said.get()


def test_a_class_without_a_test_picture_is_said_to_count_where_it_was_answered() -> None:
    test = {**a_final().test, "missing": ["x", "y"], "missing_answers": {"x": 0, "y": 3}}
    words = "the test side has no picture of y (answered 3 times): it counts as 0 in macro-F1; x: left out of macro-F1"
    assert words in said_of(a_final(test=test))


def test_pictures_that_name_no_people_are_not_said_to_have_any() -> None:
    test = {**a_final().test, "groups": a_final().test["pictures"]}
    said = said_of(a_final(test=test, data={"groups": None}, times_scored=2))
    assert "on 70 pictures never seen" in said and "the interval is over pictures" in said
    assert "get an honest score on new pictures" in said
    assert "on 70 pictures of 10 groups never seen" in said_of(a_final())
    assert "new people" in said_of(a_final(times_scored=2))


def test_a_model_of_all_pictures_is_called_so(tmp_path: Path, monkeypatch: Any) -> None:
    trained: list[str] = []
    monkeypatch.setattr(everyone, "final_jobs", lambda *_: [])
    monkeypatch.setattr(everyone, "train_jobs", lambda _, jobs, where, *__: bool(trained.append(where)))
    anything: Any = SimpleNamespace()
    for data in ({"groups": None}, {"groups": 12}):
        assert not everyone.train_everyone(anything, anything, a_final(data=data), anything, anything)
    assert trained == ["all pictures, those of the test side too", "all people, those of the test side too"]
