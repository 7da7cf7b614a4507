"""What answers to labelled pictures are worth: scores with intervals, confused pairs, groups wrong throughout.

Letters: `N` pictures, `C` classes, `K` values of an attribute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from results.records.predictions import marginal
from results.statistics.bootstrap import Interval, accuracy, group_counts, log_losses, mean_interval, score_interval
from results.statistics.measure import MACRO_F1, Measure


@dataclass(frozen=True)
class Answers:
    """What was answered to labelled pictures."""

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    """`(N,) int64`, indices of classes."""
    probabilities: np.ndarray
    """`(N, C) float32`."""
    groups: tuple[str, ...] | None = None
    """The group (person) of each picture; None where the data name none."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Attribute name to its value for each class, in class order."""
    measure: Measure = MACRO_F1
    """What the network was searched for."""

    @property
    def chosen(self) -> np.ndarray:
        """The most probable class of each picture, `(N,) int64`."""
        return self.probabilities.argmax(axis=1)


@dataclass(frozen=True)
class ClassScore:
    """One class; a share without a picture to take it of is None."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    count: int
    """Pictures of this class."""
    answered: int
    """Pictures answered as this class."""


@dataclass(frozen=True)
class LabelScores:
    """How well one kind of label was answered: the class, or an attribute."""

    names: tuple[str, ...]
    confusion: np.ndarray
    """`(C, C)` pictures of true class (row) answered as class (column)."""
    macro_f1: Interval
    accuracy: Interval


@dataclass(frozen=True)
class WrongGroup:
    """A group of which no picture was answered rightly."""

    group: str
    count: int
    labels: str
    """True classes in words, with counts."""
    answers: str


@dataclass(frozen=True)
class Evaluation:
    """Everything a report says of answers."""

    answers: Answers
    scores: LabelScores
    loss: Interval
    """Cross-entropy in nats, of the averaged probabilities."""
    attributes: Mapping[str, LabelScores]
    """Each attribute by itself: its most probable value, whatever the others are."""
    joint: LabelScores | None
    """The classes that these values make together; None without attributes."""
    mistakes: tuple[int, ...]
    """Pictures answered wrongly, the most confident first."""
    wrong_groups: tuple[WrongGroup, ...]
    other: Interval | None = None
    """What the network was searched for, where that is another than macro-F1."""


def evaluate_answers(answers: Answers, seed: int = 0) -> Evaluation:
    """Scores answers; intervals are over groups, or over pictures where the data name no groups."""
    units = answers.groups or answers.paths
    chosen = answers.chosen
    losses = log_losses(answers.probabilities, answers.labels)
    names = np.array(answers.classes, dtype=object)
    attributes, values = {}, {}
    for name, by_class in answers.attributes.items():
        kinds, probabilities = marginal(answers.probabilities, by_class)
        values[name] = np.array(kinds, dtype=object)[probabilities.argmax(axis=1)]
        truth = np.array(by_class, dtype=object)[answers.labels]
        attributes[name] = label_scores(truth, values[name], units, kinds, seed)
    joint = None
    if attributes:
        by_values = dict(zip(zip(*answers.attributes.values(), strict=True), answers.classes, strict=True))
        together = [by_values.get(kinds, "/".join(kinds)) for kinds in zip(*values.values(), strict=True)]
        every = tuple(dict.fromkeys([*answers.classes, *sorted(together)]))
        joint = label_scores(names[answers.labels], together, units, every, seed)
    other = None
    if answers.measure != MACRO_F1:
        counts = answers.measure.by_group(answers.labels.tolist(), chosen.tolist(), units, len(names))
        other = score_interval(counts, answers.measure.score, seed)
    wrong = np.flatnonzero(chosen != answers.labels)
    confidence = answers.probabilities[wrong, chosen[wrong]]
    return Evaluation(
        answers=answers,
        scores=label_scores(names[answers.labels], names[chosen], units, answers.classes, seed),
        loss=mean_interval(losses.tolist(), units, seed=seed),
        attributes=attributes,
        joint=joint,
        mistakes=tuple(wrong[np.argsort(-confidence, kind="stable")].tolist()),
        wrong_groups=tuple(
            groups_wrong_throughout(names[answers.labels], names[chosen], answers.groups) if answers.groups else ()
        ),
        other=other,
    )


def label_scores(
    truth: Sequence[str], answers: Sequence[str], groups: Sequence[str], names: Sequence[str], seed: int = 0
) -> LabelScores:
    """Scores named answers against the truth, with intervals over groups."""
    index = {name: place for place, name in enumerate(names)}
    rows, columns = [index[name] for name in truth], [index[name] for name in answers]
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (rows, columns), 1)
    counts = group_counts(rows, columns, groups, len(names))
    return LabelScores(
        names=tuple(names),
        confusion=confusion,
        macro_f1=score_interval(counts, seed=seed),
        accuracy=score_interval(counts, accuracy, seed=seed),
    )


def class_scores(confusion: np.ndarray, classes: Sequence[str]) -> list[ClassScore]:
    """Precision, recall and F1 of each class from a confusion matrix `(C, C)`."""

    def share(part: float, whole: float) -> float | None:
        return float(part / whole) if whole else None

    hits, counts, answered = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return [
        ClassScore(name, share(hit, said), share(hit, count), share(2 * hit, count + said), int(count), int(said))
        for name, hit, count, said in zip(classes, hits, counts, answered, strict=True)
    ]


def groups_wrong_throughout(
    labels: Sequence[str], answers: Sequence[str], groups: Sequence[str], smallest: int = 2
) -> list[WrongGroup]:
    """Groups of at least `smallest` pictures without a right answer, the largest first."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for label, answer, group in zip(labels, answers, groups, strict=True):
        rows.setdefault(group, []).append((label, answer))
    wrong = [
        WrongGroup(group, len(pairs), _counted(label for label, _ in pairs), _counted(answer for _, answer in pairs))
        for group, pairs in rows.items()
        if len(pairs) >= smallest and all(label != answer for label, answer in pairs)
    ]
    return sorted(wrong, key=lambda found: (-found.count, found.group))


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())
