"""What to train again, how often, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from search.flags import at_least, budget_seconds, help_default, refuse_path_as_name
from trainables.errors import UserError


@dataclass(frozen=True, kw_only=True)
class RetrainFlags:
    """What to train again, how often, and where."""

    space: Annotated[str | None, help_default("efficientnet")] = None
    """Search space whose record in results/best names the search (of several data sets: with --data); or
    path/to/file.py:function."""
    record: Annotated[Path | None, help_default("that of --space")] = None
    """Record of a search, such as results/best/efficientnet.json."""
    run: Annotated[str | None, help_default("that of the record")] = None
    """Name of a run under --storage."""
    parts: Annotated[Path | None, help_default("what the run has kept")] = None
    """The file of your own parts that the search had, where its run is not here."""
    trial: Annotated[str | None, help_default("the best of them")] = None
    """With a run: this trial alone, beside the default configuration."""
    pick: Annotated[str | None, help_default("what ranks best")] = None
    """A point of the Pareto front of a search with --objective f1,ms: its trial, or the best within a cost, as in ms=10
    or parameters=3M. It becomes the model, however the default configuration beside it ranks."""
    top_k: int = 3
    """Best trials of the search to rank again; the default configuration always comes along."""
    seeds: Annotated[int | None, help_default("3")] = None
    """Seeds to train each of them with; none may be that of the search."""
    folds: Annotated[int | None, help_default("seeds on the search's split")] = None
    """Rank over so many folds of train and val together instead, for small sets."""
    final_seeds: Annotated[int | None, help_default("as many as in the search's model")] = None
    """Seeds to train the final model with; the networks of several answer together, with their mean. By default as many
    as the search's model has trainings of one configuration, or as fit into --time-budget."""
    no_mirror: bool = False
    """Show the final model only the middle of each picture, which takes half the time, and not the mirror image of the
    whole picture as well. This is the default where the search had --no-mirror."""
    time_budget: Annotated[str | None, help_default("no limit")] = None
    """About the longest time of the whole command: seconds, or with s, m or h (15m). What there is no time for is left
    out: seeds first, then the candidates that the search ranked last, then final trainings. Seeds and final trainings
    for which there is time after all come back. What has begun is finished."""
    no_final: bool = False
    """Only rank; the test side is not touched and nothing is written into the README."""
    final_on: Literal["train-and-val", "all"] = "train-and-val"
    """all: after the honest score, train the pick once more on all pictures, those of the test side too, and save that
    model beside the honest one, in the folder everyone."""
    seed: Annotated[int | None, help_default("the search's, plus one")] = None
    """First of the seeds."""
    device: str = "auto"
    """auto, cpu or cuda."""
    weights: str = "auto"
    """Where the weights of the search are: auto, or a folder of <timm name>.safetensors."""

    def __post_init__(self) -> None:
        for name, low in (("top_k", 1), ("seeds", 1), ("final_seeds", 1), ("seed", 0)):
            at_least(name, getattr(self, name), low)
        refuse_path_as_name(self.run)
        if sum(value is not None for value in (self.space, self.record, self.run)) > 1:
            raise UserError("--space, --record and --run each name the search: give one of them")
        if self.seeds is not None and self.folds is not None:
            raise UserError("--seeds on the search's split or --folds of train and val: give one of them")
        if self.folds is not None and self.folds < 2:
            raise UserError(f"--folds is {self.folds}: it must be at least 2")
        if self.trial is not None and self.run is None and self.record is None:
            raise UserError("--trial names a trial of a run: say which by --run NAME")
        if self.pick is not None and self.trial is not None:
            raise UserError("--pick takes a point of the front, --trial any trial: give one of them")
        self.time_budget_seconds  # noqa: B018 - raises for a malformed one
        if self.no_final and self.final_on == "all":
            raise UserError("--final-on all trains a final model, --no-final none: give one of them")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UserError(f"--device is {self.device!r}: it must be auto, cpu or cuda (which: CUDA_VISIBLE_DEVICES)")

    @property
    def time_budget_seconds(self) -> float:
        """`time_budget` in seconds; infinite where there is none."""
        return budget_seconds(self.time_budget)
