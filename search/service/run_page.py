"""One run: how far it is, who leads, how it went, and the buttons that start the very commands."""

from __future__ import annotations

import contextlib
import json
import math
import shlex
from asyncio import to_thread
from datetime import datetime
from typing import Any

from nicegui import ui

from results.records.cost import duration
from results.records.found import MODEL_OF_BEFORE, found_before, is_model_of
from results.records.presence import who_is_at_run
from results.records.run_folder import RunFolder
from results.records.summary import RunState, RunSummary
from search.flags import budget_seconds
from search.found_words import model_in_words, worth_in_words
from search.service.findings_cards import importance_card, mistakes_card, retraining_card
from search.service.frame import PLAIN, REFRESH_SECONDS, STATE_COLOURS, badge, frame, half, heading, outlined, sheet
from search.service.front_card import FrontCard
from search.service.leaderboard import Leaderboard
from search.service.predict_card import predict_card
from search.service.run_buttons import RunButtons
from search.service.run_charts import best_options, curves_options, loss_options
from search.service.run_view import RunView, TrialRow
from search.service.service import Service
from trainables.errors import UserError
from trainables.report import TrialStatus
from trainables.saved.model_description import DESCRIPTION
from trainables.sizes import size_in_words

FIRST_SHARE = 0.02
"""Of a run: before so much of it is done its pace says nothing of its end."""
MARKED_ROWS = """
<q-tr :props="props" :class="props.row.differs ? 'differs' : ''">
<q-td v-for="column in props.cols" :key="column.name" :props="props">{{ column.value }}</q-td></q-tr>
"""


COPY = "navigator.clipboard ? navigator.clipboard.writeText(TEXT).then(() => true, () => false) : false"
"""What copies a text in a browser, and answers whether that was possible."""


def run_page(service: Service, name: str) -> None:
    """The page of a run."""
    page = RunPage(service, name)
    ui.timer(0.05, page.refresh, once=True)
    ui.timer(REFRESH_SECONDS, page.refresh)


class RunPage:
    """The page as one browser has it: drawn once, brought up to date as the run goes on."""

    def __init__(self, service: Service, name: str) -> None:
        """Draws all parts, empty or out of sight; `refresh` fills them.

        Args:
            service: What is served.
            name: Of the run, as the address has it.
        """
        self._service = service
        self._name = name
        self._signature: object = None
        self._parts: object = None
        self._found: dict[int, object] = {}
        with frame(name):
            with ui.row().classes("w-full items-center").style("gap: 10px"):
                heading(name, 1)
                self._state = badge("")
            self._words = ui.label("Reading the run.").classes("words")
            self._buttons = RunButtons(service, name)
            self._bar = ui.linear_progress(value=0, show_value=False, size="10px").props("rounded instant-feedback")
            self._running = ui.column().classes("w-full").style("gap: 6px")
            with ui.column().classes("w-full").style("gap: 14px") as self._body:
                self._draw_body()
        self._body.set_visibility(False)

    def _draw_body(self) -> None:
        with sheet():
            self._best = ui.label().classes("text-weight-bold")
            self._test = ui.label()
            self._model = ui.label().classes("words")
        with ui.row().classes("w-full items-stretch").style("gap: 14px") as self._charts:
            with half("Best so far over the epochs spent"):
                self._best_chart = _chart()
            with half("Validation score of the trials"):
                self._curves_words = ui.label().classes("words")
                self._curves_chart = _chart()
        self._front = FrontCard()
        with sheet("Trials", "Click a trial for its curves, classes and confusions. Sort by any column."):
            self._leaderboard = Leaderboard(self._name)
        self._settings = ui.column().classes("w-full")
        with ui.row().classes("w-full items-stretch").style("gap: 14px"):
            with half("Train against validation loss of the best trial") as self._losses:
                self._loss_chart = _chart()
            self._importance = ui.element("div").style("flex: 1 1 360px; min-width: 0; display: flex")
        self._mistakes = ui.column().classes("w-full")
        self._retrained = ui.column().classes("w-full")
        self._more = ui.column().classes("w-full").style("gap: 14px")

    async def refresh(self) -> None:
        """Reads the run again, and draws what has changed."""
        try:
            self._service.places.run_dir(self._name)
            view = await to_thread(self._service.watcher.view, self._name)
        except Exception as error:  # half written, of another version, deleted just now: words, never a broken page
            self._words.set_text(str(error))
            self._state.set_text("cannot be read")
            self._running.clear()
            self._show_delete()
            return
        row = view.summary
        self._state.set_text(row.state)
        self._state.props(f"color={STATE_COLOURS.get(row.state, 'blue-grey-7')}")
        self._buttons.show(row)
        share = self._show_running(view)
        self._words.set_text(_state_in_words(row, self._service.was_asked_to_stop(row.presence), share))
        if view.signature != self._signature:
            self._signature = view.signature
            self._show_body(view)
            self._body.set_visibility(True)
            await self._show_findings(view)

    def _show_delete(self) -> None:
        """Of a run that cannot be read, shows the button that deletes it, unless somebody is at it or it is gone."""
        try:
            presence = who_is_at_run(RunFolder(self._service.places.run_dir(self._name)))
        except UserError:
            self._buttons.hide()
            return
        self._buttons.show(RunSummary(name=self._name, state=RunState.UNREADABLE, presence=presence))

    def _show_running(self, view: RunView) -> float:
        """Shows the trials that run; returns how much of the run is done, 0 to 1."""
        row = view.summary
        running: list[tuple[TrialRow, dict[str, Any]]] = []
        if row.state.is_running:
            trials = [trial for trial in view.trials.values() if trial.state == TrialStatus.RUNNING]
            running = [(trial, view.pulse(trial.trial_id)) for trial in trials]
        within = 0.0
        self._running.clear()
        with self._running:
            for trial, pulse in running:
                done = max(trial.epochs, default=0)
                epochs = max(done + 1, view.run.task.epochs)  # it may go on beyond its length
                share = pulse["batch"] / pulse["batches"] if pulse.get("batches") else 0.0
                within += (done + share) / epochs
                who = f"{trial.trial_id} {trial.config.get('backbone', '')}"
                with ui.row().classes("w-full items-center no-wrap").style("gap: 10px"):
                    bar = ui.linear_progress(value=round((done + share) / epochs, 3), show_value=False, size="8px")
                    bar.style("width: 90px; flex: none")
                    words = f"{who}: epoch {done + 1} of {epochs}, {_pulse_in_words(pulse)}"
                    ui.label(words).classes("words")
        share = (row.done + within) / max(1, row.asked)
        if row.state in (RunState.FINISHED, RunState.TIME_USED):
            share = 1.0
        elif row.trials_open and row.presence is not None:  # there are more trials than the time has room for
            share = _share_of_time(view) if row.presence.doing == "searched" else 1.0
        share = min(1.0, share)
        self._bar.set_value(round(share, 3))
        self._bar.set_visibility(share == 1.0 or row.presence is not None or not row.trials_open)  # else it is unknown
        return share

    def _show_body(self, view: RunView) -> None:
        row, has_score = view.summary, math.isfinite(view.summary.best)
        self._best.set_text(
            f"Best: trial {row.best_trial}, {row.backbone}, validation {row.metric} {row.best:.4f}"
            if has_score
            else "No trial has a score yet."
        )
        worth, model = found_in_words(view)
        self._test.set_text(_test_in_words(view, worth))
        self._model.set_text(f"Its model: {model}." if model else "")
        self._front.show(view)
        self._leaderboard.fill(view)
        self._charts.set_visibility(bool(view.best_curve))
        if view.best_curve:
            _redraw(self._best_chart, best_options(view))
            _redraw(self._curves_chart, curves_options(view))
            self._curves_words.set_text(_curves_in_words(view))
        self._losses.set_visibility(view.winner is not None)
        if view.winner is not None:
            _redraw(self._loss_chart, loss_options(view))
        parts = (row.best_trial, row.has_model, row.has_report)
        if parts != self._parts:  # what asks for input or was unfolded is left alone meanwhile
            self._parts = parts
            self._settings.clear()
            with self._settings:
                _settings(view)
            self._more.clear()
            with self._more:
                if row.has_model:
                    predict_card(self._service, self._name)
                _links(view)

    async def _show_findings(self, view: RunView) -> None:
        """What takes longer to find out, once for each best trial, number of ended trials and re-training."""
        best = (view.summary.best_trial, view.winner.best_epoch if view.winner else 0)
        for part, key, draw in (
            (self._importance, view.summary.done, lambda: importance_card(self._service, view)),
            (self._mistakes, best, lambda: mistakes_card(self._service, view)),
            (self._retrained, view.summary.test, lambda: retraining_card(view)),
        ):
            if self._found.get(part.id) == (key,):
                continue
            self._found[part.id] = (key,)
            part.clear()
            with part:
                await draw()


def _settings(view: RunView) -> None:
    rows = view.settings()
    if not rows:
        return
    changed = [row for row in rows if row["differs"]]
    same = [row for row in rows if not row["differs"]]
    with sheet("The best trial's settings", f"{len(changed)} of {len(rows)} differ from the default's."):
        if changed:
            _settings_table(changed)
        with ui.expansion(f"The {len(same)} that are the default's").classes("w-full"):
            _settings_table(same)
        config = dict(view.winner.config) if view.winner is not None else {}
        outlined("Copy as JSON", lambda: _copy(config))


def _settings_table(rows: list[dict[str, Any]]) -> None:
    columns = [
        {"name": key, "label": label, "field": key, "align": "left"}
        for key, label in (("setting", "setting"), ("default", "default"), ("best", "best trial"))
    ]
    table = ui.table(rows=rows, columns=columns, row_key="setting")
    table.props(PLAIN).classes("w-full").style("max-width: 760px")
    table.add_slot("body", MARKED_ROWS)


def _links(view: RunView) -> None:
    with sheet("More"):
        if view.summary.has_report:
            ui.link("The report", f"/report/{view.summary.name}", new_tab=True).classes("plain")
        for words, command in (
            ("Curves in TensorBoard", ["tensorboard", "--logdir", str(view.folder.tensorboard)]),
            ("The study in Optuna's dashboard", ["optuna-dashboard", str(view.folder.study_journal)]),
        ):
            ui.label(words).classes("words")
            ui.label(shlex.join(command)).classes("command")


def _chart() -> ui.echart:
    return ui.echart({}).style("height: 280px")


def _redraw(chart: ui.echart, options: dict[str, Any]) -> None:
    chart.options.clear()
    chart.options.update(options)
    chart.update()


async def _copy(config: dict[str, Any]) -> None:
    """Copies a configuration, or shows it where the browser does not let a page copy, as over plain HTTP."""
    text = json.dumps(config, indent=2)
    is_copied = False
    with contextlib.suppress(TimeoutError):
        is_copied = bool(await ui.run_javascript(COPY.replace("TEXT", json.dumps(text))))
    if is_copied:
        ui.notify("Copied.")
        return
    with ui.dialog() as dialog, ui.card():
        ui.label("This browser does not let the page copy it. Mark it and copy it by hand:")
        ui.label(text).classes("log")
        outlined("Close", dialog.close)
    dialog.open()


def _curves_in_words(view: RunView) -> str:
    trained = sum(bool(trial.epochs) for trial in view.trials.values())
    shown = len(view.curves())
    words = "Orange: stopped by ASHA, where the triangle is. Point at a curve for its trial."
    words = f"{view.summary.metric} after each epoch. {words}"
    return words if shown == trained else f"{words} {shown} of {trained} trials, evenly by rank, the best among them."


def found_in_words(view: RunView) -> tuple[str, str]:
    """What the best score is worth and what the model is made of; empty each where it is not known, or not any more."""
    found, presence, units = found_before(view.folder), view.summary.presence, view.run.units
    if found is None or (presence is not None and presence.doing == "searched"):
        return "", ""
    has_model = bool(found.members) and (view.folder.model / DESCRIPTION).is_file()
    try:
        worth = worth_in_words(found, units) if found.trial_id == view.summary.best_trial else ""
        made_of = model_in_words(found, units)
        return worth, (made_of if is_model_of(found, view.folder) else MODEL_OF_BEFORE) if has_model else ""
    except (KeyError, TypeError, ValueError):  # a file that somebody has changed
        return "", ""


def _test_in_words(view: RunView, worth: str) -> str:
    row, units = view.summary, view.run.units
    if row.test is not None:
        return f"Re-trained, {row.test.trial_id} has macro-F1 {row.test} on {units} never seen."
    if math.isnan(row.best):
        return ""
    flattered = f"{worth}." if worth else "This score is flattered: the trial was picked for it."
    return f"{flattered} Re-train the best to know what it is on new {units}."


def _pulse_in_words(pulse: dict[str, Any]) -> str:
    if not pulse.get("batches"):
        return str(pulse.get("stage", "starting its worker"))
    loss = f", loss {pulse['loss']:.3f}" if isinstance(pulse.get("loss"), float) else ""
    return f"batch {pulse['batch']} of {pulse['batches']}{loss}"


def _share_of_time(view: RunView) -> float:
    """How much of its time budget a search has had since its process took the run."""
    presence = view.summary.presence
    budget = budget_seconds(view.time_budget)
    if presence is None or not math.isfinite(budget):
        return 0.0
    return (datetime.now().astimezone() - datetime.fromisoformat(presence.since)).total_seconds() / budget


def _state_in_words(row: RunSummary, asked_to_stop: bool, share: float) -> str:
    parts = [f"{row.space} on {row.data}, {row.pictures:,} pictures, {row.classes} classes"]
    parts.append(f"{row.trials_in_words} trial{'s' * (row.trials_in_words != '1')}")
    if row.state.is_running and row.presence is not None:
        gone = (datetime.now().astimezone() - datetime.fromisoformat(row.presence.since)).total_seconds()
        where = "" if row.presence.is_here else f" on {row.presence.host}"
        parts.append(f"is being {row.presence.doing}{where}, {duration(gone)} so far")
        if row.presence.doing == "searched" and FIRST_SHARE < share < 1:
            left = (gone if row.trials_open else row.seconds) / share * (1 - share)
            parts.append(f"about {duration(left)} to go at this pace")
        if asked_to_stop:
            parts.append("was asked to stop: running trials end with their epoch")
    else:
        parts.append(f"took {duration(row.seconds)}")
    parts.append(size_in_words(row.size_bytes))
    return ", ".join(parts) + (f". {row.problem}" if row.problem else "")
