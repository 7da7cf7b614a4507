"""What re-training found: `RetrainedModel`, committed as `results/retrained/<space>.json` beside the best trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from results.records.record import (
    LOCAL_FIELDS,
    BestTrial,
    RecordError,
    check_date,
    check_space,
    fields_json,
    task_config,
    task_json,
    trial_config,
    units_of,
)
from trainables.config import TaskConfig, TrialConfig
from trainables.second_view import NONE, with_second_view
from trainables.strict_json import check_fields, load_object, save_object

SCORES = ("macro_f1", "accuracy", "loss")
"""Keys of `RetrainedModel.test` that hold an interval: `value`, `low`, `high`, the last two null with one group."""


VALIDATED = "single networks that are asked for the middle of each picture alone"
"""What validation scores, whatever the model is made of."""


@dataclass(frozen=True, kw_only=True)
class RetrainedModel:
    """The pick of a re-ranking, trained on train and val people and scored on people it has never seen.

    Raises:
        RecordError: A value is malformed.
    """

    run: str
    """Name of the search."""
    space: str
    """Name of the search space."""
    date: str
    """When it was scored: ISO 8601 with offset."""
    trial_id: str
    """The trial of the search that was picked, or `default`."""
    config: TrialConfig
    """What was picked."""
    is_default: bool
    """Whether the pick is the default configuration itself."""
    epochs: int
    """Epochs of the final training, on a schedule that spans those of the task."""
    task: TaskConfig
    """The final training's task, without paths."""
    seeds: list[int]
    """Seeds of the re-ranking; the final training has the first."""
    folds: int | None
    """Folds of the re-ranking; None where it was several seeds on one validation side."""
    ranking: list[dict[str, Any]]
    """Every candidate, best first: `trial_id`, `backbone`, `search` (the search's score or null), `scores` (one a
    seed or fold at the best epoch of their mean), `mean`, `std`, `epoch`."""
    val_macro_f1: float
    """The pick's score by the metric of the search: the mean over seeds or folds at the epoch where it is highest."""
    out_of_fold: dict[str, float | None] | None
    """With folds, the score over the answers to all train and val people, each by a network that had not seen them:
    `value`, `low`, `high`."""
    test: dict[str, Any]
    """On the test side: `SCORES`; `score`, where the search had another metric; `pictures`, `groups` and `missing`, the
    classes that have no picture there; and `missing_answers`, how often each of these was answered, which records from
    before it was counted lack."""
    gap: float
    """`val_macro_f1` less the test side's score: how much the validation score flattered."""
    default_test: dict[str, float | None]
    """The default configuration's score on the test side: `value`, `low`, `high`."""
    difference: dict[str, float | None]
    """The pick's score less the default's on the same test people: `value`, `low`, `high`."""
    verdict: str
    """That difference in words."""
    test_side: str
    """Hash of the test side: equal for the same pictures with the same labels and groups."""
    times_scored: int
    """How many different models of ours had been scored on this test side by then, this one included."""
    data: dict[str, Any]
    """The pictures, as in `SearchRun.data`, without paths."""
    split_hash: str
    """Hash of the search's split."""
    weights: str
    """Where the weights that it started from come from, in words."""
    weights_sha256: str
    """Hash of the file of the trained weights."""
    wall_seconds: float
    """Time of the re-ranking and the final trainings, pauses left out."""
    device_seconds: float
    """Time of all their epochs, added up."""
    versions: dict[str, str]
    """Versions of Python and the libraries that matter."""
    commit: str | None
    """Commit of the code, with +dirty if the tree had changes; None outside a repository."""
    hardware: str
    """The machine in words."""
    networks: int = 1
    """Networks of the model, one a seed from the first on, whose answers are averaged."""
    second_view: str = NONE
    """What the model answers to beside the middle of a picture, as in `trainables.second_view`."""
    images_trained: int | None = None
    """Pictures that went through the networks to train them; None in records from before it was counted."""
    energy_joules: float | None = None
    """Energy of the GPUs in those epochs, as in `BestTrial`."""

    def __post_init__(self) -> None:
        check_space(self.space)
        check_date("date", self.date)
        missing = [name for name in (*SCORES, "pictures", "groups", "missing") if name not in self.test]
        if missing:
            raise RecordError(f"test has no {', '.join(missing)}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str = "RetrainedModel") -> RetrainedModel:
        """Reads strict JSON values; `where` names their file in an error.

        Raises:
            RecordError: A key is unknown or missing, or a value is of the wrong type or out of its range.
        """
        values = with_second_view(values)
        check_fields(cls, values, where, older=True)
        task = task_config(values["task"], f"{where}: task", without=LOCAL_FIELDS)
        config = trial_config(values["config"], f"{where}: config")
        try:
            return cls(**{**values, "config": config, "task": task})
        except ValueError as error:
            raise RecordError(f"{where}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """The record as strict JSON values."""
        return {
            **fields_json(self),
            "config": asdict(self.config),
            "task": task_json(self.task, without=LOCAL_FIELDS),
        }

    def save(self, path: Path) -> None:
        """Writes the record, whole or not at all."""
        save_object(path, self.to_json())

    @property
    def best_first(self) -> list[dict[str, Any]]:
        """The ranking by its means, wherever the pick stands in it."""
        return sorted(self.ranking, key=lambda entry: -entry["mean"])

    @property
    def is_tested_as_validated(self) -> bool:
        """Whether the test asked the model what validation asked: one network, for the middle of each picture alone."""
        return self.networks == 1 and not self.second_view

    @property
    def units(self) -> str:
        """`units_of` its pictures."""
        return units_of(self.data)

    @property
    def missing_in_words(self) -> str:
        """The classes without a test picture, and what macro-F1 makes of them; empty where there are none.

        It is over the classes in truth or answers: one that is answered though no picture shows it counts as 0.
        """
        missing, answers = self.test["missing"], self.test.get("missing_answers")
        if answers is None:  # nobody knows what became of them
            return ", ".join(missing)
        wrong = [f"{name} (answered {_times(answers[name])})" for name in missing if answers.get(name)]
        left_out = [name for name in missing if not answers.get(name)]
        counts = "each counts" if len(wrong) > 1 else "it counts"
        parts = ((wrong, f"{counts} as 0 in macro-F1"), (left_out, "left out of macro-F1"))
        return "; ".join(f"{', '.join(names)}: {what}" for names, what in parts if names)

    @property
    def picked_for_cost(self) -> bool:
        """Whether another candidate ranks above the pick: a point of a front, or what alone is within a limit."""
        own = [entry["mean"] for entry in self.ranking if entry["trial_id"] == self.trial_id]
        return any(entry["mean"] > mean for entry in self.ranking for mean in own)

    @property
    def pick_in_words(self) -> str:
        """Trial and backbone of the pick, and that it was picked for its cost where another ranks above it."""
        words = f"{self.trial_id}, {self.config.backbone}"
        return f"{words} (for its cost, not its rank)" if self.picked_for_cost else words

    def is_of(self, record: BestTrial) -> bool:
        """Whether that search was re-trained, not one of the same name on another split, or begun later."""
        same = (self.space, self.run, self.split_hash) == (record.space, record.run, record.split_hash)
        return same and datetime.fromisoformat(self.date) >= datetime.fromisoformat(record.date)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def load_retrained(path: Path) -> RetrainedModel:
    """Reads a record that `RetrainedModel.save` wrote.

    Raises:
        RecordError: The file is corrupt; names it and the key.
        OSError: It cannot be read.
    """
    return RetrainedModel.from_json(load_object(path), str(path))


def retrained_of(record: BestTrial, retrained: Sequence[RetrainedModel]) -> RetrainedModel | None:
    """What the last re-training of a record's search came to; None where it is none of these."""
    own = [model for model in retrained if model.is_of(record)]
    return max(own, key=lambda model: datetime.fromisoformat(model.date), default=None)
