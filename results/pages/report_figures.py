"""The figures of a run's report: each a piece of HTML that needs plotly.js on its page, or the reason there is none.

Optuna and plotly are heavy, so they are imported when a figure is drawn.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from results.pages.figures import confusion_figure, to_png
from results.records.confusion import ConfusedPair, confused_pairs, load_confusion
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from trainables.config import TrialConfig
from trainables.report import METRIC, TrialStatus

if TYPE_CHECKING:
    import optuna
    import plotly.graph_objects

FEWEST_FOR_IMPORTANCE = 8
"""With fewer scored trials than this a forest finds importance in noise."""
LINES_SHOWN = 250
"""Trials in the parallel coordinates: each is a trace, which costs time and bytes, and more hide each other."""
PARAMS_SHOWN = 8
"""Hyper-parameters in the parallel coordinates and the slices: the most important ones."""

NOT_ENDED = "not ended"
"""What a trial is called that runs or was interrupted."""
COLOURS: dict[str, str] = {
    TrialStatus.FINISHED: "#1b7f5c",
    TrialStatus.STOPPED: "#d98a1f",
    TrialStatus.FAILED: "#c0392b",
    NOT_ENDED: "#7f8c9b",
}
"""State of a trial to the colour of its curve; the darkness of the three differs too."""
_SCORE = "macro-F1"


@dataclass(frozen=True, kw_only=True)
class ReportFigure:
    """A figure with its words."""

    title: str
    """What it shows."""
    words: str
    """How to read it; without a figure, why there is none."""
    html: str = ""
    """The figure, already escaped; empty if there is none."""
    min_width: int = 0
    """Pixels below which it can no longer be read, so that its box scrolls."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """What the winner answered, as pictures of the matrix and in words."""

    images: tuple[str, ...]
    """Data URIs: the whole matrix, and its errors alone."""
    pairs: tuple[ConfusedPair, ...]
    """The most confused classes first."""
    pictures: int
    """Pictures that were answered."""
    classes: frozenset[str]
    """Classes in truth or answers: of the others it says nothing."""


def plotly_js() -> str:
    """The library that the figures need, to be put into the page once."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def curves_figure(trials: Sequence[TrialHistory], winner: str | None, metric: str = _SCORE) -> ReportFigure:
    """Macro-F1 of all trials over epochs: one line a trial, one trace a state, so that 1,000 trials are few traces."""
    import plotly.graph_objects as go

    title = "Curves of all trials"
    with_reports = [trial for trial in trials if trial.reports]
    if not with_reports:
        return ReportFigure(title=title, words="No trial has trained an epoch, so there is no curve.")
    figure = go.Figure()
    for state, colour in COLOURS.items():
        group = [trial for trial in with_reports if _state(trial) == state]
        if not group:
            continue
        x: list[int | None] = []
        y: list[float | None] = []
        names: list[str] = []
        for trial in group:
            x += [*(report.epoch for report in trial.reports), None]
            y += [*(_finite(report.val_score) for report in trial.reports), None]
            names += [_short_name(trial)] * (len(trial.reports) + 1)
        line = {"color": colour, "width": 1.2}
        template = f"%{{text}}<br>epoch %{{x}}: %{{y:.4f}}<extra>{state}</extra>"
        label, symbol = f"{state} ({len(group)})", "x" if state == TrialStatus.FAILED else "circle"
        figure.add_scatter(
            x=x, y=y, text=names, mode="lines", line=line, opacity=0.55, legendgroup=state, name=label,
            hovertemplate=template,
        )  # fmt: skip
        ends = [(trial, report) for trial in group if (report := _last_scored(trial)) is not None]
        figure.add_scatter(
            x=[report.epoch for _, report in ends],
            y=[report.val_score for _, report in ends],
            text=[_full_name(trial) for trial, _ in ends],
            mode="markers", marker={"color": colour, "size": 7, "symbol": symbol},
            legendgroup=state, showlegend=False, hovertemplate=template,
        )  # fmt: skip
    best = next((trial for trial in with_reports if trial.trial_id == winner), None)
    if best is not None and best.best is not None:
        figure.add_scatter(
            x=[report.epoch for report in best.reports],
            y=[_finite(report.val_score) for report in best.reports],
            mode="lines", line={"color": "#1f3b73", "width": 3}, name="the best trial", text=_short_name(best),
            hovertemplate="%{text}<br>epoch %{x}: %{y:.4f}<extra>best</extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[best.best.epoch], y=[best.best.val_score], mode="markers", showlegend=False, text=[_full_name(best)],
            marker={"color": "#1f3b73", "size": 15, "symbol": "star"},
            hovertemplate="%{text}<br>epoch %{x}: %{y:.4f}<extra>best</extra>",
        )  # fmt: skip
    most = max(trial.reports[-1].epoch for trial in with_reports)
    figure.update_xaxes(title="epoch", rangemode="tozero", tickformat="d", **({"dtick": 1} if most <= 12 else {}))
    figure.update_yaxes(title=f"validation {metric}", rangemode="tozero")
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, hovermode="closest")
    return ReportFigure(
        title=title,
        words="Each line is a trial, coloured by how it ended, and its dot is its last epoch: an orange dot is where "
        "ASHA stopped it. The star is the best epoch of all. Point at a dot for the whole configuration; click a name "
        "in the legend to hide its curves, drag to zoom in, double-click to zoom out.",
        html=figure_html(figure, "curves", height=460),
    )


def study_figures(run_dir: Path, metric: str = _SCORE) -> tuple[list[ReportFigure], list[str]]:
    """What Optuna's figures say of the hyper-parameters, and the hyper-parameters by importance, if it can be told."""
    import optuna

    titles = ("Which hyper-parameters matter", "Parallel coordinates", "Slices")
    folder = RunFolder(run_dir)
    path = next((path for path in (folder.study_journal, folder.earlier_study_db) if path.is_file()), None)
    if path is None:
        words = "The run's folder holds no study.journal, from which this figure is drawn; a resume writes it."
        return [ReportFigure(title=title, words=words) for title in titles], []
    try:
        study, num_stopped = _scored_study(path)
    except (OSError, ValueError) as error:
        words = f"{path} cannot be read: {str(error).partition(chr(10))[0]}. A resume of the run writes it anew."
        return [ReportFigure(title=title, words=words) for title in titles], []
    trials = study.get_trials(deepcopy=False)
    counted = f"{len(trials)} trials with a score"
    if num_stopped:
        counted += f", of which the {num_stopped} that were stopped early count with the best score they had by then"
        counted += " (low also for having trained less)"
    shared = optuna.search_space.intersection_search_space(trials)
    searched = {name for trial in trials for name in trial.params}
    every = [field.name for field in fields(TrialConfig) if field.name in searched]
    apart = ", ".join(name for name in every if name not in shared)
    left_out = f" Left out, as not all trials have them, or not in the same range: {apart}." if apart else ""
    importance, names = _importance(study, titles[0], counted, left_out, metric)
    ranked = names or every
    axes = [name for name in ranked if name in shared][:PARAMS_SHOWN]
    sliced = ranked[:PARAMS_SHOWN]
    lines = _every_so_many(trials)
    drawn = counted if len(lines) == len(trials) else f"{len(lines)} of {counted}, evenly by rank, the best among them"
    parallel = _of_study(
        titles[1],
        f"Each line is a trial, the darker the better, from its score on the left through its values: {drawn}. "
        f"Drag along an axis to keep only the trials that pass there.{left_out}",
        lambda: optuna.visualization.plot_parallel_coordinate(_study_of(lines), params=axes, target_name=metric),
        num_trials=len(trials),
        num_params=len(axes),
        width=105,
    )
    slices = _of_study(
        titles[2],
        f"Each dot is a trial, the darker the later: {counted}. A cloud that rises to one side says where to search "
        "further.",
        lambda: _slices(study, sliced, metric),
        num_trials=len(trials),
        num_params=len(sliced),
        width=210,
    )
    return [importance, parallel, slices], names


def _slices(study: optuna.Study, params: list[str], metric: str) -> Any:
    """Optuna's slices, with the numbers of logarithmic axes so far apart that they do not overlap."""
    import optuna

    figure = optuna.visualization.plot_slice(study, params=params, target_name=metric)
    figure.for_each_xaxis(lambda axis: axis.update(dtick="D2") if axis.type == "log" else None)
    return figure


def draw_confusion(path: Path) -> Confusion:
    """Draws a saved confusion matrix.

    Raises:
        RecordError: The file holds no such matrix.
        OSError: It cannot be read.
    """
    classes, counts = load_confusion(path)
    images = []
    for title, diagonal in (("All answers", True), ("Errors alone", False)):
        png = to_png(confusion_figure(counts, classes, title=title, diagonal=diagonal))
        images.append(f"data:image/png;base64,{base64.b64encode(png).decode()}")
    pairs = tuple(confused_pairs(counts, classes))
    columns = [sum(column) for column in zip(*counts, strict=True)]
    there = frozenset(name for name, row, column in zip(classes, counts, columns, strict=True) if sum(row) + column)
    return Confusion(images=tuple(images), pairs=pairs, pictures=sum(map(sum, counts)), classes=there)


def _scored_study(path: Path) -> tuple[optuna.Study, int]:
    """The study's trials with a score, all complete, in the order of the search, and how many had been stopped.

    Raises:
        ValueError: The file holds no study, or a broken one.
    """
    from optuna.trial import TrialState, create_trial

    scored, num_stopped = [], 0
    for trial in _trials_in(path):
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            continue
        values = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
        if not values and trial.value is not None and math.isfinite(trial.value):
            values = [trial.value]
        if values:
            num_stopped += trial.state == TrialState.PRUNED
            complete = create_trial(params=trial.params, distributions=trial.distributions, value=max(values))
            complete.number = trial.number
            scored.append(complete)
    return _study_of(scored), num_stopped


def _trials_in(path: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials of a study's file, which a search may still be writing: it is neither locked nor changed."""
    import optuna
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import SQLAlchemyError

    try:
        storage: optuna.storages.BaseStorage
        if path.suffix == ".db":
            storage = optuna.storages.RDBStorage(f"sqlite:///file:{quote(str(path.resolve()))}?mode=ro&uri=true")
        else:
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        return optuna.load_study(study_name=None, storage=storage).get_trials(deepcopy=False)
    except SQLAlchemyError as error:
        raise ValueError(f"it is no study of Optuna ({error})") from error
    except (KeyError, TypeError, AssertionError) as error:  # lines of a journal that Optuna did not write
        raise ValueError("it is no journal of Optuna") from error


def _study_of(trials: Sequence[optuna.trial.FrozenTrial]) -> optuna.Study:
    """A study of complete trials, to be looked at only: Optuna's own would copy each trial for being added."""
    import optuna

    def get_trials(deepcopy: bool = True, states: object = None) -> list[optuna.trial.FrozenTrial]:
        return list(trials)

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # that it was made is no news
    try:
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction="maximize")
    finally:
        optuna.logging.set_verbosity(verbosity)
    study.get_trials = get_trials  # type: ignore[method-assign]
    return study


def _every_so_many(trials: Sequence[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
    """At most `LINES_SHOWN` trials, evenly by rank from the best on, in the order of the search."""
    ranked = sorted(trials, key=lambda trial: -trial.values[0])
    step = -(-len(ranked) // LINES_SHOWN)
    return sorted(ranked[::step] if step else [], key=lambda trial: trial.number)


def _importance(
    study: optuna.Study, title: str, counted: str, left_out: str, metric: str
) -> tuple[ReportFigure, list[str]]:
    import optuna
    import plotly.graph_objects as go

    trials = study.get_trials(deepcopy=False)
    if len(trials) < FEWEST_FOR_IMPORTANCE:
        words = f"It takes {FEWEST_FOR_IMPORTANCE} trials with a score to tell, and this run has {len(trials)}."
        return ReportFigure(title=title, words=words), []
    if len({trial.value for trial in trials}) == 1:
        return ReportFigure(title=title, words="All trials have the same score, so nothing can be told."), []
    # Optuna's default of fully grown trees takes a minute with 1,000 trials, and ranks no differently; so do 64 trees.
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, max_depth=6, seed=0)
    try:
        importances = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError) as error:
        return ReportFigure(title=title, words=f"Optuna cannot tell: {error}."), []
    if not importances:
        return ReportFigure(title=title, words="No hyper-parameter is shared by all trials and varies."), []
    names, shares = list(importances), [float(share) for share in importances.values()]
    # Drawn here, since plot_param_importances copies all trials once for every hyper-parameter.
    figure = go.Figure()
    figure.add_bar(
        x=shares, y=names, orientation="h", marker={"color": "#1f3b73"}, text=[f"{share:.2f}" for share in shares],
        textposition="auto", hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="share of variance (fANOVA)")
    figure.update_yaxes(autorange="reversed")
    html_text = figure_html(figure, "importance", height=110 + 26 * len(names))
    words = f"How much of the differences in {metric} between trials each hyper-parameter explains, over {counted}. "
    words += f"With a few dozen trials this is a rough hint. It does not say which value is good.{left_out}"
    return ReportFigure(title=title, words=words, html=html_text), names


def _of_study(
    title: str, words: str, draw: Callable[[], Any], *, num_trials: int, num_params: int, width: int
) -> ReportFigure:
    """One of Optuna's figures, drawn if there is something to compare."""
    if num_trials < 2 or not num_params:
        return ReportFigure(title=title, words=f"There is nothing to compare: trials with a score: {num_trials}.")
    try:
        figure = draw()
    except (ValueError, RuntimeError) as error:
        return ReportFigure(title=title, words=f"Optuna cannot draw it: {error}.")
    div_id = title.split()[0].lower()
    return ReportFigure(
        title=title, words=words, html=figure_html(figure, div_id, height=430), min_width=140 + width * num_params
    )


def figure_html(figure: plotly.graph_objects.Figure, div_id: str, *, height: int) -> str:
    """A figure as a piece of HTML that needs plotly.js on its page."""
    import plotly.io

    font = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13}
    margin = {"l": 60, "r": 20, "t": 40, "b": 50}
    figure.update_layout(template="plotly_white", title=None, font=font, margin=margin)
    figure.update_layout(width=None, height=height, autosize=True)
    text: str = plotly.io.to_html(
        figure,
        config={"responsive": True, "displayModeBar": False},
        include_plotlyjs=False,
        full_html=False,
        div_id=div_id,
        default_height=f"{height}px",
    )
    return text


def _state(trial: TrialHistory) -> str:
    return trial.status if trial.status.is_over else NOT_ENDED


def _last_scored(trial: TrialHistory) -> Any:
    return next((report for report in reversed(trial.reports) if math.isfinite(getattr(report, METRIC))), None)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _short_name(trial: TrialHistory) -> str:
    config = trial.config
    return html.escape(f"{trial.trial_id}, {config.backbone}, lr {config.lr:.2g}, dropout {config.dropout:.2g}")


def _full_name(trial: TrialHistory) -> str:
    words = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in
             asdict(trial.config).items())  # fmt: skip
    return "<br>".join(map(html.escape, (f"trial {trial.trial_id}", *words)))
