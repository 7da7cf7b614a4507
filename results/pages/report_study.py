"""What Optuna's study of a run says of its hyper-parameters: which matter, and which values did well.

Optuna and plotly are heavy, so they are imported when a figure is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from results.pages.report_figures import FROM_GREY_TO_BLUE, SCORE, WINNER, ReportFigure, figure_html
from results.records.run_folder import RunFolder
from trainables.config import TrialConfig

if TYPE_CHECKING:
    import optuna

FEWEST_FOR_IMPORTANCE = 8
"""With fewer scored trials than this a forest finds importance in noise."""
LINES_SHOWN = 250
"""Trials in the parallel coordinates: each is a trace, which costs time and bytes, and more hide each other."""
PARAMS_SHOWN = 8
"""Hyper-parameters in the parallel coordinates and the slices: the most important ones."""


def study_figures(run_dir: Path, metric: str = SCORE) -> tuple[list[ReportFigure], list[str]]:
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
    counted = f"{len(trials)} trials that ended with a score"
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
        f"Each line is a trial, grey the worst and blue the best, from its score on the left through its values: "
        f"{drawn}. Point at a line for them.{left_out}",
        lambda: _parallel(_study_of(lines), axes, metric),
        num_trials=len(trials),
        num_params=len(axes),
        width=105,
    )
    slices = _of_study(
        titles[2],
        f"Each dot is a trial, grey the first and blue the last: {counted}. A cloud that rises to one side says "
        "where to search further.",
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
    figure.update_traces(marker={"colorscale": FROM_GREY_TO_BLUE, "line": {"width": 0}, "size": 7})
    return figure


def _parallel(study: optuna.Study, params: list[str], metric: str) -> Any:
    """Optuna's parallel coordinates, in colours for light and for dark paper."""
    import optuna
    from plotly.colors import sample_colorscale

    figure = optuna.visualization.plot_parallel_coordinate(study, params=params, target_name=metric)
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    heights = [trace.y[0] for trace in lines]  # on the axis of the score
    low, high = min(heights), max(heights)
    for trace, height in zip(lines, heights, strict=True):
        share = (height - low) / (high - low) if high > low else 1.0
        trace.line.color = sample_colorscale([list(stop) for stop in FROM_GREY_TO_BLUE], [share])[0]
        trace.opacity = 0.35 + 0.55 * share
    for trace in figure.data:
        if trace.mode == "markers":  # it carries the colour bar
            trace.marker.colorscale, trace.marker.reversescale = FROM_GREY_TO_BLUE, False
    figure.update_shapes(line={"color": "#7f8c9b"})
    return figure


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
        with _quiet():
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

    with _quiet():
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction="maximize")
    study.get_trials = get_trials  # type: ignore[method-assign]
    return study


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna from telling that a study was made or found, which is no news."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


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
        words = f"It takes {FEWEST_FOR_IMPORTANCE} trials that ended with a score to tell; this run has {len(trials)}."
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
        x=shares, y=names, orientation="h", marker={"color": WINNER}, text=[f"{share:.2f}" for share in shares],
        textposition="outside", cliponaxis=False, hovertemplate="%{y}: %{x:.3f}<extra></extra>",
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
        words = f"There is nothing to compare: trials that ended with a score: {num_trials}."
        return ReportFigure(title=title, words=words)
    try:
        figure = draw()
    except (ValueError, RuntimeError) as error:
        return ReportFigure(title=title, words=f"Optuna cannot draw it: {error}.")
    div_id = title.split()[0].lower()
    return ReportFigure(
        title=title, words=words, html=figure_html(figure, div_id, height=430), min_width=140 + width * num_params
    )
