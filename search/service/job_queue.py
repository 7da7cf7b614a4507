"""The commands that the page was asked to start: one after another where they train, and each to be seen by its log.

The list is a file in the folder of the runs, so it survives a restart of the page; the commands are processes of their
own, so they survive its death. A command that trains waits until no other does on this machine, whoever started it.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import psutil

from results.records.presence import is_running
from search.flags import ROOT
from search.service.jobs import LOG_TAIL_BYTES, Job, JobState, as_asked
from trainables.atomic import write_whole
from trainables.errors import UserError
from trainables.strict_json import RecordError, check_fields, load_object

JOBS_KEPT = 200
"""Commands in the list; older ones that have ended are dropped, with their logs."""


class JobQueue:
    """The list of commands; all methods may be called from any thread."""

    def __init__(self, folder: Path, busy: Callable[[], str | None]) -> None:
        """Reads the list that an earlier page left.

        Args:
            folder: Where list and logs lie.
            busy: Says which run trains on this machine although no command of the list does it; None if none.

        Raises:
            RecordError: The list is damaged; names the file.
        """
        self._folder = folder
        self._file = folder / "jobs.json"
        self._busy = busy
        self._lock = threading.RLock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.waits_for: str | None = None
        """What the first waiting command waits for, in words."""
        self.problem = ""
        """None: this machine can always be asked."""
        folder.mkdir(parents=True, exist_ok=True)
        self._jobs = self._load()

    def jobs(self) -> list[Job]:
        """All commands, the latest first."""
        with self._lock:
            return list(reversed(self._jobs))

    def job(self, job_id: str) -> Job | None:
        """One command."""
        with self._lock:
            return next((job for job in self._jobs if job.job_id == job_id), None)

    def submit(self, what: str, command: Sequence[str], *, run: str = "", trains: bool = True) -> Job:
        """Adds a command, and starts it if nothing is in its way.

        Raises:
            UserError: The very same waits or runs already, or another that is about the same run waits. One that runs
                may be ending just now: what is asked for meanwhile follows it.
        """
        with self._lock:
            for other in self._jobs:
                same_run = bool(run) and other.run == run and other.state == JobState.WAITING
                if other.is_open and (other.command == list(command) or same_run):
                    raise UserError(f"{other.what} is {other.state} already: wait for it, or stop it")
            job = Job(
                job_id=secrets.token_hex(6),
                what=what,
                run=run,
                command=list(command),
                trains=trains,
                asked=datetime.now().astimezone().isoformat(timespec="seconds"),
            )
            self._jobs.append(job)
            try:
                self._save()
            except OSError:
                self._jobs.remove(job)  # or it would be started once there is room, by nobody's wish
                raise
            self.tick()
            return self.job(job.job_id) or job

    def cancel(self, job_id: str) -> None:
        """Takes a waiting command out of the list, or stops a running one as one Ctrl-C would.

        Raises:
            UserError: It has ended already.
        """
        with self._lock:
            job = self.job(job_id)
            if job is None or not job.is_open:
                raise UserError("it has ended already")
            if job.state == JobState.WAITING:
                self._replace(job, state=JobState.CANCELLED)
            elif job.pid is not None and _is_alive(job):
                os.kill(job.pid, signal.SIGINT)

    def tick(self) -> None:
        """Notes what has ended, and starts what can start."""
        with self._lock:
            for job in [job for job in self._jobs if job.state == JobState.RUNNING]:
                self._note_end(job)
            self.waits_for = None
            for job in [job for job in self._jobs if job.state == JobState.WAITING]:
                if not job.trains or self._is_free():
                    self._start(job)

    def log(self, job_id: str) -> str:
        """What a command has said, the last of it where that is much."""
        path = self._log(job_id)
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - LOG_TAIL_BYTES))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def _is_free(self) -> bool:
        running = next((job for job in self._jobs if job.state == JobState.RUNNING and job.trains), None)
        if running is not None:
            self.waits_for = running.what
        elif (busy := self._busy()) is not None:
            self.waits_for = f"{busy}, which was started elsewhere"
        else:
            return True
        return False

    def _start(self, job: Job) -> None:
        with self._log(job.job_id).open("wb") as log:
            try:
                child = subprocess.Popen(
                    job.command,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # what ends the page does not end it
                    env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "120"},
                )
            except OSError as error:
                log.write(f"error: it could not be started: {error}\n".encode())
                self._replace(job, state=JobState.FAILED)
                return
        self._children[job.job_id] = child
        try:
            began = psutil.Process(child.pid).create_time()
        except psutil.Error:  # over already
            began = 0.0
        self._replace(job, state=JobState.RUNNING, pid=child.pid, process_began=began)

    def _note_end(self, job: Job) -> None:
        child = self._children.get(job.job_id)
        if child is not None:
            if (code := child.poll()) is None:
                return
            del self._children[job.job_id]
            self._replace(job, state=JobState.DONE if as_asked(code) else JobState.FAILED, exit_code=code)
        elif not _is_alive(job):
            self._replace(job, state=JobState.ENDED)

    def _replace(self, job: Job, **changes: object) -> None:
        index = next(index for index, other in enumerate(self._jobs) if other.job_id == job.job_id)
        self._jobs[index] = replace(self._jobs[index], **changes)  # type: ignore[arg-type]  # fields by name
        self._save()

    def _save(self) -> None:
        ended = [job for job in self._jobs if not job.is_open]
        for job in ended[: max(0, len(self._jobs) - JOBS_KEPT)]:
            self._jobs.remove(job)
            self._log(job.job_id).unlink(missing_ok=True)
        values = {"jobs": [asdict(job) for job in self._jobs]}
        write_whole(self._file, json.dumps(values, indent=1, allow_nan=False).encode(errors="backslashreplace"))

    def _load(self) -> list[Job]:
        if not self._file.exists():
            return []
        values = load_object(self._file).get("jobs")
        if not isinstance(values, list):
            raise RecordError(f"{self._file} holds no list of commands: delete it")
        return [Job(**check_fields(Job, value, str(self._file), older=True)) for value in values]

    def _log(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.log"


def _is_alive(job: Job) -> bool:
    return is_running(job.pid or 0, job.process_began or 0.0)
