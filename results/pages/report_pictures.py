"""The pictures in a run's report: the winner's confusions, some of every class, and its most confident mistakes.

All are small and lie in the page itself. Letters: `N` pictures of the validation side, `C` classes.
"""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from results.pages.figures import confusion_figure, to_png
from results.records.answers import load_answers
from results.records.confusion import ConfusedPair, confused_pairs, load_confusion
from results.records.record import BestTrial, SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from trainables.data.decoding import read_upright
from trainables.data.rows import SplitRow, read_split
from trainables.errors import UserError

SIDE = 104
"""Longest side of an embedded picture in pixels: 3 to 5 kB each."""
CLASSES_SHOWN, PER_CLASS = 24, 4
MISTAKES_SHOWN = 24


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """What the winner answered, as pictures of the matrix and in words."""

    images: tuple[str, ...]
    """Data URIs: the whole matrix, and its errors alone."""
    pairs: tuple[ConfusedPair, ...]
    """The most confused classes first."""
    pictures: int
    """Pictures that were answered."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One embedded picture."""

    uri: str
    """Data URI; empty where the picture could not be read."""
    name: str
    """Its file's name."""
    caption: tuple[str, ...] = ()
    """Lines below it."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Some pictures of a class."""

    name: str
    count: int
    """Pictures of the class on the train side."""
    pictures: tuple[Shown, ...]


def pictures_part(
    run: SearchRun, best: BestTrial | None, trials: Sequence[TrialHistory], run_dir: Path, *, with_pictures: bool
) -> dict[str, Any]:
    """What `report_pictures.html.j2` shows; nothing where it is not wanted, or where the run kept no split."""
    nothing = {"samples": [], "samples_words": "", "mistakes": [], "mistakes_words": ""}
    if not with_pictures:
        return {**nothing, "samples_words": "This page was written without pictures (--no-pictures)."}
    folder = RunFolder(run_dir)
    try:
        rows = read_split(folder.split_csv)
    except (OSError, UserError, ValueError) as error:
        return {**nothing, "samples_words": f"None can be shown: {error}"}
    samples = sample_pictures(run.task.classes, rows)
    words = "Of the train side, of different groups where there are."
    if len(run.task.classes) > len(samples):
        words = f"The {len(samples)} largest of {len(run.task.classes)} classes. {words}"
    return {"samples": samples, "samples_words": words, **_mistakes(run, best, trials, folder, rows)}


def sample_pictures(
    classes: Sequence[str], rows: Sequence[SplitRow], most: int = CLASSES_SHOWN, per_class: int = PER_CLASS
) -> list[Sample]:
    """A few pictures of each class from the train side, the same each time; of many classes the largest.

    Args:
        classes: Names of the classes.
        rows: The split.
        most: Classes that are shown.
        per_class: Pictures of each.
    """
    of_class: dict[str, list[SplitRow]] = {name: [] for name in classes}
    for row in rows:
        if row.split == "train" and row.label in of_class:
            of_class[row.label].append(row)
    largest = sorted(of_class, key=lambda name: -len(of_class[name]))[:most]
    samples = []
    for name in (name for name in classes if name in largest and of_class[name]):
        found = of_class[name]
        by_group = {row.group: row for row in reversed(found)}
        chosen = list(by_group.values()) if len(by_group) >= per_class else found
        picked = chosen[:: max(1, len(chosen) // per_class)][:per_class]
        pictures = tuple(Shown(uri=thumbnail(row.path), name=Path(row.path).name) for row in picked)
        samples.append(Sample(name=name, count=len(found), pictures=pictures))
    return samples


def _mistakes(
    run: SearchRun,
    best: BestTrial | None,
    trials: Sequence[TrialHistory],
    folder: RunFolder,
    rows: Sequence[SplitRow],
) -> dict[str, Any]:
    """The validation pictures that the winner answered wrongly and was most sure of."""
    winner = [trial for trial in trials if best is not None and trial.trial_id == best.trial_id]
    answers = None
    with contextlib.suppress(OSError, UserError, KeyError):
        answers = load_answers(folder, winner, run.task.classes)
    if answers is None or not answers.trials:
        return {"mistakes": [], "mistakes_words": "The answers of the best trial were not kept." if winner else ""}
    probabilities = answers.trials[0].probabilities
    chosen = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(chosen != answers.labels)
    sure = wrong[np.argsort(-probabilities[wrong, chosen[wrong]], kind="stable")][:MISTAKES_SHOWN]
    side = [row for row in rows if row.split == "val"]
    mistakes = [
        Shown(
            uri=thumbnail(side[place].path),
            name=Path(side[place].path).name,
            caption=(
                f"true: {side[place].label}",
                f"answered: {run.task.classes[chosen[place]]}",
                f"{probabilities[place, chosen[place]]:.0%} sure",
            ),
        )
        for place in sure
    ]
    words = f"{len(wrong):,} of {len(side):,} validation pictures were answered wrongly"
    if len(wrong):
        words += f"; {'these' if len(mistakes) == len(wrong) else f'the {len(mistakes)}'} it was most sure of"
        words += ". Wrong labels are often among them"
    return {"mistakes": mistakes, "mistakes_words": f"{words}."}


def thumbnail(path: str) -> str:
    """A picture as a small JPEG in a data URI; empty where it cannot be read."""
    try:
        picture = read_upright(path, SIDE)[0].copy()
        picture.thumbnail((SIDE, SIDE))
    except Exception:  # Pillow's plugins raise what they like for a broken file
        return ""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=78)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def confusion_part(best: BestTrial | None, run_dir: Path) -> dict[str, Any]:
    """The winner's confusion matrix, or why there is none."""
    if best is None:
        return {"confusion": None, "confusion_words": ""}
    path = RunFolder(run_dir).confusion_csv(best.trial_id)
    confusion, words = None, "The run kept no confusion matrix of this trial."
    if path.is_file():
        try:
            confusion = _draw_confusion(path)
        except (ValueError, OSError) as error:
            words = f"Its confusion matrix cannot be shown: {error}"
    return {"confusion": confusion, "confusion_words": words}


def _draw_confusion(path: Path) -> Confusion:
    classes, counts = load_confusion(path)
    images = []
    for title, diagonal in (("All answers", True), ("Errors alone", False)):
        png = to_png(confusion_figure(counts, classes, title=title, diagonal=diagonal))
        images.append(f"data:image/png;base64,{base64.b64encode(png).decode()}")
    pairs = tuple(confused_pairs(counts, classes))
    return Confusion(images=tuple(images), pairs=pairs, pictures=sum(map(sum, counts)))
