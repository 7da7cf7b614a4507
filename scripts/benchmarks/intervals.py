"""Measures how often our 95% intervals hold the true score, on test sides drawn from many people.

    python scripts/benchmarks/intervals.py                          # answers that are drawn, at three levels of skill
    python scripts/benchmarks/intervals.py --answers runs/honesty   # answers of networks, by honesty.py

All people together are the truth. Test sides of 12, 25 and 60 of them are drawn with the kinds of people in the
competition's shares, every kind at least once, as a split has them. 18 classes = 3 masks x 6 kinds of people, seven
pictures a person. It takes about a minute for each network or level on one core and prints tables: of macro-F1, ours
beside the plain percentile interval, and of the difference between two networks on the same people.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro

from results.pages.markdown import markdown_row, render_markdown_table
from results.statistics.bootstrap import difference_interval, group_counts, macro_f1, score_interval
from scripts.terminal import run_command
from trainables.errors import UserError

SHARES = np.array([549, 410, 83, 732, 817, 109]) / 2700
"""Of the six kinds of people, 3 * female + age band, among the competition's 2,700."""
MASKS = (0, 0, 0, 0, 0, 1, 2)
NUM_CLASSES = 18
NUM_DRAWN = 4000
"""People of a level of skill."""
NUM_PERCENTILE = 1000
"""Resamples of the plain percentile interval."""


@dataclass(frozen=True)
class Skill:
    """How people's answers are drawn: who is taken for right or wrong tends to be so as a whole."""

    gender: tuple[float, float]
    """Beta distribution, over people, of the share of a person's pictures whose gender is answered rightly."""
    age: tuple[float, float]
    """The same for the age band."""
    mask: float
    """How often the mask is answered rightly."""


SKILLS = {
    "weak": Skill((1.5, 1.0), (1.0, 1.6), 0.6),
    "middling": Skill((6.0, 1.2), (2.2, 1.5), 0.92),
    "good": Skill((20.0, 0.5), (8.0, 0.8), 0.98),
}
SAME_MISTAKE = 0.8
"""How often a wrong age is the person's usual wrong one."""


@dataclass(frozen=True, kw_only=True)
class IntervalsConfig:
    """Measures how often 95% intervals hold the truth."""

    answers: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="(default: drawn answers)")] = None
    """Folder of `scripts/benchmarks/honesty.py`, whose networks' answers to people drawn anew are taken."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT", help_behavior_hint="(default: all)")] = ()
    """Only the networks of these searches."""
    people: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT")] = (12, 25, 60)
    """Sizes of the test side, 6 or more."""
    repeats: int = 500
    """Test sides of each size, for each network or level of skill."""
    seed: int = 1
    """Of everything that is drawn."""

    def __post_init__(self) -> None:
        if min(self.people, default=0) < 6:
            raise UserError(f"--people is {self.people}: a test side has at least 6, one of each kind")
        if self.repeats < 1:
            raise UserError(f"--repeats is {self.repeats}: it must be at least 1")
        if self.seeds and self.answers is None:
            raise UserError("--seeds chooses among the networks of a folder: give --answers too")


SCORE_COLUMNS = (
    *("networks", "people", "score less truth", "ours holds the truth (least of a network)", "above it / below it"),
    *("width", "percentile holds it (least)", "width"),
)
DIFFERENCE_COLUMNS = ("pairs", "people", "interval of the difference holds it (least of a pair)", "width")


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line, measures, and prints Markdown tables; a user's mistake is exit code 2."""
    return run_command(IntervalsConfig, measure, args, prog="scripts/benchmarks/intervals.py", markers=())


def measure(config: IntervalsConfig) -> None:
    """Measures, and prints Markdown tables."""
    by_name: dict[str, list[Mapping[str, np.ndarray]]]
    rng = np.random.default_rng(config.seed)
    if config.answers is None:
        by_name = {name: [{name: draw_crowd(skill, rng)}] for name, skill in SKILLS.items()}
    else:
        by_name = {"all": load_answers(config.answers.expanduser(), config.seeds)}
    print(render_markdown_table(SCORE_COLUMNS, []))
    for name, searches in by_name.items():
        networks = [network for search in searches for network in search.values()]
        for num in config.people:
            rows = np.array([score_rows(network, num, config.repeats, rng) for network in networks])
            print(markdown_row([f"{name}: {len(networks)}", str(num), *score_cells(rows)]), flush=True)
    pairs = [pair for searches in by_name.values() for search in searches for pair in combinations(search.values(), 2)]
    if pairs:
        print()
        print(render_markdown_table(DIFFERENCE_COLUMNS, []))
        for num in config.people:
            rows = np.array([difference_rows(*pair, num, config.repeats, rng) for pair in pairs])
            held = rows[..., 0].mean(axis=1)
            cells = [str(len(pairs)), str(num), f"{held.mean():.3f} ({held.min():.3f})", f"{rows[..., 1].mean():.3f}"]
            print(markdown_row(cells), flush=True)


def load_answers(folder: Path, seeds: Sequence[int]) -> list[Mapping[str, np.ndarray]]:
    """What the networks of each search answered: name to counts `(G, 3, C)`, all of the same people."""
    found: list[Mapping[str, np.ndarray]] = []
    for path in sorted(folder.glob("*/answers-*.npz")):
        if not seeds or int(path.parent.name.rpartition("-")[2]) in seeds:
            with np.load(path) as saved:
                found.append({name: saved[name] for name in saved.files if name.startswith("fresh_")})
    if not found:
        raise UserError(f"{folder}: no answers of networks there; scripts/benchmarks/honesty.py keeps them")
    return found


def score_rows(crowd: np.ndarray, num_people: int, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """For each test side, `(repeats, 6)`: ours and the plain percentile interval.

    Score less truth; whether ours lies above the truth, below it, its width; whether the other misses it, its width.
    """
    truth = float(macro_f1(crowd.sum(axis=0)))
    rows = []
    for counts in draw_sides(crowd, num_people, repeats, rng):
        ours = score_interval(counts, seed=int(rng.integers(2**31)))
        low, high = percentile(counts, rng)
        misses = (truth < ours.low, truth > ours.high)
        rows.append((ours.value - truth, *misses, ours.high - ours.low, not low <= truth <= high, high - low))
    return np.array(rows, dtype=float)


def difference_rows(
    first: np.ndarray, second: np.ndarray, num_people: int, repeats: int, rng: np.random.Generator
) -> np.ndarray:
    """For each test side, `(repeats, 2)`: whether the interval of the difference holds the true one, and its width."""
    truth = float(macro_f1(first.sum(axis=0)) - macro_f1(second.sum(axis=0)))
    rows = []
    for both in draw_sides(np.concatenate([first, second], axis=1), num_people, repeats, rng):
        interval = difference_interval(both[:, :3], both[:, 3:], seed=int(rng.integers(2**31)))
        rows.append((interval.low <= truth <= interval.high, interval.high - interval.low))
    return np.array(rows, dtype=float)


def score_cells(rows: np.ndarray) -> list[str]:
    """Cells of `score_rows` of several networks, `(networks, repeats, 6)`."""
    bias, above, below, width, missed, other = rows.mean(axis=(0, 1))
    least = 1 - (rows[..., 1] + rows[..., 2]).mean(axis=1).max(), 1 - rows[..., 4].mean(axis=1).max()
    return [
        f"{bias:+.3f}",
        f"{1 - above - below:.3f} ({least[0]:.3f})",
        f"{above:.3f} / {below:.3f}",
        f"{width:.3f}",
        f"{1 - missed:.3f} ({least[1]:.3f})",
        f"{other:.3f}",
    ]


def draw_sides(crowd: np.ndarray, num_people: int, repeats: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Test sides from a crowd's counts `(G, ., C)`, each `(num_people, ., C)`; a person may stand there twice."""
    kind = crowd[:, 1].reshape(len(crowd), 3, 6).sum(axis=1).argmax(axis=1)
    pools = [np.flatnonzero(kind == one) for one in range(6)]
    sizes = np.bincount(spread(num_people), minlength=6)
    return [
        crowd[np.concatenate([rng.choice(pool, size) for pool, size in zip(pools, sizes, strict=True)])]
        for _ in range(repeats)
    ]


def spread(num_people: int) -> np.ndarray:
    """Kinds of people in the wanted shares, each at least once, as a stratified split has them."""
    counts = np.maximum(np.floor(SHARES * num_people).astype(int), 1)
    while counts.sum() < num_people:
        counts[np.argmax(SHARES * num_people - counts)] += 1
    return np.repeat(np.arange(6), counts)


def draw_crowd(skill: Skill, rng: np.random.Generator, num_people: int = NUM_DRAWN) -> np.ndarray:
    """Counts `(G, 3, C)` of drawn answers to the pictures of many people."""
    labels, answers, groups = [], [], []
    for person, kind in enumerate(spread(num_people)):
        gender, age = divmod(int(kind), 3)
        gender_right, age_right = rng.beta(*skill.gender), rng.beta(*skill.age)
        others = rng.permutation([band for band in range(3) if band != age])
        for mask in MASKS:
            said_gender = gender if rng.random() < gender_right else 1 - gender
            said_age = age if rng.random() < age_right else int(others[int(rng.random() > SAME_MISTAKE)])
            said_mask = mask if rng.random() < skill.mask else int(rng.integers(3))
            labels.append(6 * mask + 3 * gender + age)
            answers.append(6 * said_mask + 3 * said_gender + said_age)
            groups.append(f"{person:05d}")
    return group_counts(labels, answers, groups, NUM_CLASSES)


def percentile(counts: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The plain percentile interval of a bootstrap over groups."""
    num, flat = len(counts), counts.reshape(len(counts), -1).astype(float)
    times = rng.multinomial(num, np.full(num, 1 / num), size=NUM_PERCENTILE)
    scores = macro_f1((times @ flat).reshape(-1, *counts.shape[1:]))
    low, high = np.quantile(scores, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
