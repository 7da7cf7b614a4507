"""The commands of the page as Ray Jobs: submitted, listed, followed and stopped through a cluster's job server.

There is no list of our own: Ray keeps it on the cluster's head, so it is there when the page starts again. The commands
take no core for themselves, so Ray starts each at once, on the head; their trials wait there until Ray has room.
"""

from __future__ import annotations

import json
import secrets
import shlex
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from search.flags import ROOT
from search.service.jobs import Job, JobState, as_asked, shown_command, tail
from trainables.called import install_command
from trainables.errors import UserError

Answer = TypeVar("Answer")
STOP_SECONDS = 24 * 3600
"""How long Ray waits for a search that it has stopped: running trials end with their epoch. Ray's 3 s would lose it."""
SETTINGS: Mapping[str, str] = {
    "RAY_JOB_STOP_SIGNAL": "SIGINT",  # so that Ray's stop is one Ctrl-C
    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
    "PYTHONUNBUFFERED": "1",
    "COLUMNS": "120",
}
STATES: Mapping[str, JobState] = {
    "PENDING": JobState.WAITING,
    "RUNNING": JobState.RUNNING,
    "SUCCEEDED": JobState.DONE,
    "STOPPED": JobState.DONE,
    "FAILED": JobState.FAILED,
}
WHAT, RUN, STORAGE, COMMAND = "macrotune_what", "macrotune_run", "macrotune_storage", "macrotune_command"
"""What a Ray Job tells of itself, so that the page knows its own again."""


class RayJobs:
    """The commands of one folder of runs on one cluster; all methods may be called from any thread."""

    def __init__(self, address: str, storage: Path) -> None:
        """Asks the job server for what there is.

        Args:
            address: Of the job server (`http://head:8265`), of the cluster, or `auto`.
            storage: Folder of the runs, on a disk that the head sees under the same path.

        Raises:
            UserError: No job server answers there.
        """
        self._storage = str(storage)
        self._one_submits, self._one_lists = threading.Lock(), threading.Lock()
        self._lock = threading.Lock()
        """Of the lists alone: held while Ray is asked something, it would stop the pages that only read them."""
        self._jobs: list[Job] = []
        self._submitted: dict[str, Job] = {}
        """Commands that Ray has taken and not listed yet: a list may have been asked for before they came."""
        self.waits_for: str | None = None
        self.problem = ""
        self.address = address
        self._client = _client(address)
        self.tick()
        if self.problem:
            raise UserError(self.problem)

    def jobs(self) -> list[Job]:
        """All commands, the latest first, as Ray listed them last."""
        with self._lock:
            return list(self._jobs)

    def job(self, job_id: str) -> Job | None:
        """One command."""
        return next((job for job in self.jobs() if job.job_id == job_id), None)

    def submit(self, what: str, command: Sequence[str], *, run: str = "", trains: bool = True) -> Job:
        """Has Ray start a command.

        Raises:
            UserError: The very same runs already, or another that is about the same run; or Ray does not take it.
        """
        with self._one_submits:
            self.tick()
            for other in self.jobs():
                if other.is_open and (other.command == list(command) or (run and other.run == run)):
                    raise UserError(f"{other.what} is {other.state} already: wait for it, or stop it")
            job_id = f"macrotune-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
            told = {WHAT: what, RUN: run, STORAGE: self._storage, COMMAND: json.dumps([list(command), trains])}
            self._ask(
                lambda: self._client.submit_job(
                    entrypoint="exec " + shlex.join(command),  # so that a stop reaches the command, and no shell
                    submission_id=job_id,
                    runtime_env={"env_vars": dict(SETTINGS)},
                    metadata=told,
                )
            )
            job = Job(job_id=job_id, what=what, run=run, command=list(command), trains=trains, asked=_moment(None))
            with self._lock:
                self._submitted[job_id] = job
                self._jobs = [job, *self._jobs]
            self.tick()
            return self.job(job_id) or job

    def cancel(self, job_id: str) -> None:
        """Has Ray stop a command, as one Ctrl-C would.

        Raises:
            UserError: It has ended already, or Ray does not answer.
        """
        job = self.job(job_id)
        if job is None or not job.is_open:
            raise UserError("it has ended already")
        self._ask(lambda: self._client.stop_job(job_id))

    def interrupt(self, run_dir: Path, times: int) -> None:
        """Sends Ctrl-C to the process that is at a run, by a command of its own on the head: Ray stops a job only once.

        Args:
            run_dir: Folder of the run.
            times: How often.

        Raises:
            UserError: Ray does not answer.
        """
        command = [sys.executable, str(ROOT / "search" / "service" / "interrupt.py"), str(run_dir), str(times)]
        self.submit(f"end {run_dir.name} at once", command, trains=False)

    def of_run(self, name: str, pid: int | None = None) -> Job | None:
        """The command that is at a run, by the run's name or by the number of its process."""
        for job in self.jobs():
            if job.state == JobState.RUNNING and job.trains and (job.run == name or (pid and job.pid == pid)):
                return job
        return None

    def tick(self) -> None:
        """Lists what Ray has; that it does not answer is a problem to be told, and no end."""
        with self._one_lists:  # of two lists the later one counts
            try:
                found = [job for details in self._client.list_jobs() if (job := self._job(details)) is not None]
            except Exception as error:  # whatever requests, Ray's client and a proxy between may raise
                self.problem = _silence(self.address, error)
                return
            self._take(found)

    def _take(self, found: list[Job]) -> None:
        with self._lock:
            listed = {job.job_id for job in found}
            self._submitted = {name: job for name, job in self._submitted.items() if name not in listed}
            found += self._submitted.values()
            self._jobs = sorted(found, key=lambda job: (job.asked, job.job_id), reverse=True)
            self.problem = ""
            waiting = any(job.state == JobState.WAITING for job in found)
            self.waits_for = f"Ray at {self.address}" if waiting else None

    def log(self, job_id: str) -> str:
        """What a command has said, and why Ray could not start it where it could not."""
        job = self.job(job_id)
        if job is None:
            return ""
        try:
            return tail(self._client.get_job_logs(job_id).encode(errors="replace"))
        except Exception as error:  # likewise
            return _silence(self.address, error)

    def _job(self, details: Any) -> Job | None:
        """A Ray Job as the page has it; None for those that are none of this page's."""
        told = details.metadata or {}
        if details.submission_id is None or told.get(STORAGE) != self._storage:
            return None
        try:
            command, trains = json.loads(told[COMMAND])
        except (KeyError, ValueError, TypeError):
            return None
        state, code = STATES.get(str(details.status.value), JobState.ENDED), details.driver_exit_code
        if state == JobState.FAILED and code is not None and as_asked(code):
            state = JobState.DONE
        pid = details.driver_info.pid if details.driver_info is not None else ""
        return Job(
            job_id=details.submission_id,
            what=told.get(WHAT, ""),
            run=told.get(RUN, ""),
            command=[str(word) for word in command],
            trains=bool(trains),
            asked=_moment(details.start_time),
            state=state,
            exit_code=code,
            pid=int(pid) if str(pid).isdigit() else None,
        )

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        try:
            return question()
        except Exception as error:  # likewise
            raise UserError(_silence(self.address, error)) from error


def shown_as_job(command: Sequence[str], address: str) -> str:
    """A command as one would type it to have Ray run it."""
    return f"ray job submit --address {shlex.quote(address)} -- {shown_command(command)}"


def _client(address: str) -> Any:
    """Ray's client of a job server.

    Raises:
        UserError: None answers there.
    """
    from ray.job_submission import JobSubmissionClient  # heavy, and not needed without a cluster

    try:
        return JobSubmissionClient(address)
    except Exception as error:  # ConnectionError, RuntimeError, ValueError, and what Ray's own client raises
        raise UserError(
            f"{_silence(address, error)}. The head needs ray[default] ({install_command('ui')}) and ray start --head, "
            "and this machine a way to its port 8265"
        ) from error


def _silence(address: str, error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"the job server of Ray at {address} does not take commands: {type(error).__name__}: {words[:300]}"


def _moment(milliseconds: int | None) -> str:
    moment = datetime.now() if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000)
    return moment.astimezone().isoformat(timespec="seconds")
