"""The final models of a re-training: what they may answer to, what goes when another pick comes, and their record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest

from results.records.retrained import RetrainedModel
from results.statistics.ranking import Ranked
from search.cost_flags import CostFlags
from search.retraining import finals
from search.retraining.plan import Retraining, final_jobs
from search.retraining.replaced import EVERYONE
from search.study import AskedStudy
from tests.saved_models import save_network
from tests.search.retraining.test_durations import a_retraining
from trainables.saved import final_model
from trainables.saved.model_description import DESCRIPTION, ModelDescription, read_description
from trainables.second_view import MIRRORED_WHOLE, NONE

NAMES = ("model.json", "model.safetensors")


def a_scored_retraining(folder: Path) -> Retraining:
    """Three candidates and the default, two people on each side."""
    retraining = a_retraining()
    rows = [(f"{number}.png", "xy"[number % 2], f"p{number}") for number in range(4)]
    table = pandas.DataFrame(rows, columns=["path", "label", "group"]).assign(split=["train", "val", "test", "test"])
    split: Any = SimpleNamespace(table=table)
    source: Any = SimpleNamespace(
        **vars(retraining.source),
        name="a",
        space="toy",
        study=AskedStudy(),
        default=retraining.control.config,
        facts={},
        split_hash="f00",
        weights={},
    )
    return replace(
        retraining,
        source=source,
        folder=folder / "retrained",
        split=split,
        study=replace(retraining.study, records_dir=folder / "results" / "best"),
        task=replace(retraining.task, classes=("x", "y")),
    )


def scored(
    retraining: Retraining, ranking: Sequence[Ranked], monkeypatch: pytest.MonkeyPatch, seed: int = 0, view: str = NONE
) -> RetrainedModel:
    """Scores the first of a ranking, whose weights are made up by a seed."""

    def save_final(_: object, jobs: Sequence[Any], folder: Path, record: Any) -> ModelDescription:
        save_network(folder, classes=("x", "y"), seed=seed, record=record)
        described = replace(read_description(folder / DESCRIPTION), second_view=view)
        (folder / DESCRIPTION).write_text(described.to_json())
        return described

    monkeypatch.setattr(finals, "save_final", save_final)
    monkeypatch.setattr(final_model, "answer_side", lambda *_: np.full((2, 2), 0.5, np.float32))
    return finals.score_finals(retraining, ranking, [final_jobs(retraining, ranking[0])])


def test_a_model_of_all_people_and_what_was_derived_go_with_the_pick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same pick that goes on, or is scored again, takes nothing away."""
    retraining = a_scored_retraining(tmp_path)
    ranking = [Ranked(candidate, 3, (0.5,)) for candidate in retraining.candidates]
    scored(retraining, ranking, monkeypatch)
    folder = retraining.folder
    save_network(folder / EVERYONE, record={"trial_id": "00000"})

    def left() -> list[str]:
        return sorted(path.name for path in folder.iterdir() if path.name not in NAMES)

    (folder / "model.onnx").touch()
    scored(retraining, ranking, monkeypatch)
    assert left() == ["everyone", "model.onnx", "test_predictions.csv"]
    scored(retraining, ranking, monkeypatch, seed=1)
    assert left() == ["everyone", "test_predictions.csv"], "the same pick with other weights"
    scored(retraining, ranking[1:], monkeypatch, seed=2)
    assert left() == ["test_predictions.csv"]


def test_what_was_made_with_a_model_goes_where_the_same_weights_answer_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retraining = a_scored_retraining(tmp_path)
    ranking = [Ranked(candidate, 3, (0.5,)) for candidate in retraining.candidates]
    made = [retraining.folder / name for name in ("model.onnx", "evaluation", "evaluation-2")]
    scored(retraining, ranking, monkeypatch)
    made[0].touch()
    made[1].mkdir()
    made[2].mkdir()
    scored(retraining, ranking, monkeypatch)
    assert all(path.exists() for path in made)
    scored(retraining, ranking, monkeypatch, view=MIRRORED_WHOLE)
    assert not any(path.exists() for path in made)


def test_a_kill_behind_the_pick_leaves_nothing_that_was_made_with_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retraining = a_scored_retraining(tmp_path)
    ranking = [Ranked(candidate, 3, (0.5,)) for candidate in retraining.candidates]
    scored(retraining, ranking, monkeypatch)
    (retraining.folder / "model.onnx").touch()

    def save_final(_: object, jobs: Sequence[Any], folder: Path, record: Any) -> ModelDescription:
        if folder.name == finals.CONTROL:
            raise KeyboardInterrupt
        save_network(folder, classes=("x", "y"), seed=1, record=record)
        return read_description(folder / DESCRIPTION)

    monkeypatch.setattr(finals, "save_final", save_final)
    with pytest.raises(KeyboardInterrupt):
        finals.score_finals(retraining, ranking, [final_jobs(retraining, one) for one in ranking[:2]])
    assert not (retraining.folder / "model.onnx").exists()


def test_the_record_of_a_pick_that_ranks_below_another_has_the_best_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retraining = a_scored_retraining(tmp_path)
    scores = (0.5, 0.4, 0.6, 0.8)
    ranking = [Ranked(candidate, 3, (score,)) for candidate, score in zip(retraining.candidates, scores, strict=True)]
    record = scored(retraining, ranking, monkeypatch)
    assert record.trial_id == "00000" and record.val_macro_f1 == 0.5
    assert [entry["trial_id"] for entry in record.ranking] == ["default", "00002", "00000", "00001"]
    assert record.picked_for_cost
    assert read_description(retraining.folder / DESCRIPTION).record["ranking"] == record.ranking


@pytest.mark.parametrize(("cost", "view"), [({"max_ms": 9.0}, NONE), ({"max_parameters": "1M"}, MIRRORED_WHOLE)])
def test_a_final_model_keeps_to_the_limits_of_a_search_whose_record_alone_is_left(
    cost: dict[str, Any], view: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(final_model, "save_trained", lambda *_, second_view: asked.append(second_view))
    retraining = a_scored_retraining(tmp_path)
    source: Any = retraining.source
    source.run, source.study = None, AskedStudy(cost=CostFlags(**cost))
    jobs = final_jobs(retraining, Ranked(retraining.candidates[0], 3, (0.5,)))
    finals.save_final(retraining, jobs, tmp_path, {})
    assert asked == [view]
