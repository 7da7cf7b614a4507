"""What a report says of a re-training: who was ranked how, what was picked, and its score on people never seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.pages.cells import interval, three
from results.records.retrained import VALIDATED, RetrainedModel
from results.records.run_folder import RunFolder
from results.statistics.ranking import repeats_in_words
from trainables.metric_names import in_words
from trainables.saved.model_description import DESCRIPTION
from trainables.second_view import IN_WORDS
from trainables.strict_json import RecordError, load_object


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One row of the ranking, as it is read."""

    trial_id: str
    backbone: str
    search: str
    """Score that the search had given it."""
    mean: str
    std: str
    scores: str
    epoch: str
    picked: str
    """Words for the pick; empty for any other."""


def retrained_part(run_dir: Path) -> dict[str, Any]:
    """What `report_retrained.html.j2` shows; nothing for a run that was not re-trained."""
    nothing: dict[str, Any] = {"retrained": None, "retrained_words": [], "candidates": [], "retrained_problem": ""}
    path = RunFolder(run_dir).retrained.path / DESCRIPTION
    if not path.is_file():
        return nothing
    try:
        record = RetrainedModel.from_json(load_object(path)["record"], str(path))
        return {
            "retrained": record,
            "retrained_words": _words(record),
            "candidates": [_candidate(entry, record) for entry in record.best_first],
            "retrained_problem": "",
        }
    except (RecordError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        return {**nothing, "retrained_problem": f"{path} cannot be read ({type(error).__name__}: {error})."}


def _words(record: RetrainedModel) -> list[str]:
    test, metric = record.test, in_words(record.task.metric)
    other = f", {metric} {interval(test['score'])}" if "score" in test else ""
    how = repeats_in_words(record.seeds, record.folds)
    together = f", {record.networks} networks of as many seeds together" if record.networks > 1 else ""
    words = [
        f"Test macro-F1 {interval(test['macro_f1'])} (95% interval over {test['groups']:,} groups never seen, "
        f"{test['pictures']:,} pictures), accuracy {interval(test['accuracy'])}{other}: {record.trial_id}, "
        f"{record.config.backbone}, trained on train and val for {record.epochs} epochs{together}.",
        f"The default configuration has {metric} {interval(record.default_test)} on the same people, a difference of "
        f"{_signed(record.difference)}. Verdict: {record.verdict}.",
        f"Validation had said {metric} {three(record.val_macro_f1)} over {how}"
        + (
            f": it flattered by {three(record.gap)}."
            if record.is_tested_as_validated
            else f", which is of {VALIDATED}."
        ),
    ]
    if record.second_view:
        other = IN_WORDS[record.second_view]
        words.insert(1, f"The model answers to the middle of each picture and to {other}, with the mean of both.")
    if record.out_of_fold is not None:
        words.append(f"Out of fold, over all train and val people: {metric} {interval(record.out_of_fold)}.")
    if missing := test["missing"]:
        words.append(f"Classes without a test picture, which the score says nothing of: {', '.join(missing)}.")
    if record.times_scored > 1:
        words.append(
            f"{record.times_scored} different models have been scored on this test side by now: the more there "
            "are, the more the best of them is flattered."
        )
    return words


def _candidate(entry: Mapping[str, Any], record: RetrainedModel) -> Candidate:
    searched = entry.get("search")
    return Candidate(
        trial_id=str(entry["trial_id"]),
        backbone=str(entry["backbone"]),
        search="not in the search" if searched is None else three(searched),
        mean=three(entry["mean"]),
        std=three(entry["std"]),
        scores=", ".join(map(three, entry["scores"])),
        epoch=str(entry["epoch"]),
        picked=f"picked{' for its cost' * record.picked_for_cost}" if entry["trial_id"] == record.trial_id else "",
    )


def _signed(score: Mapping[str, float | None]) -> str:
    sign = "+" if score["value"] is not None and score["value"] >= 0 else ""
    return sign + interval(score)
