"""What a search found, as its end judged it: `runs/<name>/found.json`, which the report and the record read.

It says what the best validation score is worth, and which trials answer together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from results.records.run_folder import RunFolder
from trainables.saved.model_description import DESCRIPTION
from trainables.second_view import NONE, with_second_view
from trainables.strict_json import RecordError, load_object, save_object

AS_FAST = 1.05
"""Times the time of the best trial alone up to which a model is called as fast."""
MODEL_OF_BEFORE = "an earlier one, as the one found last has not been saved"
"""What is said of a model that is not what was found (`is_model_of`)."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The best trial's score without flattery, and the model that was put together."""

    trial_id: str
    """The best trial."""
    val_interval: dict[str, Any] | None
    """Its validation score, with the 95% interval over people; None where its answers were not kept."""
    val_corrected: dict[str, Any] | None
    """The same for having picked the best trial and epoch: chosen on other people than those it is scored on."""
    people: int
    """Groups of the validation side."""
    trials: int
    """Trials among which the best was picked."""
    epochs: int
    """Epochs of them all."""
    members: Sequence[Mapping[str, Any]]
    """`trial_id`, `backbone`, `share` and `val_score` of each trial that answers, the largest share first; none
    where no weights were kept."""
    selection: Mapping[str, Any] | None
    """What cross-fitting said (`results.statistics.ensemble.Selection`); None where no answers were kept."""
    model_bytes: int
    """Weights of all members on disk."""
    time_factor: float
    """How many times as long the members take as the best of them alone, asked once for each picture, by the speed they
    trained at."""
    second_view: str = NONE
    """What they answer to beside the middle of a picture, as in `trainables.second_view`."""
    chosen_among: str = ""
    """What the model could be made of, where limits or a second objective narrowed that; else empty."""
    refit_epochs: Mapping[str, int] = field(default_factory=dict)
    """By trial_id, for how many epochs a member was trained further, with the validation pictures as well, after all
    scores."""

    def to_json(self) -> dict[str, Any]:
        """As strict JSON values."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Writes it, whole or not at all."""
        save_object(path, self.to_json())

    @property
    def takes_longer(self) -> bool:
        """Whether it answers so much more slowly than the best trial alone, asked once, that it is worth a word."""
        return self.time_factor > AS_FAST

    @property
    def refit_in_words(self) -> str:
        """For how long it was trained on after all scores; empty where it was not."""
        if not self.refit_epochs:
            return ""
        least, most = min(self.refit_epochs.values()), max(self.refit_epochs.values())
        epochs = f"{least} to {most}" if least < most else f"{most}"
        plural = "s" * (most > 1)
        trained, members = len(self.refit_epochs), len(self.members)
        were = "was" if trained == 1 else "were"
        several = "Its networks were" if trained == members else f"{trained} of its {members} networks {were}"
        who = several if members > 1 else "It was"
        return f"{who} then trained further, with the validation pictures as well, for {epochs} epoch{plural}"

    @property
    def tau(self) -> float:
        """Power of the prior in the decision rule; 0 where there is none."""
        return float(self.selection["tau"]) if self.selection else 0.0


def load_found(path: Path) -> Found | None:
    """Reads what `save` wrote; None where a run has none, as runs from before there was this, or which were killed.

    Raises:
        RecordError: The file is corrupt; names it.
    """
    if not path.is_file():
        return None
    values = with_second_view(load_object(path))
    since = {"chosen_among", "second_view", "refit_epochs"}  # not in what was written before
    if values.keys() | since != {each.name for each in fields(Found)}:
        raise RecordError(f"{path} is not what a search found: delete it, and go on with the search to write it again")
    return Found(**values)


def found_before(folder: RunFolder) -> Found | None:
    """What the last end of a search found; None where it has not ended yet, or that cannot be read."""
    try:
        return load_found(folder.found_json)
    except (RecordError, OSError):
        return None


def is_model_of(found: Found, folder: RunFolder) -> bool:
    """Whether the model in the folder of a run is what was found: these members, trained on for as long, asked so.

    It is not where a kill came before it was saved, or where it could not be saved: then it is that of before, or none.
    """
    try:
        record = load_object(folder.model / DESCRIPTION)["record"]
        return _what_answers(with_second_view(record)) == _what_answers(found.to_json())
    except (RecordError, OSError, KeyError, TypeError, ValueError, AttributeError):  # a file that somebody has changed
        return False


def _what_answers(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Of what was found that which a model follows from, and not what else its trials were judged to be worth."""
    selection, refit_epochs = values["selection"] or {}, values.get("refit_epochs") or {}
    members = [dict(member) for member in values["members"]]
    return members, selection.get("tau") or 0.0, values.get("second_view") or NONE, dict(refit_epochs)
