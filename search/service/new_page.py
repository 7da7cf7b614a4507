"""A new search: what to search on which pictures, what the command says of it, and only then Start."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable
from typing import Any

from nicegui import events, ui

from search.service.commands import AskedSearch, check_command, search_command
from search.service.commands_page import log_of
from search.service.frame import attempt, frame, heading, sheet
from search.service.service import Service
from spaces import SPACES

WEIGHTS = {"auto": "pretrained where available", "none": "random"}
LABELS = (
    ("trials", "Trials", "12 or 50, or what the budget allows"),
    ("epochs", "Epochs of a trial", "by the pictures, or by the budget"),
    ("time_budget", "Time budget", "no limit; 15m, 2h"),
    ("image_size", "Image size in pixels", "96 without a GPU, 224 with one"),
    ("batch_size", "Batch", "32 without a GPU, 64 with one"),
    ("concurrency", "Trials at a time", "by the machine"),
    ("seed", "Seed", "0"),
    ("group_regex", "Who is in the picture: a regex on the file's name", "from the data"),
)
"""Fields of the form, their labels, and what an empty one comes to."""


def new_page(service: Service) -> None:
    """The form."""
    values = {"space": "efficientnet", "weights": "auto"}

    def put(name: str) -> Callable[[events.ValueChangeEventArguments], None]:
        return lambda event: values.update({name: str(event.value or "")})

    with frame("New search"):
        heading("New search", 1)
        below = ", ".join(map(str, service.places.roots))
        with sheet(
            "Pictures",
            f"A folder with one folder per class, a CSV (path,label,group), or a competition's folder, below {below}. "
            "Empty: the built-in demo set.",
        ):
            ui.input("Folder or CSV", on_change=put("data")).props("outlined dense").classes("w-full")
        with (
            sheet("Search", "What stays empty is settled for this machine."),
            ui.row().classes("w-full").style("gap: 12px"),
        ):
            _choice("Space", list(SPACES), "efficientnet").on_value_change(put("space"))
            _field("Name of the run", "space and time").on_value_change(put("name"))
            _choice("Weights", WEIGHTS, "auto").on_value_change(put("weights"))
            for name, label, empty in LABELS:
                _field(label, empty).on_value_change(put(name))
        with ui.row().classes("items-center").style("gap: 10px"):
            check = ui.button("Check").props("no-caps")
            start = ui.button("Start").props("no-caps color=positive")
            start.disable()
            hint = ui.label(
                "Check first: it says what it understood, what is wrong and how long it will take."
            ).classes("words")
        said = ui.column().classes("w-full").style("gap: 12px")
    checked: list[AskedSearch] = []

    def asked() -> AskedSearch:
        return AskedSearch(**values)

    async def do_check() -> None:
        async def submit() -> tuple[AskedSearch, str]:
            wanted = asked()
            command = check_command(wanted, service.places)
            job = await to_thread(lambda: service.queue.submit("check a search", command, trains=False))
            return wanted, job.job_id

        start.disable()
        checked.clear()
        if (submitted := await attempt(submit)) is None:
            return
        wanted, job_id = submitted
        hint.set_text("Checking: the pictures are read and decoded if they have not been before.")
        said.clear()
        with said, sheet("What the command says"):
            log_of(job_id, service)
        _when_over(job_id, service, lambda good: _checked(good, wanted))

    def _checked(good: bool, wanted: AskedSearch) -> None:
        if good and wanted == asked():
            checked[:] = [wanted]
            start.enable()
            hint.set_text("Start begins this search:")
            with said, sheet("The command"):
                ui.label(service.shown(search_command(wanted, service.places))).classes("command")
        else:
            hint.set_text(
                "This cannot be searched: see what the command says." if not good else "Check again: it changed."
            )

    async def do_start() -> None:
        async def submit() -> None:
            wanted = asked()
            if checked != [wanted]:
                hint.set_text("Something has changed: check again.")
                return
            command = search_command(wanted, service.places)
            await to_thread(lambda: service.queue.submit(f"search {wanted.space}", command, run=wanted.name))
            ui.navigate.to("/commands")

        await attempt(submit)

    check.on_click(do_check)
    start.on_click(do_start)


def _field(label: str, empty: str) -> ui.input:
    return ui.input(label, placeholder=empty).props("outlined dense stack-label").classes("w-72")


def _choice(label: str, options: Any, chosen: str) -> ui.select:
    return ui.select(options, label=label, value=chosen).props("outlined dense").classes("w-72")


def _when_over(job_id: str, service: Service, then: Any) -> None:
    """Calls a function once a command has ended, with whether it ended well."""

    def look() -> None:
        job = service.queue.job(job_id)
        if job is None or not job.is_open:
            timer.cancel()
            then(job is not None and job.exit_code == 0)  # 130: it was stopped

    timer = ui.timer(0.5, look)
