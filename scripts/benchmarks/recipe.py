"""What a change of the default configuration is worth, epoch by epoch, on pictures that chose nothing.

    python scripts/benchmarks/recipe.py runs/A runs/B --changes label_smoothing=0 lr=2e-3,ema=0.99 --out recipe

Takes searches for their pictures, sides and default configuration; one of a trial and an epoch is enough. The default
and each change of it are trained with every seed by our own train loop, and after every epoch scored on the test side,
as a model that answers to two views. A training with a change is compared with the default's of the same search and
seed. As many trainings run side by side as there are cores, each with its share of them; what has been trained is kept,
so that the same command goes on where it was interrupted, and one with more changes trains those alone. The test sides
are looked at, so searches that are still to be judged by them are not for this.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

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
from search.terminal import exit_code
from trainables.atomic import write_whole
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.machine.cores import usable_cores

DEFAULT = ""
"""The change that is none."""
BANDS = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (7, 9), (10, 13), (14, 16), (17, 20), (21, 30), (31, 60), (61, 10_000))
"""First and last epoch of what a column is the mean of."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train the default configuration and changes of it, and compare them on test."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of searches, each of pictures of its own."""
    changes: tuple[str, ...] = ()
    """Each `field=value` of a configuration, or several at once with commas."""
    seeds: tuple[int, ...] = (11, 12, 13)
    """Of the trainings; the sides stay those of the search."""
    epochs: int = 16
    """Of each training."""
    beside: int = usable_cores()
    """Trainings at a time."""
    out: Path
    """Name of the files, without an ending: `<out>.json` keeps what was measured, `<out>.md` is the table."""

    def __post_init__(self) -> None:
        for name in ("epochs", "beside"):
            at_least(name, getattr(self, name), 1)


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training; a number an epoch."""

    run: str
    change: str
    seed: int
    f1: tuple[float, ...]
    """Macro-F1 on test, of two views."""
    accuracy: tuple[float, ...]
    """The same of accuracy."""
    val: tuple[float, ...]
    """Macro-F1 on validation, of the middle alone, by which an epoch is chosen."""
    seconds: tuple[float, ...]
    """From the start to the end of the epoch, without the scoring on test, up to one that diverged."""

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What it is a training of: run, change, seed and epochs."""
        return self.run, self.change, self.seed, len(self.f1)

    @property
    def seconds_per_epoch(self) -> float:
        """Of the epochs that were trained."""
        return self.seconds[-1] / len(self.seconds)

    @property
    def chosen(self) -> float:
        """Macro-F1 on test at the epoch that is best on validation."""
        return self.f1[int(np.argmax(self.val))]


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and compares; with --train it is one training that the comparison starts."""
    words = sys.argv[1:] if args is None else list(args)
    if words[:1] == ["--train"]:
        return exit_code(lambda: train(Path(words[1]), words[2], int(words[3]), int(words[4]), Path(words[5])))
    return run_command(Options, compare, words, prog="scripts/benchmarks/recipe.py")


def compare(options: Options) -> None:
    """Trains what has not been trained, writes it down after each training, and prints the table."""
    runs = {path.name: path for path in options.runs}
    if len(runs) < len(options.runs):
        raise UserError("two of the runs have one name, and a training is kept by its run's name")
    for path, change in itertools.product(options.runs, (DEFAULT, *options.changes)):
        changed(TrialConfig(**load_run(path).points[0]), change)
    file = Path(f"{options.out}.json")
    done = {one.key: one for one in _read(file)}
    wanted = itertools.product(options.seeds, (DEFAULT, *options.changes), runs)
    keys = [(name, change, seed, options.epochs) for seed, change, name in wanted]
    missing = [key for key in keys if key not in done]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for number, training in enumerate(_trained(runs, missing, options), start=1):
        done[training.key] = training
        write_whole(file, (json.dumps([asdict(one) for one in done.values()], indent=1) + "\n").encode())
        what = f"{training.run}, {training.change or 'default'}, seed {training.seed}"
        print(f"{number} of {len(missing)}: {what}: {training.chosen:.3f}", file=sys.stderr, flush=True)
    table = render([one for one in done.values() if one.run in runs and len(one.f1) == options.epochs], options.changes)
    write_whole(Path(f"{options.out}.md"), f"{table}\n".encode())
    print(table)


def _read(file: Path) -> list[Training]:
    kept: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    values: list[dict[str, Any]] = [
        {name: tuple(value) if isinstance(value, list) else value for name, value in one.items()} for one in kept
    ]
    return [Training(**each) for each in values]


def changed(config: TrialConfig, change: str) -> TrialConfig:
    """A configuration with a change.

    Raises:
        UserError: The change names no setting, or no value of it; says which there are.
    """
    values = {}
    for pair in filter(None, change.split(",")):
        name, _, word = pair.partition("=")
        if name not in asdict(config) or not word:
            raise UserError(f"--changes {pair}: give a setting and its value, of {', '.join(asdict(config))}")
        try:
            values[name] = json.loads(word)
        except ValueError:
            values[name] = word
    try:
        return replace(config, **values)
    except (TypeError, ValueError) as error:
        raise UserError(f"--changes {change}: {error}") from error


def _trained(
    runs: Mapping[str, Path], missing: Sequence[tuple[str, str, int, int]], options: Options
) -> Iterator[Training]:
    """Trainings as they end, each in a process of its own; after one that failed no further begins.

    Raises:
        UserError: A training failed; those that went on beside it have been yielded.
    """
    threads = max(1, usable_cores() // options.beside)

    def one(number: int, name: str, change: str, seed: int, epochs: int) -> Training:
        out = options.out.with_name(f".{options.out.name}-{os.getpid()}-{number}.json")
        command = [sys.executable, str(Path(__file__).resolve()), "--train", str(runs[name]), change]
        command += [str(seed), str(epochs), str(out)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
        try:
            done = subprocess.run(command, check=False, env=environment)
            if done.returncode:
                raise UserError(f"{name}, {change or 'default'}, seed {seed}: the training failed, as said above")
            return _read(out)[0]
        finally:
            out.unlink(missing_ok=True)

    with ThreadPoolExecutor(options.beside) as pool:
        futures = [pool.submit(one, number, *key) for number, key in enumerate(missing)]
        failed: UserError | None = None
        try:
            for future in as_completed(futures):
                try:
                    yield future.result()
                except UserError as error:
                    failed = failed or error
                    _cancel(futures)
                except CancelledError:
                    pass
        except BaseException:  # such as Ctrl-C
            _cancel(futures)
            raise
    if failed is not None:
        raise failed


def _cancel(futures: Iterable[Future[Training]]) -> None:
    """Lets none begin that has not; the pool's own way would leave whoever waits for them waiting."""
    for future in futures:
        future.cancel()


def train(run_dir: Path, change: str, seed: int, epochs: int, out: Path) -> int:
    """Trains a change of the first point of a run and writes down what each epoch came to."""
    import torch

    from scripts.benchmarks.two_views import two_view_answers
    from trainables.data.batches import load_data, load_side
    from trainables.machine.allocator import keep_freed_memory
    from trainables.networks.model import choose_device
    from trainables.training.loop import fit, steps_per_epoch
    from trainables.training.state import TrainState

    keep_freed_memory()
    run = load_run(run_dir)
    task = replace(run.task, epochs=epochs, num_threads=torch.get_num_threads(), seed=seed)
    device = choose_device(task.device)
    data, test = load_data(task, device), load_side(task, ("test",), device)
    config, truth = changed(TrialConfig(**run.points[0]), change), labels_of(run_dir, "test")
    state = TrainState.start(config, task, steps_per_epoch(task, len(data.train)))
    rows: list[tuple[float, float, float, float]] = []
    away, started = 0.0, time.monotonic()
    for report in fit(state, data):
        ended = time.monotonic()
        if report.diverged:
            rows.append((0.0, 0.0, 0.0, ended - started - away))
            break
        answers = two_view_answers(state, test).argmax(1)
        f1 = MACRO_F1.score_of(truth, answers, len(task.classes))
        rows.append((f1, float((answers == truth).mean()), report.val_macro_f1, ended - started - away))
        away += time.monotonic() - ended
    f1s, accuracies, vals, seconds = zip(*rows, strict=True)
    lost = (0.0,) * (epochs - len(rows))
    training = Training(
        run=run_dir.name,
        change=change,
        seed=seed,
        f1=(*f1s, *lost),
        accuracy=(*accuracies, *lost),
        val=(*vals, *lost),
        seconds=seconds,
    )
    write_whole(out, json.dumps([asdict(training)]).encode())
    return 0


def render(trainings: Iterable[Training], order: Sequence[str] = ()) -> str:
    """A table of differences to the default, in macro-F1 and accuracy; ± is the standard error over the pairs.

    Args:
        trainings: Of which pairs are those of one search, seed and length.
        order: Changes that come first.
    """
    found = {one.key: one for one in trainings}
    most = max(len(one.f1) for one in found.values())
    bands = [(first, min(last, most)) for first, last in BANDS if first <= most]
    rows = []
    for change in dict.fromkeys([*order, *(change for _, change, *_ in found)]):
        if change == DEFAULT:
            continue
        both = ((one, found.get((one.run, DEFAULT, *one.key[2:]))) for one in found.values() if one.change == change)
        pairs = [(one, default) for one, default in both if default is not None]
        for measure in ("f1", "accuracy"):
            each = [_differences(pairs, measure, *band) for band in bands]
            chosen = [one.chosen - default.chosen for one, default in pairs] if measure == "f1" else []
            slower = [one.seconds_per_epoch / default.seconds_per_epoch for one, default in pairs]
            times = f"x {np.mean(slower):.2f}" if measure == "f1" and pairs else ""
            words = f"{change}, {'macro-F1' if measure == 'f1' else 'accuracy'}"
            rows.append((words, *map(_in_words, each), _in_words(chosen), times))
    columns = [str(first) if first == last else f"{first} to {last}" for first, last in bands]
    return render_markdown_table(("change, epochs", *columns, "chosen by validation", "seconds"), rows)


def _differences(pairs: Iterable[tuple[Training, Training]], measure: str, first: int, last: int) -> list[float]:
    """Of the means of some epochs, a pair each of those that trained them all."""
    return [
        float(np.mean(np.subtract(getattr(one, measure)[first - 1 : last], getattr(base, measure)[first - 1 : last])))
        for one, base in pairs
        if min(len(one.f1), len(base.f1)) >= last
    ]


def _in_words(differences: Sequence[float]) -> str:
    if len(differences) < 2:
        return "".join(f"{one:+.3f} (1)" for one in differences)
    return f"{mean_of_all(differences)} ({len(differences)})"


if __name__ == "__main__":
    sys.exit(main())
