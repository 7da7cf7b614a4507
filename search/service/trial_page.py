"""One trial: its curves, its confusions, its classes, its configuration, and why it ended."""

from __future__ import annotations

from asyncio import to_thread
from typing import Any

from nicegui import ui

from results.records.cost import duration
from results.records.progress import shown
from results.statistics.class_scores import class_scores
from search.service.frame import PLAIN, attempt, badge, chart_options, frame, half, heading, sheet
from search.service.run_charts import BEST, TRAIN
from search.service.run_view import RunView, TrialRow, number
from search.service.service import Service
from trainables.errors import UserError

CELLS_UP_TO = 60
"""Classes up to which the matrix is drawn."""


def trial_page(service: Service, name: str, trial_id: str) -> None:
    """The page of a trial."""
    with frame(f"{name}, trial {trial_id}"):
        ui.link(f"← {name}", f"/run/{name}").classes("plain")
        body = ui.column().classes("w-full").style("gap: 14px")

    async def fill() -> None:
        async def read() -> RunView:
            service.places.run_dir(name)
            view = await to_thread(service.watcher.view, name)
            if trial_id not in view.trials:
                raise UserError(f"{name} has no trial {trial_id!r}")
            return view

        view = await attempt(read)
        with body:
            if view is None:
                ui.label("There is no such trial.").classes("words")
            else:
                _trial(view, view.trials[trial_id])

    ui.timer(0.05, fill, once=True)


def _trial(view: RunView, trial: TrialRow) -> None:
    with ui.row().classes("items-center").style("gap: 10px"):
        heading(f"Trial {trial.trial_id}", 1)
        badge(trial.state)
        ui.label(str(trial.config.get("backbone", ""))).classes("words")
    ui.label(_ended(view, trial)).classes("words")
    with ui.row().classes("w-full").style("gap: 14px"):
        with half("Loss"):
            _lines(trial, (("train", "train_loss", TRAIN), ("validation", "val_loss", BEST)))
        with half("Macro-F1"):
            _lines(trial, (("train, augmented", "train_macro_f1", TRAIN), ("validation", "val_macro_f1", BEST)))
        if view.summary.metric != "macro-F1":
            with half(f"Validation {view.summary.metric}"):
                _lines(trial, (("validation", "val_score", BEST),))
    found = view.confusion(trial.trial_id)
    if found is not None:
        classes, counts = found
        if len(classes) <= CELLS_UP_TO:
            with sheet(
                "Confusion in its best epoch", "True classes in rows, answers in columns, percent of the true class."
            ):
                _confusion(list(classes), counts)
        with sheet("Classes in its best epoch"):
            rows = [
                {"class": score.name, "precision": f"{score.precision:.3f}", "recall": f"{score.recall:.3f}",
                 "f1": f"{score.f1:.3f}", "support": score.support}
                for score in class_scores(counts, classes)
            ]  # fmt: skip
            columns = [
                {"name": key, "label": key if key != "f1" else "F1", "field": key, "sortable": True,
                 "align": "left" if key == "class" else "right", "classes": "wrap" if key == "class" else "",
                 "style": "min-width: 112px" if key == "class" else ""}
                for key in ("class", "precision", "recall", "f1", "support")
            ]  # fmt: skip
            ui.table(rows=rows, columns=columns, row_key="class", pagination=25).props("flat dense").classes(
                "w-full narrow"
            )
    with sheet("Configuration"):
        rows = [{"setting": key, "value": shown(value)} for key, value in trial.config.items()]
        columns = [{"name": key, "label": key, "field": key, "align": "left"} for key in ("setting", "value")]
        ui.table(rows=rows, columns=columns, row_key="setting").props(PLAIN)


def _ended(view: RunView, trial: TrialRow) -> str:
    last = trial.epochs[max(trial.epochs)] if trial.epochs else {}
    words = f"{len(trial.epochs)} of {max(len(trial.epochs), view.run.task.epochs)} epochs"
    if trial.state == "stopped":
        words += ", stopped by ASHA, which kept better ones"
    if trial.reason:
        words += f"; {trial.reason}"
    if last:
        words += f". Ran on {' and '.join(trial.places) or view.run.hardware}"
        words += f", {last.get('images_per_second') or 0:.0f} images/s"
        if seconds := sum(number(values.get("seconds")) or 0.0 for values in trial.epochs.values()):
            words += f", {duration(seconds)} in all"
    return words


def _lines(trial: TrialRow, names: tuple[tuple[str, str, str], ...]) -> None:
    series = [
        {"type": "line", "name": label, "data": trial.curve(key), "color": colour} for label, key, colour in names
    ]
    ui.echart(chart_options(xAxis={"name": "epoch"}, series=series, tooltip={"trigger": "axis"})).style("height: 260px")


def _confusion(classes: list[str], counts: list[list[int]]) -> None:
    def cells(diagonal: bool) -> list[list[Any]]:
        found = []
        for row, values in enumerate(counts):
            whole = sum(values)
            for column, value in enumerate(values):
                if value and (diagonal or row != column):
                    found.append([column, row, round(100 * value / whole, 1)])
        return found

    def options(diagonal: bool) -> dict[str, Any]:
        points = cells(diagonal)
        chart = chart_options()
        category = {"type": "category", "data": classes}
        chart["xAxis"] = {
            **chart["xAxis"],
            **category,
            "axisLabel": {"rotate": 90, "color": "#7d8894"},
            "name": "answered",
        }
        chart["xAxis"]["nameGap"] = 120
        chart["yAxis"] = {**chart["yAxis"], **category, "inverse": True}
        chart["grid"] = {"left": 130, "right": 20, "top": 10, "bottom": 150}
        chart["legend"] = {"show": False}
        most = max((cell[2] for cell in points), default=1)
        chart["visualMap"] = {
            "min": 0, "max": most, "show": False, "inRange": {"color": ["#dce8fb", "#2f6fd0", "#10305f"]},
        }  # fmt: skip
        chart["series"] = [{"type": "heatmap", "data": points, "label": {"show": len(classes) <= 20, "fontSize": 10}}]
        return chart

    errors = ui.switch("Errors alone")
    with ui.element("div").style("overflow-x: auto; width: 100%"):
        side = max(420, 160 + 24 * len(classes))
        chart = ui.echart(options(True)).style(f"height: {side}px; min-width: {side}px; max-width: 1000px")

    def switch() -> None:
        chart.options.clear()
        chart.options.update(options(not errors.value))
        chart.update()

    errors.on_value_change(switch)
