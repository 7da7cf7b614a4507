"""One run: how far it is, who leads, how it went, and the buttons that start the very commands."""

from __future__ import annotations

import math
import shlex
from asyncio import to_thread
from datetime import datetime
from typing import Any

from nicegui import events, ui

from results.records.cost import duration
from results.records.summary import RunSummary, size_in_words
from search.remove_run import what_is_lost
from search.service.commands import remove_command, resume_command, retrain_command
from search.service.frame import PLAIN, REFRESH_SECONDS, attempt, badge, chart_options, frame, half, heading, sheet
from search.service.predict_card import predict_card
from search.service.run_view import KNOBS, RunView
from search.service.service import Service
from trainables.report import METRIC, TrialStatus

ROWS_SHOWN = 25
"""Rows of the leaderboard that travel at once."""
CURVE_COLOURS = {"finished": "#1b7f5c", "stopped": "#d98a1f", "failed": "#c0392b"}
TRIAL_LINK = """
<q-td :props="props"><a class="plain" :href="props.row.address">{{ props.value }}</a></q-td>
"""


def run_page(service: Service, name: str) -> None:
    """The page of a run."""
    page = RunPage(service, name)
    ui.timer(0.05, page.refresh, once=True)
    ui.timer(REFRESH_SECONDS, page.refresh)


class RunPage:
    """The page as one browser has it: drawn once, brought up to date as the run goes on."""

    def __init__(self, service: Service, name: str) -> None:
        """Draws what does not change; `refresh` fills in the rest.

        Args:
            service: What is served.
            name: Of the run, as the address has it.
        """
        self._service = service
        self._name = name
        self._signature: object = None
        self._order: dict[str, Any] = {"sortBy": "best", "descending": True, "page": 1, "rowsPerPage": ROWS_SHOWN}
        self._view: RunView | None = None
        with frame(name):
            with ui.row().classes("w-full items-center").style("gap: 10px"):
                heading(name, 1)
                self._state = badge("")
            self._words = ui.label("Reading the run.").classes("words")
            self._buttons()
            self._bar = ui.linear_progress(value=0, show_value=False, size="10px").props("rounded instant-feedback")
            self._running = ui.column().classes("w-full").style("gap: 6px")
            with ui.column().classes("w-full").style("gap: 14px") as self._body:
                pass

    def _buttons(self) -> None:
        with ui.row().classes("items-center").style("gap: 8px"):
            self._stop = ui.button("Stop", on_click=lambda: self._do_stop(at_once=False)).props(
                "no-caps color=warning text-color=black"
            )
            self._stop_now = ui.button("Stop now", on_click=lambda: self._do_stop(at_once=True)).props(
                "no-caps outline"
            )
            self._resume = ui.button("Resume", on_click=self._do_resume).props("no-caps")
            self._extend = ui.button("Add trials", on_click=self._ask_extend).props("no-caps outline")
            self._retrain = ui.button("Re-train the best", on_click=self._do_retrain).props("no-caps outline")
            self._delete = ui.button("Delete", on_click=self._ask_delete).props("no-caps flat color=negative")
        for button in (self._stop, self._stop_now, self._resume, self._extend, self._retrain, self._delete):
            button.set_visibility(False)

    async def refresh(self) -> None:
        """Reads the run again, and draws what has changed."""
        try:
            self._service.places.run_dir(self._name)
            view = await to_thread(self._service.watcher.view, self._name)
        except Exception as error:  # half written, of another version, deleted just now: words, never a broken page
            self._words.set_text(str(error))
            self._state.set_text("cannot be read")
            self._running.clear()
            return
        self._view = view
        self._show_state(view.summary)
        self._show_running(view)
        if view.signature != self._signature:
            self._signature = view.signature
            self._show_body(view)

    def _show_state(self, row: RunSummary) -> None:
        running = row.state.is_running
        here = running and row.presence is not None and row.presence.is_here
        self._state.set_text(row.state)
        colour = {"finished": "green-9", "failed": "red-9", "interrupted": "amber-10"}.get(str(row.state), "blue-8")
        self._state.props(f"color={colour}")
        self._words.set_text(_state_in_words(row, self._service.was_asked_to_stop(row.presence)))
        self._stop.set_visibility(here)
        self._stop_now.set_visibility(here)
        self._resume.set_visibility(not running and row.done < row.asked)
        self._extend.set_visibility(not running and row.done >= row.asked)
        self._retrain.set_visibility(not running and math.isfinite(row.best))
        self._delete.set_visibility(not running)

    def _show_running(self, view: RunView) -> None:
        row = view.summary
        pulses = {}
        if row.state.is_running:
            running = [trial for trial in view.trials.values() if trial.state == TrialStatus.RUNNING]
            pulses = {trial.trial_id: (trial, view.pulse(trial.trial_id)) for trial in running}
        within = 0.0
        self._running.clear()
        with self._running:
            for trial_id, (trial, pulse) in pulses.items():
                done, epochs = max(trial.epochs, default=0), max(1, view.run.task.epochs)
                share = pulse["batch"] / pulse["batches"] if pulse.get("batches") else 0.0
                within += (done + share) / epochs
                words = f"{trial_id} {trial.config.get('backbone', '')}: epoch {min(done + 1, epochs)} of {epochs}, "
                with ui.row().classes("w-full items-center no-wrap").style("gap: 10px"):
                    _bar((done + share) / epochs)
                    ui.label(words + _pulse_in_words(pulse)).classes("words")
        self._bar.set_value(round(min(1.0, (row.done + within) / max(1, row.asked)), 3))

    def _show_body(self, view: RunView) -> None:
        self._body.clear()
        with self._body:
            self._outcome(view)
            with ui.row().classes("w-full").style("gap: 14px"):
                with half("Best so far over the epochs spent"):
                    _best_chart(view)
                with half("Macro-F1 of the trials", "Orange: stopped by ASHA. Point at a curve for its trial."):
                    _curves_chart(view)
            with sheet("Trials", "Click a trial for its curves, classes and confusions. Sort by any column."):
                self._leaderboard()
            self._settings(view)
            if view.winner is not None:
                with sheet(f"Loss of the best trial, {view.winner.trial_id}"):
                    _loss_chart(view)
            if view.summary.has_model:
                predict_card(self._service, self._name)
            self._links(view)

    def _outcome(self, view: RunView) -> None:
        row = view.summary
        with sheet():
            if math.isfinite(row.best):
                ui.label(f"Best: trial {row.best_trial}, {row.backbone}, validation macro-F1 {row.best:.4f}").classes(
                    "text-weight-bold"
                )
            else:
                ui.label("No trial has a score yet.").classes("text-weight-bold")
            if row.test is not None:
                ui.label(f"Re-trained, {row.test.trial_id} has macro-F1 {row.test} on people never seen.")
            elif math.isfinite(row.best):
                ui.label(
                    "This score is flattered: the trial was picked for having it. Re-train the best to know what it "
                    "is on new people."
                ).classes("words")

    def _leaderboard(self) -> None:
        columns = [{"name": "trial", "label": "trial", "field": "trial", "sortable": True, "align": "left"}]
        for name in ("state", "best", "epoch", "seconds", "backbone", *KNOBS):
            label = {"best": "best val F1", "epoch": "epoch best/trained"}.get(name, name)
            columns.append({"name": name, "label": label, "field": name, "sortable": name != "epoch", "align": "left"})
        wanted = ui.input(placeholder="Filter").props("dense outlined clearable debounce=300").classes("w-48")
        table = ui.table(rows=[], columns=columns, row_key="trial", pagination=dict(self._order)).classes("w-full")
        table.props("flat dense binary-state-sort :rows-per-page-options=[25]")
        table.add_slot("body-cell-trial", TRIAL_LINK)

        def fill() -> None:
            if self._view is None:
                return
            rows = self._view.leaderboard(
                str(self._order["sortBy"]), descending=bool(self._order["descending"]), wanted=wanted.value or ""
            )
            first = (int(self._order["page"]) - 1) * ROWS_SHOWN
            shown = rows[first : first + ROWS_SHOWN]
            table.rows = [{**row, "address": f"/run/{self._name}/trial/{row['trial']}"} for row in shown]
            table.pagination = {**self._order, "rowsNumber": len(rows)}

        def turn(event: events.GenericEventArguments) -> None:
            asked = event.args["pagination"]
            names = {column["name"] for column in columns}
            self._order["sortBy"] = asked.get("sortBy") if asked.get("sortBy") in names else "best"
            self._order["descending"] = bool(asked.get("descending"))
            self._order["page"] = max(1, int(asked.get("page") or 1))
            fill()

        def seek() -> None:
            self._order["page"] = 1
            fill()

        table.on("request", turn)
        wanted.on_value_change(seek)
        fill()

    def _settings(self, view: RunView) -> None:
        rows = view.settings()
        if not rows:
            return
        different = sum(row["differs"] for row in rows)
        with sheet(
            "The best trial's settings beside the default's", f"{different} of {len(rows)} differ: the marked ones."
        ):
            columns = [
                {"name": key, "label": label, "field": key, "align": "left"}
                for key, label in (("setting", "setting"), ("default", "default"), ("best", "best trial"))
            ]
            table = ui.table(rows=sorted(rows, key=lambda row: not row["differs"]), columns=columns, row_key="setting")
            table.props(PLAIN).classes("w-full").style("max-width: 760px")
            table.add_slot(
                "body",
                "<q-tr :props=\"props\" :class=\"props.row.differs ? 'differs' : ''\">"
                '<q-td v-for="column in props.cols" :key="column.name" :props="props">{{ column.value }}</q-td></q-tr>',
            )
            config = view.winner.config if view.winner is not None else {}
            ui.button("Copy as JSON", on_click=lambda: _copy(config)).props("no-caps outline")

    def _links(self, view: RunView) -> None:
        with sheet("More"):
            if view.summary.has_report:
                ui.link("The report", f"/report/{self._name}", new_tab=True).classes("plain")
            for words, command in (
                ("Curves in TensorBoard", ["tensorboard", "--logdir", str(view.folder.tensorboard)]),
                ("The study in Optuna's dashboard", ["optuna-dashboard", str(view.folder.study_journal)]),
            ):
                ui.label(words).classes("words")
                ui.label(shlex.join(command)).classes("command")

    async def _do_stop(self, *, at_once: bool) -> None:
        async def stop() -> str:
            return await to_thread(lambda: self._service.stop(self._name, at_once=at_once))

        if (said := await attempt(stop)) is not None:
            ui.notify(said)
        await self.refresh()

    async def _submit(self, what: str, command: list[str], *, trains: bool = True) -> None:
        async def submit() -> str:
            job = await to_thread(lambda: self._service.queue.submit(what, command, run=self._name, trains=trains))
            waits = self._service.queue.waits_for
            return f"{what}: waits for {waits}" if job.state == "waiting" and waits else f"{what}: {job.state}"

        if (said := await attempt(submit)) is not None:
            ui.notify(said)

    async def _do_resume(self) -> None:
        await self._command(f"resume {self._name}", lambda: resume_command(self._name, self._service.places))

    async def _do_retrain(self) -> None:
        await self._command(f"re-train {self._name}", lambda: retrain_command(self._name, self._service.places))

    async def _command(self, what: str, build: Any, *, trains: bool = True) -> None:
        async def built() -> list[str]:
            return list(build())

        if (command := await attempt(built)) is not None:
            await self._submit(what, command, trains=trains)

    def _ask_extend(self) -> None:
        with ui.dialog() as dialog, ui.card():
            ui.label(f"How many more trials for {self._name}?")
            number = ui.number(value=10, min=1, max=100_000, precision=0).props("outlined dense autofocus")

            async def go() -> None:
                dialog.close()
                more = int(number.value or 0)
                if more < 1:
                    ui.notify("Give a number of at least 1.", type="warning")
                    return
                await self._command(
                    f"extend {self._name} by {more} trials",
                    lambda: resume_command(self._name, self._service.places, more),
                )

            ui.button("Add them", on_click=go).props("no-caps")
        dialog.open()

    async def _ask_delete(self) -> None:
        async def read() -> list[str]:
            run_dir = self._service.places.run_dir(self._name)
            records = self._service.places.readme.parent / "results" / "best"
            return await to_thread(what_is_lost, run_dir, records)

        if (sentences := await attempt(read)) is None:
            return
        with ui.dialog() as dialog, ui.card():
            ui.label(f"Delete {self._name}?").classes("text-weight-bold")
            for sentence in sentences:
                ui.label(sentence).style("overflow-wrap: anywhere")
            typed = ui.input("Type its name").props("outlined dense autofocus")

            async def go() -> None:
                if typed.value != self._name:
                    ui.notify("That is not its name.", type="warning")
                    return
                dialog.close()
                await self._command(
                    f"delete {self._name}", lambda: remove_command(self._name, self._service.places), trains=False
                )
                ui.navigate.to("/")

            ui.button("Delete", on_click=go).props("no-caps color=negative")
        dialog.open()


def _bar(share: float) -> None:
    ui.linear_progress(value=round(share, 3), show_value=False, size="8px").style("width: 90px; flex: none")


def _pulse_in_words(pulse: dict[str, Any]) -> str:
    if not pulse.get("batches"):
        return str(pulse.get("stage", "starting its worker"))
    loss = f", loss {pulse['loss']:.3f}" if isinstance(pulse.get("loss"), float) else ""
    return f"batch {pulse['batch']} of {pulse['batches']}{loss}"


def _state_in_words(row: RunSummary, asked_to_stop: bool) -> str:
    parts = [f"{row.space} on {row.data}, {row.pictures:,} pictures, {row.classes} classes"]
    parts.append(f"{row.done} of {row.asked} trials")
    if row.state.is_running and row.presence is not None:
        gone = (datetime.now().astimezone() - datetime.fromisoformat(row.presence.since)).total_seconds()
        where = "" if row.presence.is_here else f" on {row.presence.host}"
        parts.append(f"is being {row.presence.doing}{where} for {duration(gone)}")
        if row.presence.doing == "searched" and 0 < row.done < row.asked:
            left = row.seconds / row.done * (row.asked - row.done)
            parts.append(f"about {duration(left)} to go at this pace")
        if asked_to_stop:
            parts.append("was asked to stop: running trials end with their epoch")
    else:
        parts.append(f"took {duration(row.seconds)}")
    parts.append(size_in_words(row.size_bytes))
    return ", ".join(parts) + (f". {row.problem}" if row.problem else "")


def _best_chart(view: RunView) -> None:
    points = [[epochs, round(score, 4)] for epochs, score in view.best_curve]
    if len(points) > 400:  # only where it rises, and its ends
        kept = {0, len(points) - 1} | {i for i in range(1, len(points)) if points[i][1] != points[i - 1][1]}
        points = [points[i] for i in sorted(kept)]
    series = [
        {"type": "line", "name": "best so far", "step": "end", "showSymbol": False, "data": points, "color": "#2f6fd0"}
    ]
    ui.echart(
        chart_options(
            xAxis={"name": "epochs spent"}, series=series, tooltip={"trigger": "axis"}, legend={"show": False}
        )
    ).style("height: 280px")


def _curves_chart(view: RunView) -> None:
    trials = view.curves()
    series = []
    for trial in trials:
        best = trial.trial_id == view.summary.best_trial
        series.append(
            {
                "type": "line", "name": f"{trial.trial_id} {trial.config.get('backbone', '')}",
                "data": trial.curve(METRIC),
                "color": "#2f6fd0" if best else CURVE_COLOURS.get(str(trial.state), "#7f8c9b"), "symbolSize": 5,
                "lineStyle": {"width": 3 if best else 1, "opacity": 1 if best else 0.6}, "z": 3 if best else 2,
            }
        )  # fmt: skip
    ui.echart(
        chart_options(xAxis={"name": "epoch"}, series=series, legend={"show": False}, tooltip={"trigger": "item"})
    ).style("height: 280px")
    if len(trials) < len(view.trials):
        ui.label(f"{len(trials)} of {len(view.trials)} trials, evenly by rank, the best among them.").classes("words")


def _loss_chart(view: RunView) -> None:
    if view.winner is None:
        return
    series = [
        {"type": "line", "name": label, "data": view.winner.curve(key), "color": colour}
        for label, key, colour in (("train", "train_loss", "#d98a1f"), ("validation", "val_loss", "#2f6fd0"))
    ]
    ui.echart(chart_options(xAxis={"name": "epoch"}, series=series, tooltip={"trigger": "axis"})).style("height: 260px")


def _copy(config: dict[str, Any]) -> None:
    import json

    ui.clipboard.write(json.dumps(config, indent=2))
    ui.notify("Copied.")
