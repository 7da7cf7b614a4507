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
    test, metric, units = record.test, in_words(record.task.metric), record.units
    other = f", {metric} {interval(test['score'])}" if "score" in test else ""
    how = repeats_in_words(record.seeds, record.folds)
    together = f", {record.networks} networks of as many seeds together" if record.networks > 1 else ""
    over = f"{test['pictures']:,} pictures never seen"
    if units == "people":
        over = f"{test['groups']:,} groups never seen, {test['pictures']:,} pictures"
    words = [
        f"Test macro-F1 {interval(test['macro_f1'])} (95% interval over {over}), accuracy "
        f"{interval(test['accuracy'])}{other}: {record.trial_id}, {record.config.backbone}, trained on train and val "
        f"for {record.epochs} epochs{together}.",
        f"The default configuration has {metric} {interval(record.default_test)} on the same {units}, a difference of "
        f"{_signed(record.difference)}. Verdict: {record.verdict}.",
        f"Validation had said {metric} {three(record.val_macro_f1)} over {how}"
        + (f": {_flattery(record.gap)}." if record.is_tested_as_validated else f", which is of {VALIDATED}."),
    ]
    if record.second_view:
        other = IN_WORDS[record.second_view]
        words.insert(1, f"The model answers to the middle of each picture and to {other}, with the mean of both.")
    if record.out_of_fold is not None:
        words.append(f"Out of fold, over all {units} of train and val: {metric} {interval(record.out_of_fold)}.")
    if test["missing"]:
        words.append(f"Classes without a test picture: {record.missing_in_words}.")
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


def _flattery(gap: float) -> str:
    """How far validation was from the test, of which it is the one or the other side."""
    return f"it flattered by {three(gap)}" if gap > 0 else f"it was {three(-gap)} lower than the test"


def _signed(score: Mapping[str, float | None]) -> str:
    sign = "+" if score["value"] is not None and score["value"] >= 0 else ""
    return sign + interval(score)
