"""The web application: the pages, the files it hands out, the guard before them, and the list of commands behind."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse, Response
from nicegui import ui

from results.records.run_folder import RunFolder
from search.service.commands_page import commands_page
from search.service.guard import COOKIE, LOCAL_NAMES, Guard, in_address
from search.service.new_page import new_page
from search.service.predict_card import clear_uploads
from search.service.run_page import run_page
from search.service.runs_page import compare_page, runs_page
from search.service.service import Service
from search.service.trial_page import trial_page
from trainables.data.decoding import read_upright
from trainables.errors import UserError

TICK_SECONDS = 1.0
"""How often it is looked whether a command has ended and another may begin."""
THUMBNAIL_PX = 136
"""Shorter side of a picture that was answered wrongly, as it is shown."""
FOR_AN_HOUR = {"Cache-Control": "private, max-age=3600"}
RECONNECT_SECONDS = 60.0
"""How long a browser's page waits for it: on a machine that trains, or over a bad line, a form must not be lost."""
SANDBOX = {"Content-Security-Policy": "sandbox allow-scripts; default-src 'unsafe-inline' data:"}
"""A report is a page of its own: it cannot speak as this one."""


def run_server(service: Service, bound: socket.socket, token: str | None) -> None:
    """Serves until Ctrl-C.

    Args:
        service: What is served.
        bound: A socket that listens.
        token: What a browser must bring; None for this machine alone.
    """
    over = threading.Event()
    ticker = threading.Thread(target=_tick, args=(service, over), name="commands", daemon=True)
    ticker.start()
    host, port = bound.getsockname()[:2]
    names = LOCAL_NAMES | {in_address(host)}
    guarded = Guard(build_app(service), token=token, cookie=f"{COOKIE}_{port}", names=names)
    config = uvicorn.Config(guarded, log_level="warning", ws_max_size=2**20)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all has been closed
        uvicorn.Server(config).run(sockets=[bound])
    over.set()
    ticker.join()


def build_app(service: Service) -> FastAPI:
    """The application without its guard."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/report/{name}", include_in_schema=False)
    def report(name: str) -> Response:
        return _of_run(
            lambda: FileResponse(RunFolder(service.places.run_dir(name)).report_html, headers=SANDBOX), "no report yet"
        )

    @app.get("/mistake/{name}/{place}", include_in_schema=False)
    def mistake(name: str, place: int) -> Response:
        return _of_run(
            lambda: Response(_thumbnail(service.picture(name, place)), media_type="image/jpeg", headers=FOR_AN_HOUR),
            "no such picture",
        )

    ui.page("/")(lambda: runs_page(service))
    ui.page("/compare")(_compare(service))
    ui.page("/new")(lambda: new_page(service))
    ui.page("/commands")(lambda: commands_page(service))
    ui.page("/run/{name}")(_run(service))
    ui.page("/run/{name}/trial/{trial_id}")(_trial(service))
    ui.run_with(app, title="macrotune", dark=None, language="en-US", reconnect_timeout=RECONNECT_SECONDS)
    return app


def _run(service: Service) -> Callable[[str], None]:
    def page(name: str) -> None:
        run_page(service, name)

    return page


def _trial(service: Service) -> Callable[[str, str], None]:
    def page(name: str, trial_id: str) -> None:
        trial_page(service, name, trial_id)

    return page


def _compare(service: Service) -> Callable[[str, str], None]:
    def page(first: str = "", second: str = "") -> None:
        compare_page(service, first, second)

    return page


def _of_run(answer: Callable[[], Response], missing: str) -> Response:
    """A file of a run, or words."""
    try:
        found = answer()
        if isinstance(found, FileResponse) and not found.path.is_file():  # type: ignore[attr-defined,union-attr]
            return PlainTextResponse(missing, status_code=404)
        return found
    except UserError as error:
        return PlainTextResponse(str(error), status_code=404)


def _thumbnail(path: Path) -> bytes:
    """A small JPEG of a picture, drawn anew: no byte of the file itself leaves.

    Raises:
        UserError: It cannot be read.
    """
    try:
        picture = read_upright(str(path), THUMBNAIL_PX)[0].copy()
        picture.thumbnail((THUMBNAIL_PX * 3 // 2,) * 2)
        written = io.BytesIO()
        picture.save(written, "JPEG", quality=75)
        return written.getvalue()
    except Exception as error:  # Pillow's plugins raise what they like for a broken file
        raise UserError("this picture cannot be read") from error


def _tick(service: Service, over: threading.Event) -> None:
    while not over.wait(TICK_SECONDS):
        with suppress(OSError):  # a disk that is full now may not be a second later
            service.queue.tick()
        with suppress(OSError):
            clear_uploads(service.folder, [word for job in service.queue.jobs() if job.is_open for word in job.command])
