"""What a search promises: its best score on validation, and that score corrected for the choice, against what comes.

    python scripts/benchmarks/promises.py runs/A runs/B ...

Every trial of a run has kept what it answered on validation after each epoch. Some of these pictures, whole groups of
them, stand for the validation side: on them the best epoch of each trial and the best trial are picked, as a search
does it, and the score is corrected for that. The others stand for new people: what was picked is scored on them.
Nothing is trained, and no test side is looked at. Trials that failed are left out. A minute or two for a dozen runs;
the table is Markdown.
"""

from __future__ import annotations

import math
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
from results.records.answers import ValidationAnswers, load_answers
from results.records.run_folder import RunFolder, load_run
from results.records.trials import load_trials
from results.statistics.chosen_best import corrected_score
from results.statistics.measure import MACRO_F1
from scripts.benchmarks.which_epoch import deal, latest_as_good, scores_on
from scripts.terminal import run_command
from trainables.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare what searches promise with what comes."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of runs."""
    sizes: tuple[int, ...] = (24, 60, 120, 0)
    """Validation pictures that choose; 0 for half of those that there are."""
    draws: int = 20
    """Draws of these for each run."""
    seed: int = 0
    """Of the draws."""


@dataclass(frozen=True)
class Promise:
    """One draw, or the mean of those of a run."""

    best: float
    """The score of what was picked on the pictures that picked it."""
    corrected: float
    """That score, corrected for the choice."""
    came: float
    """What was picked, on the other pictures."""
    held: float
    """Whether that lies within the interval of the corrected score, or the share of the draws in which it does."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and prints the table; a user's mistake is one message and exit code 2."""
    return run_command(Options, compare, args, prog="scripts/benchmarks/promises.py")


def compare(options: Options) -> None:
    """Prints a row per number of validation pictures, in the mean over the runs."""
    rng = np.random.default_rng(options.seed)
    found: dict[int, list[Promise]] = {size: [] for size in options.sizes}
    for path in options.runs:
        answers = load_answers(RunFolder(path), load_trials(path), load_run(path).task.classes)
        for size in options.sizes:
            count = size or len(answers.labels) // 2
            if answers.trials and 2 * count <= len(answers.labels):
                drawn = [promise(answers, deal(answers.groups, count, rng)) for _ in range(options.draws)]
                found[size] += mean([each for each in drawn if math.isfinite(each.corrected)])  # by two people at least
    found = {size: rows for size, rows in found.items() if rows}
    if not found:
        raise UserError("no trial with answers on validation: give runs that have some")
    print(render(found))


def promise(answers: ValidationAnswers, chooses: np.ndarray) -> Promise:
    """Picks on some pictures and looks at the others.

    Args:
        answers: Of the trials of a run.
        chooses: Which pictures choose, `(N,)`.
    """
    labels, classes, pictures = answers.labels, len(answers.prior), int(chooses.sum())
    best, picked = -np.inf, labels
    for trial in answers.trials:
        scores = scores_on(chooses, trial.chosen, labels, classes)
        kept = latest_as_good(scores, pictures)
        if scores[kept] > best:
            best, picked = float(scores[kept]), trial.chosen[kept]
    came = float(MACRO_F1.score_of(labels[~chooses], picked[~chooses], classes))
    chosen = [trial.chosen[:, chooses] for trial in answers.trials]
    corrected = corrected_score(labels[chooses], answers.groups[chooses], chosen, classes)
    return Promise(best, corrected.value, came, corrected.low <= came <= corrected.high)


def mean(promises: Sequence[Promise]) -> list[Promise]:
    """That of several, part by part; none of none."""
    if not promises:
        return []
    parts = np.mean([(each.best, each.corrected, each.came, each.held) for each in promises], axis=0)
    return [Promise(*map(float, parts))]


def render(found: dict[int, list[Promise]]) -> str:
    """The table: means over the runs, and of the differences in brackets the lowest and the highest run."""
    heads = ("validation pictures", "runs", "what came", "best - what came", "corrected - what came", "in its interval")
    lines = []
    for size, rows in found.items():
        over = [[each.best - each.came for each in rows], [each.corrected - each.came for each in rows]]
        cells = [f"{np.mean(each):+.3f} ({min(each):+.3f} to {max(each):+.3f})" for each in over]
        (whole,) = mean(rows)
        lines.append([str(size or "half of them"), str(len(rows)), f"{whole.came:.3f}", *cells, f"{whole.held:.0%}"])
    return render_markdown_table(heads, lines)


if __name__ == "__main__":
    sys.exit(main())
