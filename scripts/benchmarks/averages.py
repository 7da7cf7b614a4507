"""How far back averaged weights had better reach, on pictures that chose nothing.

    python scripts/benchmarks/averages.py runs/A runs/B --epochs 40 --seeds 31 32 --out averages

Takes searches for their pictures, sides and default configuration; one of a trial and an epoch is enough. That is
trained on the training side, and several averages are taken of its weights meanwhile: of a length that grows with a
power of the steps, and of a share of the steps so far. After every second epoch each is scored on the test side, as a
model that answers to two views, and compared with the first. As all are of one training, little of its luck is in a
difference. The test sides are looked at, so searches that are still to be judged by them are not for this. What has
been trained is kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro

from results.pages.markdown import render_markdown_table
from results.records.run_folder import load_run
from results.statistics.measure import MACRO_F1
from scripts.benchmarks.ensembles import mean_of_all
from scripts.benchmarks.per_hour import labels_of
from scripts.terminal import run_command
from search.flags import at_least
from trainables.atomic import write_whole
from trainables.config import TrialConfig
from trainables.errors import UserError

if TYPE_CHECKING:
    from torch import nn

PHASES = {"epochs 6 to 10": (6, 10), "12 to 20": (12, 20), "22 and later": (22, 10**9)}


@dataclass(frozen=True)
class Average:
    """Weights of which the latest count for most: a decay of 1 - (1 + step / gamma)^-power, up to `most`."""

    words: str
    gamma: float
    power: float
    most: float


AVERAGES = (
    Average("steps^(2/3), 500 at most", 1, 2 / 3, 0.998),
    Average("steps^.75", 1, 0.75, 0.9999),
    Average("steps^.85", 1, 0.85, 0.9999),
    Average("a third of the steps, 2,000 at most", 3, 1.0, 0.9995),
    Average("a fifth of the steps", 5, 1.0, 0.9999),
)
"""Each by the number of steps that it reaches back over; the first is what the others are compared with."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare averages of the weights of one training on test."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of searches, each of pictures of its own."""
    seeds: tuple[int, ...] = (31, 32)
    """Of the trainings; the sides stay those of the search."""
    epochs: int = 40
    out: Path
    """Name of the files, without an ending: `<out>.json` keeps what was measured, `<out>.md` is the table."""

    def __post_init__(self) -> None:
        at_least("epochs", self.epochs, 6)
        if len({path.name for path in self.runs}) < len(self.runs):
            raise UserError("two of the runs have one name, and a training is kept by its run's name")


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the averages of one training scored on test, `scores[epoch][average]`."""

    run: str
    seed: int
    scores: dict[int, tuple[float, ...]]

    def differences(self, average: int, first: int, last: int) -> list[float]:
        """Of an average to the first one, in the epochs of a phase."""
        return [each[average] - each[0] for epoch, each in self.scores.items() if first <= epoch <= last]


class Averages:
    """Several averages of one network's weights, in the place of the one that a training has."""

    def __init__(self, model: nn.Module, averages: Sequence[Average] = AVERAGES) -> None:
        """Begins each with the weights as they are."""
        from timm.utils import ModelEmaV3

        self._all = [
            ModelEmaV3(model, decay=each.most, use_warmup=True, warmup_gamma=each.gamma, warmup_power=each.power)
            for each in averages
        ]
        self.shown = 0
        """Which of them is scored."""

    @property
    def module(self) -> nn.Module:
        """The network with the weights of the one that is scored."""
        module: nn.Module = self._all[self.shown].module
        return module

    def update(self, model: nn.Module, step: int) -> None:
        """Takes the weights after a step into all of them."""
        for each in self._all:
            each.update(model, step=step)


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and compares."""
    return run_command(Options, compare, args, prog="scripts/benchmarks/averages.py")


def compare(options: Options) -> None:
    """Trains what has not been trained, writes it down after each training, and prints the table."""
    file = Path(f"{options.out}.json")
    trainings = _kept(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for path in options.runs:
            if (path.name, seed, options.epochs) in {(each.run, each.seed, max(each.scores)) for each in trainings}:
                continue
            trainings.append(train(path, seed, options.epochs))
            write_whole(file, (json.dumps([asdict(each) for each in trainings], indent=1) + "\n").encode())
            print(f"{path.name}, seed {seed}: trained", file=sys.stderr, flush=True)
    names = {path.name for path in options.runs}
    asked = [
        each
        for each in trainings
        if each.run in names and each.seed in options.seeds and max(each.scores) == options.epochs
    ]
    table = render(asked)
    write_whole(Path(f"{options.out}.md"), f"{table}\n".encode())
    print(table)


def _kept(file: Path) -> list[Training]:
    kept: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    return [
        Training(run=each["run"], seed=each["seed"], scores={int(n): tuple(row) for n, row in each["scores"].items()})
        for each in kept
    ]


def train(run_dir: Path, seed: int, epochs: int) -> Training:
    """Trains the first point of a run, and scores each average of its weights."""
    import torch

    from scripts.benchmarks.two_views import two_view_answers
    from trainables.data.batches import load_data, load_side
    from trainables.machine.allocator import keep_freed_memory
    from trainables.networks.model import choose_device
    from trainables.training.loop import fit, steps_per_epoch
    from trainables.training.state import TrainState

    keep_freed_memory()
    run = load_run(run_dir)
    config, device = TrialConfig(**run.points[0]), choose_device(run.task.device)
    task = replace(run.task, validate_on=(), num_threads=torch.get_num_threads(), seed=seed, epochs=epochs)
    data, test = load_data(task, device), load_side(task, ("test",), device)
    truth = labels_of(run_dir, "test")
    state = TrainState.start(config, task, steps_per_epoch(task, len(data.train)))
    state.ema = averages = Averages(state.model)  # type: ignore[assignment]
    scores: dict[int, tuple[float, ...]] = {}
    for report in fit(state, data):
        if report.epoch >= min(6, epochs) and (report.epoch % 2 == 0 or report.epoch == epochs):
            row = []
            for averages.shown in range(len(AVERAGES)):
                row.append(MACRO_F1.score_of(truth, two_view_answers(state, test).argmax(1), len(task.classes)))
            scores[report.epoch] = tuple(row)
    return Training(run=run_dir.name, seed=seed, scores=scores)


def render(trainings: Iterable[Training]) -> str:
    """A row for each average: its difference to the first by phase; ± is the standard error over the trainings."""
    trainings = list(trainings)
    rows = []
    for number, average in enumerate(AVERAGES):
        cells = []
        for first, last in PHASES.values():
            each = [training.differences(number, first, last) for training in trainings]
            means = [float(np.mean(one)) for one in each if one]
            cells.append(mean_of_all(means) if len(means) > 1 else "".join(f"{mean:+.3f}" for mean in means))
        rows.append((average.words, *cells))
    return render_markdown_table((f"reaching back over, {len(trainings)} trainings", *PHASES), rows)


if __name__ == "__main__":
    sys.exit(main())
