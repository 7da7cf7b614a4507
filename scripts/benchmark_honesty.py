"""Measures what the scores of a search are worth: validation, test and, on many people drawn anew, the truth.

    python scripts/benchmark_honesty.py --searches 10

Ten small searches on the built-in data, each with a split of its own, are re-trained. The network that a search found
best, the final one and the default's are asked about 600 people drawn for this. It takes half an hour on two
cores and ends with a table and a figure in runs/honesty. Stopped and started again, it goes on where it was.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro
from matplotlib.figure import Figure
from scipy.stats import binomtest

from results.atomic import write_whole
from results.bootstrap import group_counts, macro_f1
from results.collect import best_trial, load_run
from results.figures import save_png
from results.retrained import load_retrained
from results.strict_json import load_object, save_object
from scripts.terminal import run_command

FRESH_SEED = 1_000_003
"""Of the people drawn for the truth; the built-in data have seed 0."""
SEARCH = ("--trials", "8", "--epochs", "3", "--image-size", "48", "--history", "none")
BACKBONE = ("--backbones", "tf_efficientnet_lite0")
RETRAIN = ("--top-k", "1", "--seeds", "2")


@dataclass(frozen=True, kw_only=True)
class HonestyConfig:
    """Measures validation and test scores against the truth."""

    searches: int = 10
    """Searches, each with its own seed of split, proposals and training."""
    people: int = 600
    """People drawn anew, seven pictures each."""
    out: Annotated[Path, tyro.conf.arg(help_behavior_hint="(default: runs/honesty)")] = ROOT / "runs" / "honesty"
    """Folder of everything it makes."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and measures; a user's mistake is one message and exit code 2."""
    return run_command(HonestyConfig, measure, args, prog="benchmark_honesty.py")


def measure(config: HonestyConfig) -> int:
    """Runs what has not been run yet, then writes table and figure."""
    from trainables.data.demo import make_demo_data

    out = config.out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    fresh = make_demo_data(out / f"people-{config.people}", people=config.people, eval_people=1, seed=FRESH_SEED)
    log = out / "searches.json"
    known = load_object(log) if log.exists() else {}
    rows = {int(seed): row for seed, row in known.items() if row["people"] == config.people}
    for seed in range(config.searches):
        if seed not in rows:
            rows[seed] = {"people": config.people, **_one_search(seed, out, fresh)}
            save_object(log, {str(seed): row for seed, row in rows.items()})
            print(rows[seed], flush=True)
    chosen = [rows[seed] for seed in range(config.searches)]
    text = render_table(chosen, config.people)
    write_whole(out / "honesty.md", text.encode())
    save_png(draw(chosen), out / "honesty.png")
    print(text)
    return 0


def render_table(rows: Sequence[Mapping[str, Any]], people: int) -> str:
    """The searches as a Markdown table, and what they say together."""
    head = ("seed", "search: best val", "its truth", "re-ranked val", "test [95%]", "truth", "in interval")
    lines = [f"| {' | '.join((*head, 'pick less default, truth', 'verdict'))} |", "| --- " * (len(head) + 2) + "|"]
    for row in rows:
        cells = (
            str(row["seed"]),
            f"{row['search']:.3f}",
            f"{row['search_truth']:.3f}",
            f"{row['val']:.3f}",
            f"{row['test']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
            f"{row['truth']:.3f}",
            "yes" if covers(row) else "**no**",
            "same" if row["is_default"] else f"{row['truth'] - row['default_truth']:+.3f}",
            row["verdict"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    words = [
        f"{what} says {_mean(np.array([row[score] - row[truth] for row in rows]))} more than the truth of {whose}"
        for score, truth, what, whose in (
            ("search", "search_truth", "The search", "the very network that it found best"),
            ("val", "truth", "Re-ranking", "the final network"),
            ("test", "truth", "The test side", "the final network"),
        )
    ]
    others = [row for row in rows if not row["is_default"]]
    worse = sum(row["truth"] < row["default_truth"] for row in others)
    inside = sum(map(covers, rows))
    sure = binomtest(inside, len(rows)).proportion_ci(method="wilson")
    return "\n".join(
        [
            *lines,
            "",
            f"{'; '.join(words)} (mean and standard error over {len(rows)} searches). {inside} of {len(rows)} "
            f"intervals hold the truth ({inside / len(rows):.0%}, 95% interval {sure.low:.0%} to {sure.high:.0%}). "
            f"The pick was not the default {len(others)} times, and in truth worse than it {worse} times. "
            f"Truth: macro-F1 on {people} people drawn anew.",
            "",
        ]
    )


def covers(row: Mapping[str, Any]) -> bool:
    """Whether the interval of the test score holds the score on the people drawn anew."""
    return bool(row["low"] <= row["truth"] <= row["high"])


def draw(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Validation, test with its interval, and truth of each search, ordered by truth."""
    ordered = sorted(rows, key=lambda row: row["truth"])
    places = np.arange(len(ordered))
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    test = np.array([row["test"] for row in ordered])
    ends = np.array([[row["test"] - row["low"], row["high"] - row["test"]] for row in ordered]).T
    axes.errorbar(places, test, ends, fmt="o", color="#1b6ca8", capsize=3, label="test side, 95% interval")
    axes.plot(places, [row["search"] for row in ordered], "^", color="#c0392b", label="search's best validation score")
    axes.plot(places, [row["val"] for row in ordered], "v", color="#d98a1f", label="re-ranked validation score")
    axes.plot(places, [row["truth"] for row in ordered], "k_", markersize=16, label="truth: people drawn anew")
    axes.set_xticks(places, [f"seed {row['seed']}" for row in ordered], fontsize=8)
    axes.set_ylabel("macro-F1")
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure


def _one_search(seed: int, out: Path, fresh: Path) -> dict[str, Any]:
    name, readme = f"seed-{seed}", out / f"seed-{seed}" / "README.md"
    places = ("--storage", str(out / "runs"), "--readme", str(readme))
    run_dir = out / "runs" / name
    if (run_dir / "run.json").exists():
        _call("search/run.py", "--resume", name, *places)
    else:
        _call("search/run.py", "--name", name, *BACKBONE, *SEARCH, "--seed", str(seed), *places)
    _call("scripts/retrain.py", "--run", name, *RETRAIN, *places)
    from trainables.final import save_trained

    best = best_trial(run_dir)
    assert best is not None
    final = load_retrained(readme.parent / "results" / "retrained" / f"{best.space}.json")
    score, folder = final.test["macro_f1"], run_dir / "retrained"
    winner = out / f"seed-{seed}" / "winner"
    save_trained(run_dir / "checkpoints" / best.trial_id, best.config, load_run(run_dir).task, winner, {})
    truth = _truth(folder, fresh, out / "cache")
    default = truth if final.is_default else _truth(folder / "control", fresh, out / "cache")
    return {
        "seed": seed,
        "search": best.report.val_macro_f1,
        "search_truth": _truth(winner, fresh, out / "cache"),
        "val": final.val_macro_f1,
        "test": score["value"],
        "low": score["low"],
        "high": score["high"],
        "truth": truth,
        "is_default": final.is_default,
        "default_truth": default,
        "verdict": final.verdict,
    }


def _call(script: str, *flags: str) -> None:
    done = subprocess.run([sys.executable, str(ROOT / script), *flags], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(
            f"{script} {' '.join(flags)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr}"
        )


def _truth(folder: Path, fresh: Path, cache_dir: Path) -> float:
    from trainables.data.labelled import read_pictures
    from trainables.data.manifest import DataConfig
    from trainables.predict import predict_probabilities
    from trainables.saved_model import load_model

    pictures = read_pictures(DataConfig(data=fresh))
    answers = predict_probabilities([load_model(folder)], pictures.paths, cache_dir=cache_dir)
    labels = [answers.classes.index(label) for label in pictures.labels]
    everyone = ["all"] * len(labels)
    counts = group_counts(labels, answers.probabilities.argmax(1).tolist(), everyone, len(answers.classes))
    return float(macro_f1(counts.sum(axis=0)))


def _mean(values: np.ndarray) -> str:
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{values.mean():+.3f} ± {error:.3f}"


if __name__ == "__main__":
    sys.exit(main())
