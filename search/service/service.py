"""What all pages share: where runs lie, what has been read of them, the list of commands, and who was asked to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from results.records.presence import Presence, who_is_at_run
from results.records.run_folder import RunFolder
from search.service.commands import Places
from search.service.findings import Importances, validation_side
from search.service.interrupt import interrupt
from search.service.job_queue import JobQueue
from search.service.jobs import Job, Jobs, JobState, shown_command
from search.service.ray_jobs import RayJobs, shown_as_job
from search.service.run_view import Watcher
from trainables.errors import UserError

FOLDER = ".service"
"""Of the list of commands, in the folder of the runs."""
LEAVING_SECONDS = 20.0
"""How long a command that is done with its run may take to leave: it takes two or three."""
LOOK_SECONDS = 0.2
"""Between two looks at whether it has left."""


class Service:
    """The page behind its pages."""

    def __init__(self, places: Places, address: str | None = None) -> None:
        """Reads what an earlier page left.

        Args:
            places: Where everything is.
            address: Of the job server of a Ray cluster that runs the commands; None where this machine does.

        Raises:
            UserError: Another page serves the same runs, and would start the same commands; or no job server answers.
        """
        self.places = places
        self.watcher = Watcher(places.storage)
        self.importances = Importances()
        self.folder = places.storage / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self._held = FileLock(self.folder / ".lock")
        try:
            self._held.acquire(timeout=0)
        except Timeout as error:
            raise UserError(f"another page serves {places.storage}: use that one, or end it") from error
        self.cluster = None if address is None else RayJobs(address, places.storage)
        """The cluster that runs the commands; None where this machine does."""
        self.queue: Jobs = self.cluster or JobQueue(self.folder, self._busy_elsewhere)
        self._asked_to_stop: set[tuple[int | str, float]] = set()
        self._lock = threading.Lock()

    def stop(self, name: str, *, at_once: bool = False) -> str:
        """Stops whatever is at a run, as Ctrl-C does; once, however many browsers ask.

        Args:
            name: Of the run.
            at_once: As a second Ctrl-C: epochs that have begun are lost.

        Returns:
            What was done, in words.

        Raises:
            UserError: Nobody is at it, or somebody on another machine is.
        """
        run_dir = self.places.run_dir(name)
        presence = who_is_at_run(RunFolder(run_dir))
        if presence is None:
            raise UserError(f"{name} is not running any more")
        if not self.can_stop(presence):
            raise UserError(f"{name} runs on {presence.host}: stop it there")
        key = (presence.pid, presence.process_began)
        with self._lock:
            asked_before = key in self._asked_to_stop
            if asked_before and not at_once:
                return f"{name} was asked to stop already: running trials end with their epoch"
            self._asked_to_stop.add(key)
        try:
            self._interrupt(name, presence, again=asked_before, at_once=at_once)
        except Exception:
            if not asked_before:
                self._asked_to_stop.discard(key)
            raise
        return f"{name} ends at once" if at_once else f"{name} was asked to stop: running trials end with their epoch"

    def _interrupt(self, name: str, presence: Presence, *, again: bool, at_once: bool) -> None:
        """Sends what Ctrl-C sends to the process at a run: twice if it shall end at once and has not heard it yet."""
        run_dir = self.places.run_dir(name)
        job = None if self.cluster is None or again else self.cluster.of_run(name, presence.pid)
        times = 1 if again or not at_once else 2
        if self.cluster is not None and job is not None:
            self.cluster.cancel(job.job_id)
            times -= 1
        if times and presence.is_here:
            interrupt(run_dir, times)
        elif times and self.cluster is not None:
            self.cluster.interrupt(run_dir, times)

    def cancel(self, job_id: str) -> str:
        """Takes a waiting command out of the list, or stops a running one as Ctrl-C does; once, whoever asks.

        Returns:
            What was done, in words.

        Raises:
            UserError: It has ended already.
        """
        job = self.queue.job(job_id)
        if job is None or job.state != JobState.RUNNING:
            self.queue.cancel(job_id)
            return "it is taken out of the list"
        key = (job.pid or 0, job.process_began) if job.process_began is not None else (job_id, 0.0)
        with self._lock:
            if key in self._asked_to_stop:
                return f"{job.what} was asked to stop already"
            self._asked_to_stop.add(key)
        try:
            self.queue.cancel(job_id)
        except Exception:
            self._asked_to_stop.discard(key)
            raise
        return f"{job.what} was asked to stop"

    def submit(self, what: str, command: Sequence[str], name: str, *, trains: bool = True) -> Job:
        """Has a command of a run started, once what was at the run before has left: it lets go of it seconds earlier.

        Raises:
            UserError: As `Jobs.submit`.
        """
        given_up = time.monotonic() + LEAVING_SECONDS
        while self._is_leaving(name) and time.monotonic() < given_up:
            time.sleep(LOOK_SECONDS)
            self.queue.tick()
        return self.queue.submit(what, command, run=name, trains=trains)

    def _is_leaving(self, name: str) -> bool:
        """Whether a command of a run still runs, but is no longer at it."""
        runs = any(job.run == name and job.state == JobState.RUNNING for job in self.queue.jobs())
        return runs and who_is_at_run(RunFolder(self.places.run_dir(name))) is None

    def picture(self, name: str, place: int) -> Path:
        """A picture of a run's validation side, by its place there.

        Raises:
            UserError: There is none, or it lies where the page may not read.
        """
        side = validation_side(RunFolder(self.places.run_dir(name)))
        if not 0 <= place < len(side):
            raise UserError(f"{name} has no validation picture {place}")
        return self.places.pictures(side[place].path)

    def can_stop(self, presence: Presence) -> bool:
        """Whether a process can be reached from here: one of this machine, or one where the cluster runs commands."""
        return presence.is_here or self.cluster is not None

    def shown(self, command: Sequence[str]) -> str:
        """A command as one would type it."""
        return shown_command(command) if self.cluster is None else shown_as_job(command, self.cluster.address)

    def was_asked_to_stop(self, presence: Presence | None) -> bool:
        """Whether the process was asked to stop by a page."""
        return presence is not None and (presence.pid, presence.process_began) in self._asked_to_stop

    def _busy_elsewhere(self) -> str | None:
        """The run that a process of this machine is at although no command of the list is that process."""
        ours = {job.pid for job in self.queue.jobs() if job.is_open}
        for row in self.watcher.summaries():
            presence = row.presence
            if presence is not None and presence.is_here and presence.pid not in ours:
                return row.name
        return None
