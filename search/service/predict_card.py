"""A picture that is dropped on the page, answered by the trained model of a run through the predict command."""

from __future__ import annotations

import contextlib
import csv
import io
import secrets
import shutil
import time
from asyncio import to_thread
from collections.abc import Collection
from pathlib import Path

from nicegui import events, ui
from PIL import Image

from search.service.commands import predict_command
from search.service.frame import attempt, sheet
from search.service.jobs import Job
from search.service.service import Service
from trainables.errors import UserError

MOST_BYTES = 20_000_000
MOST_PIXELS = 60_000_000
LEFT_SECONDS = 600.0
"""A picture this old waits for no answer any more."""
ANSWERS_SHOWN = 5
SUFFIXES = {
    **{"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif"},
    "MPO": ".jpg",  # what many phones write: a JPEG with another behind it
}
"""Formats that are taken, and what the file is then called: never what the browser calls it."""


def predict_card(service: Service, name: str) -> None:
    """The field to drop a picture on, and the answer below it."""
    words = "Drop a picture here. The run's model (the re-trained one, if any) classifies it; then it is deleted."
    with sheet("Predict a picture", words):
        answer = ui.column().classes("w-full").style("gap: 6px")

        async def uploaded(event: events.UploadEventArguments) -> None:
            upload.reset()
            content = await event.file.read()

            async def submit() -> tuple[Job, Path]:
                folder = await to_thread(_kept, content, service.folder)
                command = predict_command(name, folder, folder / "answers.csv", service.places)
                job = await to_thread(
                    lambda: service.queue.submit(f"predict a picture with {name}", command, trains=False)
                )
                return job, folder

            answer.clear()
            if (submitted := await attempt(submit)) is None:
                return
            with answer:
                ui.label("Answering: the network is loaded first.").classes("words")
            _wait(service, *submitted, answer)

        upload = ui.upload(
            on_upload=uploaded,
            on_rejected=lambda: ui.notify(f"One picture of at most {MOST_BYTES / 1e6:.0f} MB.", type="negative"),
            max_file_size=MOST_BYTES,
            max_files=1,
            auto_upload=True,
            label="Drop a picture, or click +",
        ).props('accept="image/*" flat bordered')
        upload.classes("w-full")


def _kept(content: bytes, folder: Path) -> Path:
    """Writes a picture into a folder of its own, under a name of ours.

    Raises:
        UserError: It is no picture.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            kind = picture.format or ""
            if kind not in SUFFIXES:
                raise UserError(f"this is {kind or 'no picture'}: give one of {', '.join(SUFFIXES)}")
            if picture.width * picture.height > MOST_PIXELS:
                raise UserError(f"the picture has {picture.width} x {picture.height} pixels: at most {MOST_PIXELS:,}")
            picture.verify()
    except UserError:
        raise
    except Exception as error:  # Pillow's plugins raise what they like for a broken file
        raise UserError("this file is no picture that can be read") from error
    own = folder / "uploads" / secrets.token_hex(8)
    own.mkdir(parents=True)
    (own / f"picture{SUFFIXES[kind]}").write_bytes(content)
    return own


def clear_uploads(folder: Path, at_work: Collection[str]) -> None:
    """Deletes pictures that a browser has dropped and not waited for the answer of.

    Args:
        folder: Of the page.
        at_work: The words of the commands that run or wait, in which those stand that are being answered.
    """
    for left in (folder / "uploads").glob("*"):
        with contextlib.suppress(OSError):
            is_old = time.time() - left.stat().st_mtime > LEFT_SECONDS
            if is_old and not any(str(left) in word for word in at_work):
                shutil.rmtree(left)


def _wait(service: Service, job: Job, folder: Path, answer: ui.column) -> None:
    async def look() -> None:
        now = service.queue.job(job.job_id)
        if now is not None and now.is_open:
            return
        timer.cancel()
        said = await to_thread(service.queue.log, job.job_id)
        answer.clear()
        with answer:
            _show(folder / "answers.csv", said)
        shutil.rmtree(folder, ignore_errors=True)

    timer = ui.timer(0.5, look)


def _shares(path: Path) -> list[tuple[float, str]]:
    """Share and class of an answer, the highest first; nothing for a picture that could not be decoded."""
    try:
        row = next(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, StopIteration):
        return []
    return sorted(
        ((float(value), name.removeprefix("p_")) for name, value in row.items() if name.startswith("p_") and value),
        reverse=True,
    )


def _show(path: Path, log: str) -> None:
    shares = _shares(path)
    if not shares:
        ui.label("The picture could not be classified:").classes("text-weight-bold")
        ui.label(log.strip()[-2000:]).classes("log")
    for share, name in shares[:ANSWERS_SHOWN]:
        with ui.row().classes("w-full items-center no-wrap").style("gap: 10px"):
            ui.linear_progress(value=share, show_value=False, size="12px").style("width: 120px; flex: none")
            ui.label(f"{share:.1%} {name}").style("overflow-wrap: anywhere")
