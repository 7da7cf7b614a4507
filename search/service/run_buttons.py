"""The buttons of a run: each starts the very command, or stops the process that is at it."""

from __future__ import annotations

import math
from asyncio import to_thread
from typing import Any

from nicegui import ui

from results.records.summary import RunSummary
from search.remove_run import what_is_lost
from search.service.commands import remove_command, resume_command, retrain_command
from search.service.frame import attempt, outlined
from search.service.service import Service


class RunButtons:
    """One browser's buttons, of which those are there that make sense now."""

    def __init__(self, service: Service, name: str) -> None:
        """Draws them, all out of sight.

        Args:
            service: What is served.
            name: Of the run.
        """
        self._service = service
        self._name = name
        self._more_time = ""
        with ui.row().classes("items-center").style("gap: 8px"):
            self._stop = ui.button("Stop", on_click=lambda: self._do_stop(at_once=False))
            self._stop.props("no-caps color=warning text-color=black")
            self._stop_now = outlined("Stop now", lambda: self._do_stop(at_once=True))
            self._resume = ui.button("Resume", on_click=self._do_resume).props("no-caps")
            self._extend = outlined("Add trials", self._ask_extend)
            self._retrain = outlined("Re-train the best", self._do_retrain)
            self._delete = ui.button("Delete", on_click=self._ask_delete).props("no-caps flat color=negative")
        self.hide()

    def hide(self) -> None:
        """Shows none."""
        for button in (self._stop, self._stop_now, self._resume, self._extend, self._retrain, self._delete):
            button.set_visibility(False)

    def show(self, row: RunSummary) -> None:
        """Shows those that make sense for a run in this state."""
        self._more_time = row.more_time
        running = row.state.is_running
        here = running and row.presence is not None and self._service.can_stop(row.presence)
        self._stop.set_visibility(here)
        self._stop_now.set_visibility(here)
        self._resume.set_visibility(row.can_resume)
        self._extend.set_visibility(not running and 0 < row.asked <= row.done)
        self._retrain.set_visibility(not running and math.isfinite(row.best))
        self._delete.set_visibility(row.presence is None)

    async def _do_stop(self, *, at_once: bool) -> None:
        async def stop() -> str:
            return await to_thread(lambda: self._service.stop(self._name, at_once=at_once))

        if (said := await attempt(stop)) is not None:
            ui.notify(said)

    async def _submit(self, what: str, command: list[str], *, trains: bool = True) -> None:
        async def submit() -> str:
            job = await to_thread(lambda: self._service.submit(what, command, self._name, trains=trains))
            waits = self._service.queue.waits_for
            return f"{what}: waits for {waits}" if job.state == "waiting" and waits else f"{what}: {job.state}"

        if (said := await attempt(submit)) is not None:
            ui.notify(said)

    async def _do_resume(self) -> None:
        what = f"resume {self._name}" + (f" for {self._more_time} more" if self._more_time else "")
        await self._command(what, lambda: resume_command(self._name, self._service.places, time_budget=self._more_time))

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
            readme = await to_thread(self._service.places.readme_of, self._name)
            return await to_thread(what_is_lost, run_dir, readme.parent / "results" / "best")

        if (sentences := await attempt(read)) is None:
            return
        with ui.dialog() as dialog, ui.card():
            ui.label(f"Delete {self._name}?").classes("text-weight-bold")
            if (bucket := self._service.places.bucket) is not None:
                stays = f"Only what is on this machine is deleted. {bucket}/{self._name} stays: delete it by the"
                sentences = [*sentences, f"{stays} bucket's own tools, or it is listed again."]
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
