"""The storage of runs where it is a bucket: opened before a run, written while it goes on, read by what shows runs."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from results.records.presence import Presence, who_is_at_run
from results.records.run_folder import ADDRESS_FILE, RunFolder, address_of
from search.flags import PlaceFlags
from search.mirror import ANSWER_SECONDS, Mirror
from search.terminal import warn
from trainables.atomic import write_whole
from trainables.errors import UserError
from trainables.reason import reason_of
from trainables.strict_json import RecordError

PUSH_SECONDS = 60.0
"""Between two looks for what has changed, beside those after each trial."""
BEATS_SECONDS = 15.0
"""How often a process that is at a run says so in the bucket."""
LOOK_SECONDS = 0.5
"""Between two looks whether a process of here is at the run by now."""
GONE_SECONDS = 45.0
"""A process that has not said so for as long is gone."""


def open_mirror(places: PlaceFlags, name: str | None, resume: str | None) -> Mirror | None:
    """The mirror of a storage that is no folder, asked for what it has; None for a folder.

    Args:
        places: Where things go.
        name: That a new run is to have.
        resume: Name of a run to go on with.

    Raises:
        UserError: The storage cannot be written, has a run of the name, or another machine is at the one to go on with;
            or its local folder is that of another storage.
    """
    if places.remote is None:
        return None
    refuse_folder_of_another(places)
    mirror = Mirror(places.remote, places.runs_dir)
    mirror.refuse_shut()
    write_whole(places.runs_dir / ADDRESS_FILE, places.remote.encode())
    if name is not None and resume is None:
        refuse_taken_there(mirror, name)
    if resume is not None:
        refuse_if_elsewhere(mirror, resume)
    mirror.pull(resume)
    return mirror


def refuse_folder_of_another(places: PlaceFlags) -> None:
    """Refuses a bucket whose local folder is that of another one: names that differ only in punctuation have the same.

    Raises:
        UserError: It is; names both.
    """
    known = address_of(places.runs_dir)
    if known is None or places.remote is None or _without_settings(known) == _without_settings(places.remote):
        return
    raise UserError(
        f"--storage {places.remote}: its runs would be copied to {places.runs_dir}, which has those of {known}. Set "
        "XDG_CACHE_HOME to another folder for one of the two, or take a name in the bucket that differs in letters or "
        "digits"
    )


def _without_settings(address: str) -> str:
    """What an address names, without what is set for its file system behind a question mark."""
    return address.partition("?")[0]


def refuse_taken_there(mirror: Mirror, name: str) -> None:
    """Raises a `UserError` if the bucket has a run of the name of a new one."""
    if mirror.has(name):
        raise UserError(
            f"there is a run {name!r} in {mirror.address}: give another --name, or go on with it by --resume {name}"
        )


def take_over(mirror: Mirror, name: str) -> None:
    """Copies down a run to go on with, if the bucket has it.

    Raises:
        UserError: Another machine is at it, or the storage cannot be read.
    """
    refuse_if_elsewhere(mirror, name)
    mirror.pull(name)


def refuse_if_elsewhere(mirror: Mirror, name: str) -> None:
    """Refuses a run that another machine is at; if that was heard of lately, waits whether it is again.

    Args:
        mirror: Of the bucket.
        name: Of the run.

    Raises:
        UserError: It was.
    """
    path = RunFolder(Path(name)).presence.as_posix()
    found = mirror.read(path)
    if found is None:
        return
    held, written = found
    try:
        presence = Presence.of_bytes(held, path)
    except RecordError:  # of another version
        return
    wait = GONE_SECONDS - (mirror.now() - written)
    if presence.is_here or wait <= 0:
        return
    warn(
        Console(stderr=True),
        f"{name} was {presence.doing} on {presence.host} {GONE_SECONDS - wait:.0f} s ago; waiting {wait:.0f} s "
        "to see whether it still is",
    )
    ends = time.monotonic() + wait
    while time.monotonic() < ends:
        time.sleep(min(2.0, wait))
        again = mirror.read(path)
        if again is None:
            return
        if again[1] > written:
            raise UserError(
                f"{name} in {mirror.address} is being {presence.doing} on {presence.host}: wait, or end that process"
            )


def folder_to_read(storage: Path) -> tuple[Path, Mirror | None]:
    """The folder of the runs, absolute, and where it is copied from, with what its pages show, if it is no folder.

    Raises:
        MirrorError: The storage cannot be read.
        UserError: Its local folder is that of another storage.
    """
    places = PlaceFlags(storage=storage)
    if places.remote is None:
        return places.runs_dir, None
    refuse_folder_of_another(places)
    mirror = Mirror(places.remote, places.runs_dir)
    mirror.pull_to_read()
    if places.runs_dir.is_dir():
        write_whole(places.runs_dir / ADDRESS_FILE, places.remote.encode())
    return places.runs_dir, mirror


@contextmanager
def mirrored(mirror: Mirror | None, name: str, tell: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """While inside, and at the end, copies what a run writes; and says there who is at the run.

    Args:
        mirror: None for a storage that is a folder: nothing is copied.
        name: Of the run.
        tell: Warns.

    Yields:
        What asks for a copy soon; it does not wait for it.

    Raises:
        MirrorError: The copy of the run knows more than the local folder, or it cannot be read.
    """
    if mirror is None:
        yield lambda: None
        return
    mirror.refuse_behind(name)
    soon, ended = threading.Event(), threading.Event()
    failed = threading.Event()

    def push() -> bool:
        try:
            mirror.push(name)
        except Exception as error:  # each file system has its own
            if not failed.is_set():
                tell(f"{mirror.address} could not be written, it is tried again: {reason_of(error)}")
            failed.set()
            return False
        failed.clear()
        return True

    def loop() -> None:
        while not ended.is_set():
            soon.wait(PUSH_SECONDS)
            soon.clear()
            if not ended.is_set():
                push()

    thread = threading.Thread(target=loop, name="mirror", daemon=True)
    thread.start()
    soon.set()
    with said_there(mirror, name):
        try:
            yield soon.set
        finally:
            ended.set()
            soon.set()
            thread.join()
            if not push() and not push():
                tell(
                    f"not everything is in {mirror.address}. All of it is in {mirror.folder / name}: a --resume {name} "
                    "on this machine copies it again"
                )


@contextmanager
def said_there(mirror: Mirror | None, name: str | None) -> Iterator[None]:
    """Says in the bucket who is at a run of here, as its folder says it; that this cannot be written stops nobody.

    Args:
        mirror: None for a storage that is a folder: nothing is said.
        name: Of the run, which may not be held yet; None for one that has none yet.
    """
    if mirror is None or name is None:
        yield
        return
    folder, over, said = RunFolder(mirror.folder / name), threading.Event(), threading.Event()
    there = folder.presence.relative_to(mirror.folder).as_posix()

    def beat() -> None:
        while not over.is_set():
            presence = who_is_at_run(folder)
            is_ours = presence is not None and presence.is_here and presence.pid == os.getpid()
            if presence is not None and is_ours:
                said.set()
                with contextlib.suppress(Exception):  # each file system has its own
                    mirror.write(there, presence.as_bytes())
            over.wait(BEATS_SECONDS if is_ours else LOOK_SECONDS)
        with contextlib.suppress(Exception):
            if said.is_set():
                mirror.delete(there)

    thread = threading.Thread(target=beat, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(ANSWER_SECONDS)
