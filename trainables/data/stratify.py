"""Divides groups among train, val and test by `train_test_apart_stratify`, made random and fair to pictures.

The bare function never shuffles: it takes groups in the order of their labels (of a set's, by default, which
differs from process to process), and it counts groups only, although one group can own a tenth of the
pictures.

Letters: `G` groups, `C` classes, `K` pairs of a group and a class that it has pictures of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
import pandas
from pandas_streaming.df import train_test_apart_stratify

from trainables.data.rows import SIDES

TRAIN, VAL, TEST = range(3)

TRIES, MAX_TRIES = 24, 80
"""Fewest and most relabelings that are tried for a side. A small set has the coarser groups and is divided
quickly, so it gets more. On 5,096 pictures of 344 people, five of whom have 37% of them, one try misses the
test side's 20% by 5 points on average and by 9 at worst (8 seeds), 80 tries by 0.7 and 2.5."""
PAIRS = 200_000
"""Pairs of a group and a class that all tries for a side go through together, within these bounds: a
second."""
GOOD_ENOUGH = 0.005**2
"""Cost at which no further relabeling is tried: shares are off by half a point."""


@dataclass(frozen=True)
class Counts:
    """How many pictures of each class the groups have: a table of `(G, C)` without its zeros, sorted by group."""

    group: numpy.ndarray
    """`(K,) int64`."""
    label: numpy.ndarray
    """`(K,) int64`."""
    pictures: numpy.ndarray
    """`(K,) int64`."""
    num_groups: int
    num_classes: int

    @classmethod
    def of(cls, group_of: numpy.ndarray, label_of: numpy.ndarray, num_groups: int, num_classes: int) -> Counts:
        """Counts pictures by their group and class."""
        pairs, pictures = numpy.unique(group_of * num_classes + label_of, return_counts=True)
        return cls(pairs // num_classes, pairs % num_classes, pictures, num_groups, num_classes)

    def among(self, groups: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Pictures of each class in some of the groups `(G,) bool`, and how many of these have any, `(C,) int64`."""
        there = groups[self.group]
        label = self.label[there]
        pictures = numpy.bincount(label, self.pictures[there], self.num_classes).astype(numpy.int64)
        return pictures, numpy.bincount(label, minlength=self.num_classes)

    def having(self, classes: numpy.ndarray) -> numpy.ndarray:
        """Which groups have pictures of any of some classes `(C,) bool`, `(G,) bool`."""
        found = numpy.zeros(self.num_groups, dtype=bool)
        found[self.group[classes[self.label]]] = True
        return found


def divide(
    labels: Sequence[str], groups: Sequence[str], *, seed: int, val_share: float, test_share: float
) -> list[str]:
    """Returns a side for each picture, the same for all pictures of a group.

    Depends on which pictures there are, not on their order. Test is cut first, so that it stays the same when
    only val's share changes.

    Args:
        labels: The class of each picture.
        groups: The group of each picture.
        seed: Seed of the relabelings.
        val_share: Wanted share of the pictures; 0 cuts no val side.
        test_share: The same for test.
    """
    names, label_of = numpy.unique(labels, return_inverse=True)
    ids, group_of = numpy.unique(groups, return_inverse=True)
    counts = Counts.of(group_of, label_of, len(ids), len(names))
    shares = {side: share for side, share in ((TEST, test_share), (VAL, val_share)) if share}
    sides, left = numpy.full(len(ids), TRAIN), 1.0
    for i, (side, share) in enumerate(shares.items()):
        chosen = _cut(counts, sides == TRAIN, share / left, len(shares) - i, [seed, side])
        sides[chosen] = side
        left -= share
    if VAL in shares:
        sides = _repair(counts, sides, {TRAIN: left, **shares})
    return [SIDES[side] for side in sides[group_of]]


def _cut(counts: Counts, uncut: numpy.ndarray, share: float, fill: int, seed: Sequence[int]) -> numpy.ndarray:
    """Chooses the groups of one side from those that are on no other yet.

    Args:
        counts: Pictures of each class by group.
        uncut: The groups to choose from, `(G,) bool`.
        share: Wanted share of their pictures.
        fill: Groups of a class that have to be left for the other sides.
        seed: What the relabelings are drawn from.

    Returns:
        The groups chosen, as indices.
    """
    total, num_groups = counts.among(uncut)
    # A class that has no group to spare must not lose one: its groups do not enter the cut.
    scarce = num_groups <= fill
    free = (uncut & ~counts.having(scarce))[counts.group]
    group_of, label_of = counts.group[free], counts.label[free]
    best, best_cost = numpy.zeros(0, dtype=numpy.int64), numpy.inf
    if not len(group_of):
        return best
    take = take_of_each_class if (numpy.diff(group_of) > 0).all() else take_apart
    for attempt in range(min(MAX_TRIES, max(TRIES, PAIRS // len(group_of)))):
        # RandomState's stream is frozen (NEP 19), so that a split outlives a new version of NumPy.
        relabel = numpy.random.RandomState([*seed, attempt]).permutation(counts.num_groups)
        cut = numpy.zeros(counts.num_groups, dtype=bool)
        cut[group_of[take(relabel[group_of], label_of, share)]] = True
        pictures, num_cut = counts.among(cut)
        short = ((pictures == 0) | (num_groups - num_cut < fill)) & ~scarce
        cost = _cost(pictures, total, cut.sum() / uncut.sum(), share) + 10 * short.sum()
        if cost < best_cost:
            best, best_cost = numpy.flatnonzero(cut), cost
        # Rare classes can be far from a share and yet as near as whole pictures allow.
        if best_cost < GOOD_ENOUGH or (not short.any() and numpy.abs(pictures - share * total).max() <= 0.5):
            break
    return best


def take_apart(groups: numpy.ndarray, labels: numpy.ndarray, share: float) -> numpy.ndarray:
    """Which of the pairs of a group and a class `(K,)` are of the groups that `train_test_apart_stratify` takes."""
    # The function serves the class with the fewest rows first. One row a group and class, not a picture,
    # makes that the class with the fewest groups, which is the one that is hardest to serve.
    pairs = pandas.DataFrame({"group": groups, "label": labels})
    _, chosen = train_test_apart_stratify(
        pairs, group="group", stratify="label", test_size=share, force=True, sorted_indices=True
    )
    return chosen.index.to_numpy()


def take_of_each_class(groups: numpy.ndarray, labels: numpy.ndarray, share: float) -> numpy.ndarray:
    """The same where each group has one class, in a hundredth of the time: of each class the first by group."""
    order = numpy.lexsort((groups, labels))
    labels, number = labels[order], numpy.bincount(labels)
    wanted = numpy.minimum(number, ((1 - (1 - share)) * number + 0.5).astype(numpy.int64))  # rounded as it is there
    wanted[(wanted == 0) & (number > 1)] = 1
    rank = numpy.arange(len(order)) - (number.cumsum() - number)[labels]
    return numpy.sort(order[rank < wanted[labels]])


def _cost(pictures: numpy.ndarray, total: numpy.ndarray, group_share: float, share: float) -> float:
    """Squared distance of a side from its wanted share: of all pictures, each class in the mean, groups.

    Classes count alike because macro-F1 weighs them alike. The share of all pictures, which decides how much
    there is to learn from, is one number among them and weighs four times as much.
    """
    present = total > 0
    by_class = pictures[present] / total[present] - share
    overall = pictures.sum() / total.sum() - share
    return float(4 * overall**2 + numpy.mean(by_class**2) + (group_share - share) ** 2)


def _missing(counts: Counts, sides: numpy.ndarray) -> numpy.ndarray:
    """Classes of two and more groups that train or val lacks, `(C,) bool`."""
    train, val, every = (counts.among(groups)[1] for groups in (sides == TRAIN, sides == VAL, sides >= 0))
    return ((train == 0) | (val == 0)) & (every > 1)


def _repair(counts: Counts, sides: numpy.ndarray, shares: Mapping[int, float]) -> numpy.ndarray:
    """Moves the groups that cost least until train and val have every class of two and more groups.

    Each step makes the best move, even one that makes things worse for now, and no group moves twice; the
    best state on the way is kept (a pass of Fiduccia and Mattheyses, 1982). Does nothing where nothing is
    missing.
    """
    total, num_groups = counts.among(sides >= 0)

    def cost(state: numpy.ndarray) -> float:
        by_side = 0.0
        for side, share in shares.items():
            on_side = state == side
            by_side += _cost(counts.among(on_side)[0], total, on_side.mean(), share)
        lacks_test = TEST in shares and ((counts.among(state == TEST)[1] == 0) & (num_groups > 2)).sum()
        return 1000 * float(_missing(counts, state).sum()) + 10 * float(lacks_test) + by_side

    state, best, best_cost = sides.copy(), sides, cost(sides)
    still = numpy.ones(len(sides), dtype=bool)
    while _missing(counts, best).any():
        trials = []
        for group in numpy.flatnonzero(counts.having(_missing(counts, state)) & still).tolist():
            for side in shares:
                trial = state.copy()
                trial[group] = side
                if side != state[group]:
                    trials.append((cost(trial), group, side))
        if not trials:
            break
        state_cost, group, side = min(trials)
        state[group], still[group] = side, False
        if state_cost < best_cost:
            best, best_cost = state.copy(), state_cost
    return best
