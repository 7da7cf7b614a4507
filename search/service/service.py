"""What all pages share: where runs lie, what has been read of them, the list of commands, and who was asked to stop."""

from __future__ import annotations

import os
import signal
import threading

from filelock import FileLock, Timeout

from results.records.presence import Presence, who_is_at_run
from results.records.run_folder import RunFolder
from search.service.commands import Places
from search.service.job_queue import JobQueue
from search.service.run_view import Watcher
from trainables.errors import UserError

FOLDER = ".service"
"""Of the list of commands, in the folder of the runs."""


class Service:
    """The page behind its pages."""

    def __init__(self, places: Places) -> None:
        """Reads what an earlier page left.

        Args:
            places: Where everything is.

        Raises:
            UserError: Another page serves the same runs, and would start the same commands.
        """
        self.places = places
        self.watcher = Watcher(places.storage)
        self.folder = places.storage / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self._held = FileLock(self.folder / ".lock")
        try:
            self._held.acquire(timeout=0)
        except Timeout as error:
            raise UserError(f"another page serves {places.storage}: use that one, or end it") from error
        self.queue = JobQueue(self.folder, self._busy_elsewhere)
        self._asked_to_stop: set[tuple[int, float]] = set()
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
        if not presence.is_here:
            raise UserError(f"{name} runs on {presence.host}: stop it there")
        key = (presence.pid, presence.process_began)
        with self._lock:
            asked_before = key in self._asked_to_stop
            if asked_before and not at_once:
                return f"{name} was asked to stop already: running trials end with their epoch"
            self._asked_to_stop.add(key)
        for _ in range(1 if asked_before or not at_once else 2):
            try:
                os.kill(presence.pid, signal.SIGINT)
            except ProcessLookupError as error:
                raise UserError(f"{name} is not running any more") from error
        return f"{name} ends at once" if at_once else f"{name} was asked to stop: running trials end with their epoch"

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
