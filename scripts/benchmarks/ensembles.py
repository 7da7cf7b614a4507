"""What the model that a search leaves promised on validation, and what came on people that nobody saw.

    python scripts/benchmarks/ensembles.py runs/A runs/B ...

Takes finished searches whose weights are kept, lets every kept trial answer the test side, and compares there: the best
trial alone, the mean of the best k, the greedy ensemble, what the search takes of the three, and the decision rule. It
also compares the best validation score, and that corrected for the choice, with the best trial's test score. Seconds
for each search of small networks; the tables are Markdown. The test sides of the searches are looked at, so searches
that are still to be judged by them are not for this.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro

from results.pages.cells import three
from results.records.answers import TrialAnswers, load_answers
from results.records.best import best_trial
from results.records.run_folder import RunFolder, load_run
from results.records.trials import load_trials
from results.statistics.bootstrap import Interval
from results.statistics.chosen_best import corrected_score
from results.statistics.decision import decide
from results.statistics.ensemble import (
    BEST_K,
    GREEDY,
    MEAN,
    SINGLE,
    Choice,
    best_k,
    greedy,
    mean_of,
    select,
    single_best,
)
from results.statistics.measure import MACRO_F1
from scripts.benchmarks.per_hour import labels_of
from scripts.terminal import run_command
from search.found_model import is_fit_for_the_mean
from trainables.checkpoints import BEST
from trainables.config import TaskConfig
from trainables.data.rows import read_split
from trainables.errors import UserError

METHODS: dict[str, Choice] = {SINGLE: single_best, BEST_K: best_k, GREEDY: greedy}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare what searches promised with what came on their test people."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of finished searches that kept the weights of at least two trials."""
    device: str = "cpu"
    """cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One search."""

    run: str
    trials: int
    """Whose weights are kept."""
    people: int
    """Groups of the test side."""
    shown: float
    """Best validation score of the search."""
    corrected: Interval
    """The same for having been picked."""
    best_test: float
    """The best trial's score on the test side."""
    test: dict[str, float]
    """Each method's macro-F1 on the test side, without the rule."""
    taken: str
    """What the search would take, were there no trainings of one configuration, which it counts as one."""
    promised: float
    """Gain over the best trial alone, on people who did not choose, of the ensemble of which most was expected."""
    came: float
    """Gain of that ensemble on the test side."""
    rule_used: bool
    rule_promised: float
    """Cross-fitted gain of the rule, used or not."""
    rule_came: float
    """Its gain on the test side, used or not."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and prints the tables; a user's mistake is one message and exit code 2."""
    return run_command(Options, compare, args, prog="scripts/benchmarks/ensembles.py")


def compare(options: Options) -> None:
    """Judges every search and prints what came of it."""
    rows = []
    for path in options.runs:
        rows.append(judge(path, options.device))
        print(rows[-1], file=sys.stderr, flush=True)
    print(render(rows))


def judge(path: Path, device: str) -> Row:
    """One search on its test people.

    Raises:
        UserError: The run kept too little to judge, or has no test side.
    """
    folder, run = RunFolder(path), load_run(path)
    trials, best = load_trials(path), best_trial(path)
    answers = load_answers(folder, trials, run.task.classes)
    kept = [each for each in answers.trials if (folder.checkpoints / each.trial.trial_id / BEST).is_file()]
    kept.sort(key=lambda each: -(each.trial.best.val_macro_f1 if each.trial.best else 0.0))
    rows = [row for row in read_split(folder.split_csv) if row.split == "test"]
    if best is None or len(kept) < 2 or not rows or kept[0].trial.trial_id != best.trial_id:
        raise UserError(
            f"{path}: it takes a finished search with a test side, whose best trial and one more kept weights and "
            "answers"
        )
    val = np.stack([each.probabilities for each in kept])
    test = np.stack([_test_answers(folder, each, replace(run.task, device=device)) for each in kept])
    whole = [is_fit_for_the_mean(each.trial, best.report.val_macro_f1) for each in kept]
    selection = select(val, answers.labels, answers.groups, answers.prior, whole=whole)
    labels = labels_of(path, "test")
    ones = np.ones(len(answers.labels))
    methods = METHODS | ({MEAN: partial(mean_of, trials=np.array(whole, float))} if sum(whole) > 1 else {})
    mixed = {
        name: np.tensordot(choose(val, answers.labels, ones, answers.groups), test, axes=1)
        for name, choose in methods.items()
    }
    scores = {name: MACRO_F1.score_of(labels, each.argmax(1), len(answers.prior)) for name, each in mixed.items()}
    ruled = MACRO_F1.score_of(
        labels, decide(mixed[selection.method], answers.prior, selection.rule_tau), len(answers.prior)
    )
    every = [each.chosen for each in answers.trials]
    return Row(
        run=path.name,
        trials=len(kept),
        people=len({row.group for row in rows}),
        shown=best.report.val_macro_f1,
        corrected=corrected_score(answers.labels, answers.groups, every, len(answers.prior)),
        best_test=scores[SINGLE],
        test=scores,
        taken=selection.method,
        promised=selection.gain.value,
        came=scores[selection.rival] - scores[SINGLE],
        rule_used=selection.tau > 0,
        rule_promised=selection.rule_gain.value,
        rule_came=ruled - scores[selection.method],
    )


def _test_answers(folder: RunFolder, answers: TrialAnswers, task: TaskConfig) -> np.ndarray:
    """Probabilities `(N, C)` of a trial's best epoch on the test side."""
    from trainables.saved.final_model import answer_side, save_trained

    trial = answers.trial
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        save_trained(folder.checkpoints / trial.trial_id, trial.config, task, model, {})
        return answer_side(model, task, "test")


def render(rows: Sequence[Row]) -> str:
    """Two tables, one row a search, and what they come to in sentences."""
    lines = [
        "| search | trials | test people | best alone | mean of best k | greedy | mean of the whole | taken | promised "
        "| came |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.run} | {row.trials} | {row.people} | {row.test[SINGLE]:.3f} | {row.test[BEST_K]:.3f} | "
        f"{row.test[GREEDY]:.3f} | {three(row.test.get(MEAN))} | {row.taken} | {row.promised:+.3f} | {row.came:+.3f} |"
        for row in rows
    ]
    lines += [
        "",
        "| search | best validation score | corrected [95%] | its test score | rule promised | rule came | rule used |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.run} | {row.shown:.3f} | {row.corrected} | {row.best_test:.3f} | {row.rule_promised:+.3f} | "
        f"{row.rule_came:+.3f} | {'yes' if row.rule_used else 'no'} |"
        for row in rows
    ]
    return "\n".join([*lines, "", *summary(rows)])


def summary(rows: Sequence[Row]) -> list[str]:
    """What the rows come to, as sentences; ± is the standard error over searches."""
    taken = [row for row in rows if row.taken != SINGLE]
    used = [row for row in rows if row.rule_used]
    held = sum(row.corrected.low <= row.best_test <= row.corrected.high for row in rows)

    def mean(value: Callable[[Row], float], of: Sequence[Row] = rows) -> str:
        return mean_of_all([value(row) for row in of])

    return [
        f"{len(rows)} searches. An ensemble was taken in {len(taken)}; on test people what was taken is "
        f"{mean(lambda row: row.test[row.taken] - row.test[SINGLE])} against the best trial alone, over all searches.",
        f"The better ensemble, taken or not: cross-fitting promised {mean(lambda row: row.promised)}, "
        f"{mean(lambda row: row.came)} came.",
        f"Mean of the best k {mean(lambda row: row.test[BEST_K] - row.test[SINGLE])}, greedy "
        f"{mean(lambda row: row.test[GREEDY] - row.test[SINGLE])} against the best alone.",
        f"The rule was used in {len(used)}. Used or not, it promised {mean(lambda row: row.rule_promised)}, and "
        f"{mean(lambda row: row.rule_came)} came"
        + (f"; where it was used, {mean(lambda row: row.rule_came, used)} came." if used else "."),
        f"The best validation score reads {mean(lambda row: row.shown - row.best_test)} against the same "
        f"trial's test score, corrected {mean(lambda row: row.corrected.value - row.best_test)}; the corrected "
        f"interval holds the test score in {held} of {len(rows)}.",
    ]


def mean_of_all(values: Sequence[float]) -> str:
    """A mean over searches and its standard error."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):+.3f} ± {error:.3f}"


if __name__ == "__main__":
    sys.exit(main())
