"""Whether the average of several trials' weights is as good as the average of their answers.

    python scripts/benchmarks/soups.py runs/A runs/B ...

Takes finished searches whose weights are kept. Trials of one backbone start from the same pretrained weights, so that
their weights may be averaged into one network, a soup (Wortsman et al. 2022), which answers at the price of one. Which
trials go in is decided on validation, as an ensemble is: trials by their score, each kept if the soup does not become
worse by it. On the test side the soup stands beside its best trial alone and beside the mean answers of the same
trials. The test sides of the searches are looked at, so searches that are still to be judged by them are not for this.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import torch
import tyro
from torch import Tensor

from results.pages.markdown import render_markdown_table
from results.records.run_folder import RunFolder, load_run
from results.records.trials import TrialHistory, load_trials, score_of
from results.statistics.measure import MACRO_F1
from scripts.benchmarks.ensembles import mean_of_all
from scripts.benchmarks.per_hour import labels_of
from scripts.terminal import run_command
from trainables.checkpoints import BEST
from trainables.config import TaskConfig
from trainables.data.batches import Side, load_side
from trainables.errors import UserError
from trainables.saved.final_model import save_trained
from trainables.saved.predict import side_probabilities
from trainables.saved.saved_model import SavedModel, load_model


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare soups with ensembles of the same trials."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of finished searches that kept the weights of at least two trials of one backbone."""
    device: str = "cpu"
    """cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One search; scores are macro-F1 on its test side."""

    run: str
    trials: int
    """Of the best trial's backbone, with weights."""
    epochs: int
    """That the best of them trained."""
    best: float
    """Of the best trial alone."""
    two: float
    """Of the soup of the best two."""
    two_together: float
    """Of the mean answers of the best two."""
    chosen: float
    """Of the soup that validation chose."""
    members: int
    """Trials in it."""
    chosen_val: float
    """Gain over the best trial that it promised on validation."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and prints the table; a user's mistake is one message and exit code 2."""
    return run_command(Options, compare, args, prog="scripts/benchmarks/soups.py")


def compare(options: Options) -> None:
    """Judges every search and prints what came of it."""
    rows = []
    for path in options.runs:
        rows.append(judge(path, options.device))
        print(rows[-1], file=sys.stderr, flush=True)
    print(render(rows))


def judge(path: Path, device: str) -> Row:
    """One search on its validation and test people.

    Raises:
        UserError: The run kept too little to judge, or has no test side.
    """
    folder, run = RunFolder(path), load_run(path)
    task = replace(run.task, device=device)
    scored = [(score_of(best), trial) for trial in load_trials(path) if (best := trial.best) is not None]
    scored = [pair for pair in scored if (folder.checkpoints / pair[1].trial_id / BEST).is_file()]
    scored.sort(key=lambda pair: -pair[0])
    alike = [trial for _, trial in scored if _network(trial) == _network(scored[0][1])]
    if len(alike) < 2:
        raise UserError(f"{path}: it takes a search that kept the weights of two trials of one backbone")
    model, weights = _load(folder, task, alike)
    sides = {name: load_side(task, (name,), model.device) for name in ("val", "test")}
    labels = {name: labels_of(path, name) for name in sides}

    def answers(soup: Sequence[Mapping[str, Tensor]], side: str) -> np.ndarray:
        return _answers(model, soup, sides[side], task)

    def score(probabilities: np.ndarray, side: str) -> float:
        return MACRO_F1.score_of(labels[side], probabilities.argmax(1), len(task.classes))

    chosen = weights[:1]
    best_val = val = score(answers(chosen, "val"), "val")
    for each in weights[1:]:
        with_it = score(answers([*chosen, each], "val"), "val")
        if with_it >= val:
            chosen, val = [*chosen, each], with_it
    together = answers(weights[:1], "test") + answers(weights[1:2], "test")
    return Row(
        run=path.name,
        trials=len(alike),
        epochs=alike[0].reports[-1].epoch,
        best=score(answers(weights[:1], "test"), "test"),
        two=score(answers(weights[:2], "test"), "test"),
        two_together=score(together, "test"),
        chosen=score(answers(chosen, "test"), "test"),
        members=len(chosen),
        chosen_val=val - best_val,
    )


def _network(trial: TrialHistory) -> tuple[str, str]:
    """What has to be equal for weights to have the same places."""
    return trial.config.backbone, trial.config.formulation


def _load(
    folder: RunFolder, task: TaskConfig, trials: Sequence[TrialHistory]
) -> tuple[SavedModel, list[dict[str, Tensor]]]:
    """A model, and the weights and batch-norm statistics of each trial's best epoch that it can be given."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for trial in trials:
            save_trained(folder.checkpoints / trial.trial_id, trial.config, task, Path(scratch) / trial.trial_id, {})
            model = load_model(Path(scratch) / trial.trial_id, task.device)
            found.append({name: value.clone() for name, value in model.network.state_dict().items()})
    return model, found


def _answers(model: SavedModel, soup: Sequence[Mapping[str, Tensor]], side: Side, task: TaskConfig) -> np.ndarray:
    """Probabilities `(N, C)` of the mean of some weights."""
    model.network.load_state_dict(mean_weights(soup))
    return side_probabilities(model, side, task.batch_size)


def mean_weights(soup: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor of several networks; what is counted, such as batches, is that of the first."""
    return {
        name: torch.stack([each[name] for each in soup]).mean(0) if value.is_floating_point() else value
        for name, value in soup[0].items()
    }


def render(rows: Sequence[Row]) -> str:
    """A table, one row a search, and the mean differences to the best trial; ± is the standard error over searches."""
    head = (
        *("search", "trials of one backbone", "epochs of the best", "best alone", "two best: soup"),
        *("two best: mean answers", "chosen soup", "trials in it", "promised"),
    )
    cells = [
        (
            *(row.run, str(row.trials), str(row.epochs), f"{row.best:.3f}", f"{row.two:.3f}"),
            *(f"{row.two_together:.3f}", f"{row.chosen:.3f}", str(row.members), f"{row.chosen_val:+.3f}"),
        )
        for row in rows
    ]
    two, together = ([getattr(row, name) - row.best for row in rows] for name in ("two", "two_together"))
    chosen, promised = [row.chosen - row.best for row in rows], [row.chosen_val for row in rows]
    return (
        f"{render_markdown_table(head, cells)}\n\n{len(rows)} searches, against the best trial alone on test: soup of "
        f"the best two {mean_of_all(two)}, their mean answers {mean_of_all(together)}; the soup chosen on validation "
        f"{mean_of_all(chosen)}, where {mean_of_all(promised)} was promised, and which is more than the best trial in "
        f"{sum(row.members > 1 for row in rows)}."
    )


if __name__ == "__main__":
    sys.exit(main())
