"""The commands that the page was asked to start: waiting, running, ended, each with what it said."""

from __future__ import annotations

from asyncio import to_thread

from nicegui import ui

from search.service.frame import REFRESH_SECONDS, attempt, badge, frame, heading, outlined, sheet
from search.service.jobs import Job
from search.service.service import Service

SHOWN = 30


def commands_page(service: Service) -> None:
    """All of them, the latest first."""
    with frame("Commands"):
        heading("Commands", 1)
        ui.label(_how(service)).classes("words")
        note = ui.label().classes("text-weight-bold")
        body = ui.column().classes("w-full").style("gap: 10px")
    seen: list[list[Job]] = []

    def refresh() -> None:
        jobs = service.queue.jobs()[:SHOWN]
        note.set_text(note_of(service))
        if seen and seen[0] == jobs:
            return
        seen[:] = [jobs]
        body.clear()
        with body:
            if not jobs:
                ui.label("None yet.").classes("words")
            for job in jobs:
                _show(job, service)

    refresh()
    ui.timer(REFRESH_SECONDS, refresh)


def note_of(service: Service) -> str:
    """What is to be known of the commands: that nobody takes them, or what the next one waits for."""
    if service.queue.problem:
        return service.queue.problem
    return f"The next one waits for {service.queue.waits_for}." if service.queue.waits_for else ""


def _how(service: Service) -> str:
    if service.cluster is None:
        return (
            "The page does nothing by itself: it starts these, one after another where they train. They go on when the "
            "page ends."
        )
    return (
        f"The page does nothing by itself: these are jobs of Ray at {service.cluster.address}, which keeps the list. "
        "Their trials wait until it has room."
    )


def _show(job: Job, service: Service) -> None:
    with sheet():
        with ui.row().classes("w-full items-center").style("gap: 10px"):
            ui.label(job.what).classes("text-weight-bold").style("overflow-wrap: anywhere")
            badge(job.state)
            ui.label(job.asked.replace("T", " ")).classes("words")
            ui.space()
            if job.is_open:
                words = "Stop" if job.state == "running" else "Cancel"
                outlined(words, lambda: _cancel(job, service)).props("dense")
        ui.label(service.shown(job.command)).classes("command")
        if job.state != "waiting":
            with ui.expansion("What it said", value=job.state in ("failed", "running")).classes("w-full"):
                log_of(job.job_id, service)


def log_of(job_id: str, service: Service) -> ui.label:
    """What a command says, up to date as long as it runs."""
    log = ui.label().classes("log")

    async def refresh() -> None:
        said = await to_thread(service.queue.log, job_id)
        if said != log.text:
            log.set_text(said)
        job = service.queue.job(job_id)
        if job is None or not job.is_open:
            timer.cancel()

    ui.timer(0.05, refresh, once=True)
    timer = ui.timer(REFRESH_SECONDS, refresh)
    return log


async def _cancel(job: Job, service: Service) -> None:
    async def cancel() -> None:
        ui.notify(await to_thread(service.cancel, job.job_id))

    await attempt(cancel)
