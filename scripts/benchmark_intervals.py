"""Measures how often our 95% intervals of macro-F1 hold the true score, on drawn people whose truth is known.

    python scripts/benchmark_intervals.py

18 classes = 3 masks x 6 kinds of people, seven pictures a person, who tends to be taken for right or wrong as a whole.
Test sides of 12, 25 and 60 people are drawn 500 times each, the kinds in the competition's shares, every kind at least
once; the truth is the score of 20,000 people. It takes about two minutes on one core and prints a table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro

from results.bootstrap import NUM_RESAMPLES, group_counts, macro_f1, score_interval

SHARES = np.array([549, 410, 83, 732, 817, 109]) / 2700
"""Of the six kinds of people, 3 * female + age band, among the competition's 2,700."""
MASKS = (0, 0, 0, 0, 0, 1, 2)
NUM_CLASSES = 18
RIGHT = {"gender": (6.0, 1.2), "age": (2.2, 1.5)}
"""Beta distributions, over people, of the share of a person's pictures that are answered rightly."""
MASK_RIGHT = 0.92
SAME_MISTAKE = 0.8
"""How often a wrong age is the person's usual wrong one."""


@dataclass(frozen=True, kw_only=True)
class IntervalsConfig:
    """Measures how often 95% intervals hold the truth."""

    people: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT")] = (12, 25, 60)
    """Sizes of the test side."""
    repeats: int = 500
    """Test sides of each size."""
    seed: int = 1
    """Of everything that is drawn."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line, measures, and prints a Markdown table."""
    config = tyro.cli(IntervalsConfig, prog="benchmark_intervals.py", args=args)
    rng = np.random.default_rng(config.seed)
    truth = float(macro_f1(draw_people(rng.choice(6, 20_000, p=SHARES), rng).sum(axis=0)))
    print(f"Truth {truth:.3f}, {config.repeats} test sides a row\n")
    print("| people | ours holds it | width | plain percentile holds it | width |\n|---|---|---|---|---|")
    for num in config.people:
        cells = measure(num, config.repeats, truth, rng)
        print(f"| {num} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |", flush=True)
    return 0


def measure(num_people: int, repeats: int, truth: float, rng: np.random.Generator) -> tuple[float, ...]:
    """Share of intervals that hold the truth, and their mean width: ours, then the plain percentile interval."""
    rows = []
    for _ in range(repeats):
        counts = draw_people(spread(num_people), rng)
        ours = score_interval(counts, seed=int(rng.integers(2**31)))
        low, high = percentile(counts, rng)
        rows.append((ours.low <= truth <= ours.high, ours.high - ours.low, low <= truth <= high, high - low))
    return tuple(np.mean(rows, axis=0))


def spread(num_people: int) -> np.ndarray:
    """Kinds of people in the wanted shares, each at least once, as a stratified split has them."""
    counts = np.maximum(np.floor(SHARES * num_people).astype(int), 1)
    while counts.sum() < num_people:
        counts[np.argmax(SHARES * num_people - counts)] += 1
    return np.repeat(np.arange(6), counts)


def draw_people(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts `(G, 3, C)` of drawn answers to the pictures of people of these kinds."""
    labels, answers, groups = [], [], []
    for person, kind in enumerate(kinds):
        gender, age = divmod(int(kind), 3)
        gender_right, age_right = (rng.beta(*RIGHT[name]) for name in ("gender", "age"))
        others = rng.permutation([band for band in range(3) if band != age])
        for mask in MASKS:
            said_gender = gender if rng.random() < gender_right else 1 - gender
            said_age = age if rng.random() < age_right else int(others[int(rng.random() > SAME_MISTAKE)])
            said_mask = mask if rng.random() < MASK_RIGHT else int(rng.integers(3))
            labels.append(6 * mask + 3 * gender + age)
            answers.append(6 * said_mask + 3 * said_gender + said_age)
            groups.append(f"{person:05d}")
    return group_counts(labels, answers, groups, NUM_CLASSES)


def percentile(counts: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The plain percentile interval of a bootstrap over groups."""
    num, flat = len(counts), counts.reshape(len(counts), -1).astype(float)
    times = rng.multinomial(num, np.full(num, 1 / num), size=NUM_RESAMPLES)
    scores = macro_f1((times @ flat).reshape(-1, *counts.shape[1:]))
    low, high = np.quantile(scores, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
