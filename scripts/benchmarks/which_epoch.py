"""Which epoch of a training to keep: the highest on validation, or a later one that is nearly as good.

    python scripts/benchmarks/which_epoch.py runs/A runs/B ...

Every trial of a run has kept what it answered on validation after each epoch. Some of these pictures, whole groups of
them, choose the epoch by one rule or another, and the others, which chose nothing, say what it is worth: the difference
in macro-F1 to the epoch of the highest score, over many draws. Nothing is trained, and no test side is looked at.
Trials that failed, or have less than a dozen epochs, are left out. A minute for a hundred trials; the table is
Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro

from results.pages.markdown import render_markdown_table
from results.records.answers import load_answers
from results.records.run_folder import RunFolder, load_run
from results.records.trials import load_trials
from results.statistics.measure import MACRO_F1
from scripts.terminal import run_command
from trainables.errors import UserError
from trainables.report import WORTH_PICTURES, as_good

FEWEST_EPOCHS = 12
PICTURES = (1, 2, 3, 6)
"""What an epoch may be behind the highest, in validation pictures."""
SMOOTHED, LAST = "mean of three neighbours", "the last"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare rules for the epoch that a training keeps."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of runs."""
    sizes: tuple[int, ...] = (24, 60, 120, 0)
    """Validation pictures that choose; 0 for half of those that there are."""
    draws: int = 40
    """Draws of these for each trial."""
    seed: int = 0
    """Of the draws."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and prints the table; a user's mistake is one message and exit code 2."""
    return run_command(Options, compare, args, prog="scripts/benchmarks/which_epoch.py")


def compare(options: Options) -> None:
    """Prints a row per number of validation pictures: what each rule gains over the highest, and its worst trial."""
    rng = np.random.default_rng(options.seed)
    found: dict[int, list[dict[str, float]]] = {size: [] for size in options.sizes}
    for path in options.runs:
        run = load_run(path)
        answers = load_answers(RunFolder(path), load_trials(path), run.task.classes)
        for trial in answers.trials:
            if len(trial.chosen) < FEWEST_EPOCHS:
                continue
            for size in options.sizes:
                count = size or len(answers.labels) // 2
                if 2 * count <= len(answers.labels):
                    gains = [
                        gained(trial.chosen, answers.labels, deal(answers.groups, count, rng), len(answers.prior))
                        for _ in range(options.draws)
                    ]
                    found[size].append({rule: float(np.mean([each[rule] for each in gains])) for rule in gains[0]})
    found = {size: rows for size, rows in found.items() if rows}
    if not found:
        raise UserError(f"no trial with answers on validation of {FEWEST_EPOCHS} epochs: give runs of longer trainings")
    print(render(found))


def deal(groups: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Which of the pictures `(N,)` of these groups choose: about so many, and never only some of a group's."""
    order = rng.permutation(np.unique(groups))
    sizes = np.cumsum([np.sum(groups == group) for group in order])
    return np.isin(groups, order[: max(1, int(np.searchsorted(sizes, count, side="right")))])


def gained(chosen: np.ndarray, labels: np.ndarray, chooses: np.ndarray, classes: int) -> dict[str, float]:
    """Of each rule, the score of the epoch that it takes minus that of the highest, on pictures that chose nothing.

    Args:
        chosen: Answers `(E, N)` of the epochs.
        labels: True classes `(N,)`.
        chooses: Which pictures choose, `(N,)`.
        classes: How many.
    """
    scores, worth = (scores_on(side, chosen, labels, classes) for side in (chooses, ~chooses))
    highest, pictures = int(scores.argmax()), int(chooses.sum())
    taken = {f"the latest within {most}": latest_as_good(scores, pictures, most) for most in PICTURES}
    taken[SMOOTHED] = int(np.convolve(np.pad(scores, 1, mode="edge"), np.ones(3) / 3, mode="valid").argmax())
    taken[LAST] = len(scores) - 1
    return {rule: float(worth[epoch] - worth[highest]) for rule, epoch in taken.items()}


def scores_on(side: np.ndarray, chosen: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Macro-F1 of each epoch `(E,)` on the pictures of a side `(N,)`; else as `gained`."""
    return np.array([MACRO_F1.score_of(labels[side], answers[side], classes) for answers in chosen])


def latest_as_good(scores: np.ndarray, pictures: int, most: float = WORTH_PICTURES) -> int:
    """Place of the latest of the epochs whose score on so many pictures is at most so many behind the highest."""
    return int(np.flatnonzero(as_good(scores, scores.max(), pictures, most))[-1])


def render(found: dict[int, list[dict[str, float]]]) -> str:
    """The table: the mean over the trials, and in brackets the trial that it is worst for."""
    rules = list(next(iter(found.values()))[0])
    lines = []
    for size, rows in found.items():
        values = ([row[rule] for row in rows] for rule in rules)
        cells = [f"{np.mean(each):+.3f} ({min(each):+.3f})" for each in values]
        lines.append([str(size or "half of them"), str(len(rows)), *cells])
    return render_markdown_table(["validation pictures", "trials", *rules], lines)


if __name__ == "__main__":
    sys.exit(main())
