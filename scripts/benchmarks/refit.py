"""What the validation pictures are worth to the model at last, on pictures that chose nothing.

    python scripts/benchmarks/refit.py runs/A runs/B --after 8 --epochs 4 --seeds 21 22 --out refit

Takes searches for their pictures, sides and default configuration. That is trained on the training side and, as at
the end of a search, from some epoch on with the validation pictures, too: from the weights alone. After every epoch
both are scored on the test side, as a model that answers to two views, and compared after as many pictures; a score
between two epochs lies on the line between them. The test sides are looked at, so searches that are still to be
judged by them are not for this. One training at a time; what has been trained is kept.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

from results.pages.markdown import render_markdown_table
from results.records.run_folder import load_run
from results.statistics.measure import MACRO_F1
from scripts.benchmarks.ensembles import mean_of_all
from scripts.benchmarks.per_hour import labels_of
from scripts.terminal import run_command
from search.flags import at_least
from search.refit import SIDES
from trainables.atomic import write_whole
from trainables.checkpoints import START
from trainables.config import TrialConfig
from trainables.errors import UserError

if TYPE_CHECKING:
    from trainables.data.batches import TaskData
    from trainables.training.state import TrainState


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train the default configuration on with the validation pictures, and without, and compare on test."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of searches, each of pictures of its own."""
    seeds: tuple[int, ...] = (21, 22)
    """Of the trainings; the sides stay those of the search."""
    after: int = 8
    """Epochs on the training side before."""
    epochs: int = 4
    """Epochs with the validation pictures."""
    out: Path
    """Name of the files, without an ending: `<out>.json` keeps what was measured, `<out>.md` is the table."""

    def __post_init__(self) -> None:
        for name in ("after", "epochs"):
            at_least(name, getattr(self, name), 1)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One training that goes on in two ways; macro-F1 on test after each epoch."""

    run: str
    seed: int
    after: int
    longer: float
    """Pictures of both sides, as a multiple of those of the training side."""
    alone: tuple[float, ...]
    """On the training side, from the first epoch on."""
    both: tuple[float, ...]
    """With the validation pictures, from the epoch after `after` on."""

    @property
    def differences(self) -> list[float]:
        """What each epoch with them gains over as many pictures of the training side."""
        return [score - self._alone_after(self.after + n * self.longer) for n, score in enumerate(self.both, start=1)]

    def _alone_after(self, epochs: float) -> float:
        below, between = int(epochs), epochs - int(epochs)
        return self.alone[below - 1] * (1 - between) + self.alone[min(below, len(self.alone) - 1)] * between


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and compares."""
    return run_command(Options, compare, args, prog="scripts/benchmarks/refit.py")


def compare(options: Options) -> None:
    """Trains what has not been trained, writes it down after each training, and prints the table."""
    if len({path.name for path in options.runs}) < len(options.runs):
        raise UserError("two of the runs have one name, and a training is kept by its run's name")
    file = Path(f"{options.out}.json")
    pairs = _kept(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for path in options.runs:
            key = (path.name, seed, options.after, options.epochs)
            if key in {(one.run, one.seed, one.after, len(one.both)) for one in pairs}:
                continue
            pairs.append(train(path, seed, options.after, options.epochs))
            write_whole(file, (json.dumps([asdict(one) for one in pairs], indent=1) + "\n").encode())
            print(f"{path.name}, seed {seed}: {pairs[-1].differences[-1]:+.3f}", file=sys.stderr, flush=True)
    asked = [one for one in pairs if (one.after, len(one.both)) == (options.after, options.epochs)]
    table = render(asked)
    write_whole(Path(f"{options.out}.md"), f"{table}\n".encode())
    print(table)


def _kept(file: Path) -> list[Pair]:
    kept: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    return [Pair(**{**one, "alone": tuple(one["alone"]), "both": tuple(one["both"])}) for one in kept]


def train(run_dir: Path, seed: int, after: int, epochs: int) -> Pair:
    """Trains the first point of a run, and goes on from an epoch of it in both ways."""
    import torch

    from trainables.data.batches import load_data
    from trainables.machine.allocator import keep_freed_memory
    from trainables.networks.model import choose_device
    from trainables.training.loop import steps_per_epoch
    from trainables.training.state import TrainState

    keep_freed_memory()
    run = load_run(run_dir)
    config, device = TrialConfig(**run.points[0]), choose_device(run.task.device)
    task = replace(run.task, validate_on=(), num_threads=torch.get_num_threads(), seed=seed)
    with_val = replace(task, train_on=SIDES, epochs=after + epochs, start_epoch=after)
    data, data_with_val = load_data(task, device), load_data(with_val, device)
    longer = len(data_with_val.train) / len(data.train)
    task = replace(task, epochs=after + math.ceil(epochs * longer))
    state = TrainState.start(config, task, steps_per_epoch(task, len(data.train)))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / START
        alone = []
        for score in _scores(run_dir, state, data):
            alone.append(score)
            if state.epoch == after:
                torch.save(state.scored_model.state_dict(), weights)
        steps = steps_per_epoch(with_val, len(data_with_val.train))
        state = TrainState.start(config, with_val, steps)
        state.begin_with(weights, steps)
    both = tuple(_scores(run_dir, state, data_with_val))
    return Pair(run=run_dir.name, seed=seed, after=after, longer=longer, alone=tuple(alone), both=both)


def _scores(run_dir: Path, state: TrainState, data: TaskData) -> Iterator[float]:
    """Trains, and scores every epoch by macro-F1 on test."""
    from scripts.benchmarks.two_views import two_view_answers
    from trainables.data.batches import load_side
    from trainables.training.loop import fit

    test, truth = load_side(state.task, ("test",), state.device), labels_of(run_dir, "test")
    for _ in fit(state, data):
        yield MACRO_F1.score_of(truth, two_view_answers(state, test).argmax(1), len(state.task.classes))


def render(pairs: Iterable[Pair]) -> str:
    """A row for each search, and one for all; ± is the standard error over the pairs."""
    pairs = list(pairs)
    rows = [_row(name, [one for one in pairs if one.run == name]) for name in dict.fromkeys(one.run for one in pairs)]
    most = max((len(one.both) for one in pairs), default=0)
    return render_markdown_table(
        ("run, pairs", *(f"epoch {number}" for number in range(1, most + 1))), [*rows, _row("all", pairs)]
    )


def _row(name: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
    by_epoch = zip(*(one.differences for one in pairs), strict=True)
    return f"{name}, {len(pairs)}", *(
        mean_of_all(each) if len(each) > 1 else f"{each[0]:+.3f}" for each in map(list, by_epoch)
    )


if __name__ == "__main__":
    sys.exit(main())
