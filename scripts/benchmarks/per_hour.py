"""Macro-F1 on new people for the same minutes: a search, its default configuration alone, a plain script, AutoGluon.

    python scripts/benchmarks/per_hour.py --data DIR --minutes 5 15 --seeds 0 1 2

All have the same pictures, sides, weights, cores and wall time, from the start of the process to its end. The search
is the command that a user types, with `--time-budget`, and what is scored is the model that it leaves. The default is
trained by our own train loop on all cores until the longest time is over, and scored where each time ends, as its
schedule has no end; its best epoch on validation is what counts. The plain script is
`plain_trial.py`, Ray's and PyTorch's documentation in one file, with the same network pretrained, and its best
checkpoint on validation is what is scored. AutoGluon MultiModal has the same network, too, and the rest at its defaults
(`autogluon_trial.py`). They take turns, so that whatever else the machine does falls on all.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro

from results.records.run_folder import RunFolder, load_run
from results.statistics.measure import MACRO_F1
from scripts.benchmarks.per_hour_report import draw, render
from search.terminal import exit_code
from trainables.config import TrialConfig
from trainables.data.rows import read_split
from trainables.errors import UserError
from trainables.machine.cores import usable_cores
from trainables.report import as_good
from trainables.saved.model_description import DESCRIPTION, read_description


def main() -> int:
    """Parses the command line and compares; with --alone it is the training that the comparison starts."""
    if sys.argv[1:2] == ["--alone"]:
        return train_alone(Path(sys.argv[2]), [float(word) for word in sys.argv[4:]], Path(sys.argv[3]))
    tyro.cli(compare, prog="per_hour.py", config=(tyro.conf.FlagCreatePairsOff,))
    return 0


def compare(
    data: Path,
    out: Path,
    minutes: tuple[float, ...] = (5.0,),
    seeds: tuple[int, ...] = (0, 1, 2),
    space: str = "efficientnet",
    backbones: str = "",
    image_size: int = 64,
    plain_epochs: int = 10,
    autogluon: Path | None = None,
    work: Path = Path("per-hour"),
) -> None:
    """Compare a search with its default configuration and the plain script; writes `<out>.json`, `.md` and `.png`.

    Args:
        data: Labelled pictures.
        out: Name of the files, without an ending. What was measured before is kept, and what is new measured beside it.
        minutes: Time budgets.
        seeds: Each of another split and search.
        space: Of the search.
        backbones: Only these of the space.
        image_size: Pixels.
        plain_epochs: Epochs of a trial of the plain script that its ASHA does not stop; 0 leaves the script out.
        autogluon: A Python that has `autogluon.multimodal`, which is no dependency of the project. (default: left out)
        work: Folder for runs, cache and records.
    """
    file = Path(f"{out}.json")
    numbers: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    work, data = work.resolve(), data.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    for budget, seed in itertools.product(minutes, seeds):
        seconds, name = budget * 60, f"{data.name}-{budget:g}m-seed{seed}"
        run_dir = work / "runs" / name
        key = {"data": data.name, "minutes": budget, "seed": seed}
        row = next((row for row in numbers if key.items() <= row.items()), None)
        if row is None:
            row = {**key, "search": search_for(data, name, seconds, seed, space, backbones, image_size, work)}
            numbers.append(row)
            _save(numbers, file)
        if "alone" not in row:
            curve = default_for(run_dir, [60 * ends for ends in minutes], work / f"{data.name}-seed{seed}-alone.json")
            row["alone"] = read_off(curve, seconds, len(labels_of(run_dir, "val")))
            _save(numbers, file)
        if plain_epochs and "plain" not in row:
            row["plain"] = plain_script_for(run_dir, seconds, plain_epochs, work / f"{name}-plain")
            _save(numbers, file)
        if autogluon is not None and "autogluon" not in row:
            row["autogluon"] = autogluon_for(run_dir, seconds, autogluon, work / f"{name}-autogluon.json")
            _save(numbers, file)
        Path(f"{out}.md").write_text(render(numbers))
        draw(numbers).savefig(Path(f"{out}.png"), dpi=110)
        print(render(numbers), flush=True)


def _save(numbers: Sequence[dict[str, Any]], file: Path) -> None:
    file.write_text(json.dumps(numbers, indent=1) + "\n")


def search_for(
    data: Path, name: str, seconds: float, seed: int, space: str, backbones: str, image_size: int, work: Path
) -> dict[str, Any]:
    """A search as it is typed, and the score of the model that it leaves, on the test side."""
    flags = ["--space", space, "--data", data, "--name", name, "--seed", seed, "--image-size", image_size]
    flags += ["--time-budget", f"{seconds:g}s", "--storage", work / "runs", "--readme", work / "README.md"]
    flags += ["--cache-dir", work / "cache", "--history", "none", "--backbones", backbones]
    started = time.monotonic()
    subprocess.run(
        [sys.executable, ROOT / "search" / "run.py", *map(str, flags)], check=True, stdout=subprocess.DEVNULL
    )
    took = time.monotonic() - started
    folder = RunFolder(work / "runs" / name)
    described = read_description(folder.model / DESCRIPTION)
    return {
        "f1": score_on_test(folder),
        "seconds": took,
        "epochs": len(folder.epochs()) + len(folder.refit.epochs()),
        "networks": len(described.members) or 1,
    }


def score_on_test(folder: RunFolder) -> float:
    """Macro-F1 of the model that a search left on the test side of its run."""
    from trainables.saved.final_model import answer_side

    task = load_run(folder.path).task
    answers = answer_side(folder.model, task, "test").argmax(axis=1)
    return MACRO_F1.score_of(labels_of(folder.path, "test"), answers, len(task.classes))


def labels_of(run_dir: Path, side: str) -> np.ndarray:
    """Numbers `(N,)` of the classes on a side of a run, in the order of its split."""
    classes = load_run(run_dir).task.classes
    rows = read_split(RunFolder(run_dir).split_csv)
    return np.array([classes.index(row.label) for row in rows if row.split == side])


def default_for(run_dir: Path, budgets: Sequence[float], out: Path) -> list[list[float]]:
    """The default configuration of a run on its sides, in a process of its own with all cores; once for all budgets.

    Args:
        run_dir: Of a search.
        budgets: Seconds, each of which ends within an epoch.
        out: File that is kept.

    Returns:
        Of every epoch, and of those that the budgets end in, the seconds that it ended after, its scores on the
        validation and the test side, that on the test side where a second view is answered as well (both
        NaN for an epoch that no time takes), and which share of it was trained.
    """
    if not out.exists():
        command = [sys.executable, str(Path(__file__).resolve()), "--alone", str(run_dir), str(out)]
        command += map(str, sorted(budgets))
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    curve: list[list[float]] = json.loads(out.read_text())
    return curve


def read_off(curve: Sequence[Sequence[float]], seconds: float, pictures: int) -> dict[str, Any]:
    """What a training would have come to, had it ended so early: at its best epoch on validation; and of two views.

    Which that is, a search decides alike. The last epoch is the one that the time ends in, if it was scored then; those
    that shorter times end in are not counted. Its `curve` says the same of the earlier ends at which that changes, if
    it was scored there: seconds and score.

    Args:
        curve: Of each epoch the seconds from the beginning, the score on validation, those on test, with one view and
            with two, and the share of it that was trained.
        seconds: When it would have ended.
        pictures: On validation.
    """
    within = [epoch for epoch in curve if (epoch[4] == 1 and epoch[0] <= seconds) or epoch[0] == seconds]
    better: list[int] = []
    highest = -math.inf
    for number, (_, on_validation, *_) in enumerate(within):
        highest = max(highest, on_validation)
        if as_good(on_validation, highest, pictures):
            better.append(number)
    best = better[-1]
    if math.isnan(within[best][2]):
        raise UserError("the default alone was scored by another rule: delete its *-alone.json, to train it again")
    return {
        "f1": within[best][2],
        "two_views": within[best][3],
        "epochs": sum(epoch[4] for epoch in within),
        "best_epoch": best + 1,
        "curve": [[seconds, f1] for seconds, _, f1, *_ in (within[number] for number in better) if not math.isnan(f1)],
    }


def plain_script_for(run_dir: Path, seconds: float, epochs: int, out: Path) -> dict[str, Any]:
    """The plain script on the sides and with the first network of a run, one trial a core.

    It has no time budget of its own but Ray's, which counts from the start of the tuning; what it takes beyond is said.
    """
    run = load_run(run_dir)
    backbone = run.points[0]["backbone"]
    score = Path(f"{out}.json")
    command = [sys.executable, ROOT / "scripts" / "benchmarks" / "plain_trial.py", "--split", run_dir / "split.csv"]
    command += ["--backbone", backbone, "--weights", run.task.weights.get(backbone, ""), "--epochs", epochs]
    command += ["--image-size", run.task.image_size, "--batch-size", run.task.batch_size, "--score", score]
    command += ["--concurrency", usable_cores(), "--storage", out, "--time-budget", f"{seconds:g}"]
    started = time.monotonic()
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(score.read_text())
    shutil.rmtree(out)  # a checkpoint an epoch
    return {**found, "seconds": time.monotonic() - started}


def autogluon_for(run_dir: Path, seconds: float, python: Path, out: Path) -> dict[str, Any]:
    """AutoGluon on the sides and with the first network of a run."""
    run = load_run(run_dir)
    backbone = run.points[0]["backbone"]
    command = [python, ROOT / "scripts" / "benchmarks" / "autogluon_trial.py", "--split", run_dir / "split.csv"]
    command += ["--backbone", backbone, "--weights", run.task.weights[backbone], "--image-size", run.task.image_size]
    command += ["--seconds", seconds, "--seed", run.task.seed, "--out", out]
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def train_alone(run_dir: Path, budgets: Sequence[float], out: Path) -> int:
    """Trains the first point of a run until the last of the times is over, counted from the start of this process."""
    started = time.monotonic()
    import torch

    from scripts.benchmarks.two_views import two_view_answers
    from trainables.data.batches import load_data, load_side
    from trainables.networks.model import Normalizer, choose_device
    from trainables.training.loop import evaluate, fit, steps_per_epoch, to_training
    from trainables.training.state import TrainState

    run = load_run(run_dir)
    cores = usable_cores()
    task = replace(run.task, epochs=100_000, num_threads=cores)
    torch.set_num_threads(cores)
    device = choose_device(task.device)
    data = load_data(task, device)
    val, test = data.val, load_side(task, ("test",), device)
    assert val is not None
    config = TrialConfig(**run.points[0])
    steps = steps_per_epoch(task, len(data.train))
    state = TrainState.start(config, task, steps)
    truth = labels_of(run_dir, "test")

    def of_two_views() -> float:
        """Macro-F1 on the test side where a second view of each picture is answered, too, as by a search's model."""
        return MACRO_F1.score_of(truth, two_view_answers(state, test).argmax(1), len(task.classes))

    def on_test() -> list[float]:
        return [evaluate(state, test, Normalizer(state.model, device)).macro_f1, of_two_views()]

    def weights() -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in state.scored_model.state_dict().items()}

    curve: list[list[float]] = []
    kept: dict[str, torch.Tensor] = {}  # weights of the best epoch, if it is not the highest: they soon have successors
    kept_at = 0
    away = 0.0  # to score on the test side is not a part of training
    to_validate = math.nan  # not known in the first epoch, in which no time ends

    def note(seconds: float, on_validation: float, share: float, since: float, *, ends: bool = False) -> None:
        nonlocal away, kept, kept_at
        highest = max((earlier for _, earlier, *_, whole in curve if whole == 1), default=-math.inf)
        is_best = as_good(on_validation, highest, len(val.labels))
        is_asked_for = is_best and (on_validation > highest or ends)
        curve.append([seconds, on_validation, *(on_test() if is_asked_for else (math.nan, math.nan)), share])
        if is_best and not ends:
            kept, kept_at = {} if is_asked_for else weights(), len(curve) - 1
        if kept and ends:  # a time may take it
            latest = weights()
            state.scored_model.load_state_dict(kept)
            curve[kept_at][2:4], kept = on_test(), {}
            state.scored_model.load_state_dict(latest)
        to_training(state)  # the epoch may go on
        away += time.monotonic() - since

    def seconds_left() -> float:
        """Asked after every batch: where a time ends, so that there is just enough for validation, it is scored."""
        now = time.monotonic()
        if now - started - away + to_validate >= left[0]:
            share = min(state.schedule.last_epoch / steps - state.epoch, math.nextafter(1, 0))  # not a whole one yet
            on_val = evaluate(state, val, Normalizer(state.model, device)).macro_f1
            note(left.pop(0), on_val, share, now, ends=True)
        return math.inf if left else 0.0

    left = list(budgets)
    for report in fit(state, data, seconds_left=seconds_left):
        if not left:
            break
        now = time.monotonic()
        to_validate = report.seconds - len(data.train) / report.images_per_second
        note(now - started - away, report.val_macro_f1, 1.0, now)
    out.write_text(json.dumps(curve))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
