"""Measures what the scores of a search are worth: validation, test and, on many people drawn anew, the truth.

    python scripts/benchmarks/honesty.py            # ten small searches, re-trained
    python scripts/benchmarks/honesty.py --splits   # the default alone, split by person and by picture

The searches are on the built-in data, each with a split of its own. The network that a search found best, the final one
and the default's are asked about 400 people drawn for this, and about the test side; what they answered is kept, so
that the table and `scripts/benchmarks/intervals.py` can be made anew in seconds. It takes half an hour on two cores and
ends with a table and a figure in runs/honesty. Stopped and started again, it goes on where it was.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro
from matplotlib.figure import Figure
from scipy.stats import binomtest

from results.pages.figures import save_png
from results.records.best import best_trial
from results.records.retrained import load_retrained
from results.records.run_folder import RunFolder, load_run
from results.statistics.bootstrap import (
    Interval,
    difference_interval,
    group_counts,
    macro_f1,
    score_interval,
    verdict,
)
from scripts.terminal import run_command
from trainables.atomic import write_whole
from trainables.errors import UserError

if TYPE_CHECKING:
    from trainables.data.labelled import LabelledPictures

FRESH_SEED = 1_000_003
"""Of the people drawn for the truth; the built-in data have seed 0."""
PEOPLE = 400
"""Drawn for the truth, seven pictures each."""
COMMON = ("--backbones", "tf_efficientnet_lite0", "--image-size", "48", "--history", "none")
SEARCH = ("--trials", "8", "--epochs", "3")
RETRAIN = ("--top-k", "1", "--seeds", "2")
DEFAULT_ALONE = ("--trials", "1", "--epochs", "6")
ONE_CORE = ("--concurrency", "1", "--cpus-per-trial", "1")
SPACE = "efficientnet"
SPLITS = ("group", "picture")


@dataclass(frozen=True, kw_only=True)
class HonestyConfig:
    """Measures validation and test scores against the truth."""

    searches: int = 10
    """Searches, each with its own seed of split, proposals and training."""
    splits: bool = False
    """Compare the two ways to split instead: train the default configuration under each, once for each seed."""
    out: Annotated[Path, tyro.conf.arg(help_behavior_hint="(default: runs/honesty)")] = ROOT / "runs" / "honesty"
    """Folder of everything it makes."""

    def __post_init__(self) -> None:
        if self.searches < 1:
            raise UserError(f"--searches is {self.searches}: it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A search: what it said, and what was so."""

    seed: int
    search: float
    """Validation macro-F1 of its best trial."""
    search_truth: float
    """Macro-F1 of that very network on the people drawn anew."""
    val: float
    """Mean of the re-ranking, over seeds."""
    test: Interval
    """The final network on the test side."""
    truth: float
    """And on the people drawn anew."""
    is_default: bool
    """Whether the final network has the default configuration."""
    default_truth: float
    verdict: str
    """Against the default, by the test side."""

    @property
    def covered(self) -> bool:
        """Whether the interval of the test score holds the truth."""
        return self.test.low <= self.truth <= self.test.high


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and measures; a user's mistake is one message and exit code 2."""
    return run_command(HonestyConfig, measure, args, prog="honesty.py")


def measure(config: HonestyConfig) -> int:
    """Runs what has not been run yet, then writes table and figure."""
    from trainables.data.demo.draw import make_demo_data

    out = config.out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    fresh = make_demo_data(out / f"people-{PEOPLE}", people=PEOPLE, eval_people=1, seed=FRESH_SEED)
    if config.splits:
        text = _measure_splits(config, out, fresh)
    else:
        names = [(seed, f"seed-{seed}") for seed in range(config.searches)]
        rows = [_row(seed, name, out, fresh, SEARCH, RETRAIN) for seed, name in names]
        text = render_table(rows, PEOPLE)
        save_png(draw(rows), out / "honesty.png")
    write_whole(out / ("splits.md" if config.splits else "honesty.md"), text.encode())
    print(text)
    return 0


def render_table(rows: Sequence[Row], people: int) -> str:
    """The searches as a Markdown table, and what they say together."""
    head = ("seed", "search: best val", "its truth", "re-ranked val", "test [95%]", "truth", "in interval")
    lines = _table((*head, "pick less default, truth", "verdict"))
    for row in rows:
        cells = (
            str(row.seed),
            f"{row.search:.3f}",
            f"{row.search_truth:.3f}",
            f"{row.val:.3f}",
            str(row.test),
            f"{row.truth:.3f}",
            "yes" if row.covered else "**no**",
            "same" if row.is_default else f"{row.truth - row.default_truth:+.3f}",
            row.verdict,
        )
        lines.append(f"| {' | '.join(cells)} |")
    words = [
        f"{what} says {_mean(differences)} more than the truth of {whose}"
        for what, whose, differences in (
            ("The search", "the very network that it found best", [row.search - row.search_truth for row in rows]),
            ("Re-ranking", "the final network", [row.val - row.truth for row in rows]),
            ("The test side", "the final network", [row.test.value - row.truth for row in rows]),
        )
    ]
    others = [row for row in rows if not row.is_default]
    worse = sum(row.truth < row.default_truth for row in others)
    return "\n".join(
        [
            *lines,
            "",
            f"{'; '.join(words)} (mean and standard error over {len(rows)} searches). {_coverage(rows)} "
            f"The pick was not the default {len(others)} times, and in truth worse than it {worse} times. "
            f"Truth: macro-F1 on {people} people drawn anew.",
            "",
        ]
    )


def render_splits(by_group: Sequence[Row], by_picture: Sequence[Row], people: int) -> str:
    """What validation and test say under either split, as a Markdown table, and what they say together."""
    both = ("val", "test [95%]", "truth")
    lines = _table(("seed", *(f"by person: {name}" for name in both), *(f"by picture: {name}" for name in both)))
    for pair in zip(by_group, by_picture, strict=True):
        cells = [cell for row in pair for cell in (f"{row.search:.3f}", str(row.test), f"{row.truth:.3f}")]
        lines.append(f"| {pair[0].seed} | {' | '.join(cells)} |")
    words = []
    for what, more in (
        ("Validation", lambda row: row.search - row.search_truth),
        ("The test side", lambda row: row.test.value - row.truth),
    ):
        group, picture = ([more(row) for row in rows] for rows in (by_group, by_picture))
        paired = [b - a for a, b in zip(group, picture, strict=True)]
        words.append(
            f"{what} says {_mean(group)} more than the truth with a split by person, {_mean(picture)} with one by "
            f"picture; paired, the latter flatters by {_mean(paired)}."
        )
    words.append(f"By person: {_coverage(by_group)} By picture: {_coverage(by_picture)}")
    return "\n".join(
        [
            *lines,
            "",
            f"{' '.join(words)} Mean and standard error over {len(by_group)} seeds; truth: macro-F1 of the same "
            f"network on {people} people drawn anew.",
            "",
        ]
    )


def draw(rows: Sequence[Row]) -> Figure:
    """Validation, test with its interval, and truth of each search, ordered by truth."""
    ordered = sorted(rows, key=lambda row: row.truth)
    places = np.arange(len(ordered))
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    test = np.array([row.test.value for row in ordered])
    ends = np.array([[row.test.value - row.test.low, row.test.high - row.test.value] for row in ordered]).T
    axes.errorbar(places, test, ends, fmt="o", color="#1b6ca8", capsize=3, label="test side, 95% interval")
    axes.plot(places, [row.search for row in ordered], "^", color="#c0392b", label="search's best validation score")
    axes.plot(places, [row.val for row in ordered], "v", color="#d98a1f", label="re-ranked validation score")
    axes.plot(places, [row.truth for row in ordered], "k_", markersize=16, label="truth: people drawn anew")
    axes.set_xticks(places, [f"seed {row.seed}" for row in ordered], fontsize=8)
    axes.set_ylabel("macro-F1")
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure


def _measure_splits(config: HonestyConfig, out: Path, fresh: Path) -> str:
    rows: dict[str, list[Row]] = {by: [] for by in SPLITS}
    for seed in range(config.searches):
        for by in SPLITS:
            flags = (*DEFAULT_ALONE, *ONE_CORE, "--split-by", by)
            rows[by].append(_row(seed, f"{by}-{seed}", out, fresh, flags, ("--seeds", "1", *ONE_CORE)))
    return render_splits(rows["group"], rows["picture"], PEOPLE)


def _row(
    seed: int, name: str, out: Path, fresh: Path, search_flags: Sequence[str], retrain_flags: Sequence[str]
) -> Row:
    run_dir, folder = out / "runs" / name, out / name
    record = folder / "results" / "retrained" / f"{SPACE}.json"
    places = ("--storage", str(out / "runs"), "--readme", str(folder / "README.md"))
    if not record.exists():
        if RunFolder(run_dir).run_json.exists():
            _call("search/run.py", "--resume", name, *places)
        else:
            _call("search/run.py", "--name", name, *COMMON, *search_flags, "--seed", str(seed), *places)
        _call("scripts/retrain.py", "--run", name, *retrain_flags, *places)
    counts = _answers(run_dir, folder, fresh, out / "cache")
    best, final = best_trial(run_dir), load_retrained(record)
    assert best is not None
    default = "final" if final.is_default else "default"
    difference = difference_interval(counts["test_final"], counts[f"test_{default}"])
    row = Row(
        seed=seed,
        search=best.report.val_macro_f1,
        search_truth=_score(counts["fresh_winner"]),
        val=final.val_macro_f1,
        test=score_interval(counts["test_final"]),
        truth=_score(counts["fresh_final"]),
        is_default=final.is_default,
        default_truth=_score(counts[f"fresh_{default}"]),
        verdict="it is the default" if final.is_default else verdict(difference, "the default"),
    )
    print(row, flush=True)
    return row


def _answers(run_dir: Path, folder: Path, fresh: Path, cache_dir: Path) -> Mapping[str, np.ndarray]:
    """Counts `(G, 3, C)` of what the search's networks answered to the people drawn anew and to the test side."""
    from trainables.data.labelled import read_pictures
    from trainables.data.manifest import DataConfig
    from trainables.saved.final_model import save_trained

    path = folder / f"answers-{fresh.name}.npz"
    if not path.exists():
        best = best_trial(run_dir)
        assert best is not None
        winner = folder / "winner"
        save_trained(RunFolder(run_dir).checkpoints / best.trial_id, best.config, load_run(run_dir).task, winner, {})
        retrained = RunFolder(run_dir).retrained.path
        models = {"final": retrained, "default": retrained / "control", "winner": winner}
        sides = {
            "fresh": read_pictures(DataConfig(data=fresh)),
            "test": read_pictures(DataConfig(), split=RunFolder(run_dir).split_csv),
        }
        found = {
            f"{side}_{kind}": _ask(model, pictures, cache_dir)
            for kind, model in models.items()
            if model.is_dir()  # no default where that is the final network
            for side, pictures in sides.items()
        }
        temporary = path.with_suffix(".part.npz")
        np.savez_compressed(temporary, **found)
        temporary.replace(path)
    with np.load(path) as saved:
        return dict(saved)


def _ask(model: Path, pictures: LabelledPictures, cache_dir: Path) -> np.ndarray:
    from trainables.saved.predict import predict_probabilities
    from trainables.saved.saved_model import load_model

    answers = predict_probabilities([load_model(model)], pictures.paths, cache_dir=cache_dir)
    labels = [answers.classes.index(label) for label in pictures.labels]
    groups = pictures.groups or pictures.paths
    return group_counts(labels, answers.probabilities.argmax(1).tolist(), groups, len(answers.classes))


def _call(script: str, *flags: str) -> None:
    done = subprocess.run([sys.executable, str(ROOT / script), *flags], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{script} {' '.join(flags)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr}")


def _score(counts: np.ndarray) -> float:
    return float(macro_f1(counts.sum(axis=0)))


def _coverage(rows: Sequence[Row]) -> str:
    inside = sum(row.covered for row in rows)
    sure = binomtest(inside, len(rows)).proportion_ci(method="wilson")
    return (
        f"{inside} of {len(rows)} intervals hold the truth ({inside / len(rows):.0%}, 95% interval {sure.low:.0%} to "
        f"{sure.high:.0%})."
    )


def _table(head: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]


def _mean(values: Sequence[float]) -> str:
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):+.3f} ± {error:.3f}"


if __name__ == "__main__":
    sys.exit(main())
