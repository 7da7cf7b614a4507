"""What a report says of the winner: its settings beside the default's, how it learned, and every class.

The figures are those of plotly, which is heavy, so it is imported when one is drawn.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.pages.report_figures import WINNER, ReportFigure, figure_html
from results.records.confusion import load_confusion
from results.records.progress import Knob, best_so_far, default_of, knobs, shown
from results.records.record import BestTrial, SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from results.statistics.class_scores import class_scores
from trainables.metric_names import in_words
from trainables.report import TrialStatus
from trainables.strict_json import RecordError

TRAIN = "#c98016"
"""Colour of the training's line; the validation's is the winner's."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of the winner beside the default's, as they are read."""

    name: str
    default: str
    best: str


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One class of the validation side; cells that are not known are empty."""

    name: str
    precision: str
    recall: str
    f1: str
    support: str


def winner_parts(
    run: SearchRun, best: BestTrial | None, trials: Sequence[TrialHistory], run_dir: Path
) -> dict[str, Any]:
    """What the template of the winner needs, by name."""
    changed, same = _settings(run, best)
    return {
        "changed": changed,
        "same": same,
        "best_so_far": _best_so_far(trials, run_dir, in_words(run.task.metric)),
        "losses": _losses(best, trials),
        "class_rows": _class_rows(run, best, run_dir),
    }


def _settings(run: SearchRun, best: BestTrial | None) -> tuple[list[Setting], list[Setting]]:
    """The settings in which the winner differs from the default, and those in which it does not."""
    default = None
    with contextlib.suppress(RecordError):
        default = default_of(run)
    if best is None or default is None:
        return [], []
    pairs = knobs(default, best.config)
    return [_setting(knob) for knob in pairs if knob.differs], [_setting(knob) for knob in pairs if not knob.differs]


def _setting(knob: Knob) -> Setting:
    return Setting(name=knob.name, default=shown(knob.first), best=shown(knob.second))


def _best_so_far(trials: Sequence[TrialHistory], run_dir: Path, metric: str) -> ReportFigure:
    import plotly.graph_objects as go

    title = "Best so far"
    failed = {trial.trial_id for trial in trials if trial.status == TrialStatus.FAILED}
    points = best_so_far(RunFolder(run_dir).epochs(), failed)
    if not points:
        return ReportFigure(title=title, words="No epoch has a score yet.")
    figure = go.Figure()
    figure.add_scatter(
        x=[epochs for epochs, _ in points], y=[score for _, score in points], mode="lines",
        line={"color": WINNER, "width": 2.5, "shape": "hv"}, hovertemplate="%{x} epochs: %{y:.4f}<extra></extra>",
    )  # fmt: skip
    whole_epochs(figure, points[-1][0], "epochs spent, all trials added up")
    figure.update_yaxes(title=f"best validation {metric}")
    words = (
        "The best validation score over the epochs spent. A line that has been flat for long says that more trials of "
    )
    words += "this space will hardly help; one that still rises says that they may."
    return ReportFigure(title=title, words=words, html=figure_html(figure, "best-so-far", height=320))


def _losses(best: BestTrial | None, trials: Sequence[TrialHistory]) -> ReportFigure:
    import plotly.graph_objects as go

    title = "How the best trial learned"
    trial = next((trial for trial in trials if best is not None and trial.trial_id == best.trial_id), None)
    if trial is None or not trial.reports:
        return ReportFigure(title=title, words="There is no best trial yet.")
    figure = go.Figure()
    for name, label, colour in (("train_loss", "train", TRAIN), ("val_loss", "validation", WINNER)):
        figure.add_scatter(
            x=[report.epoch for report in trial.reports],
            y=[value if math.isfinite(value := getattr(report, name)) else None for report in trial.reports],
            mode="lines+markers", name=label, line={"color": colour, "width": 2},
            hovertemplate=f"{label}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
        )  # fmt: skip
    whole_epochs(figure, trial.reports[-1].epoch, "epoch")
    figure.update_yaxes(title="loss", rangemode="tozero")
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    words = "Training loss is of augmented, maybe mixed and smoothed pictures, so it may well be the higher one. A "
    words += "validation loss that rises while the other falls says that it learns its pictures by heart."
    return ReportFigure(title=title, words=words, html=figure_html(figure, "losses", height=320))


def whole_epochs(figure: Any, last: int, title: str) -> None:
    """Makes an axis of epochs, which are whole numbers."""
    figure.update_xaxes(title=title, rangemode="tozero", tickformat="d")
    if last <= 12:
        figure.update_xaxes(dtick=1)


def _class_rows(run: SearchRun, best: BestTrial | None, run_dir: Path) -> list[ClassRow]:
    """All classes, the weakest first; of a run that kept no confusion matrix their F1 alone."""
    if best is None:
        return []
    with contextlib.suppress(RecordError, OSError):
        classes, counts = load_confusion(RunFolder(run_dir).confusion_csv(best.trial_id))
        return [
            ClassRow(
                name=score.name,
                precision=f"{score.precision:.3f}",
                recall=f"{score.recall:.3f}",
                f1=f"{score.f1:.3f}",
                support=f"{score.support:,}",
            )
            for score in sorted(class_scores(counts, classes), key=lambda score: (score.f1, score.name))
        ]
    pairs = sorted(zip(best.report.class_f1, run.task.classes, strict=False))
    return [ClassRow(name=name, precision="", recall="", f1=f"{f1:.3f}", support="") for f1, name in pairs]
