"""The way between a node and the driver's disk, for trials: through an actor of Ray's on the driver's node.

With `trainables.classifier` the only file here that knows Ray.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray

from trainables.checkpoints import LAST, START
from trainables.config import TaskConfig
from trainables.supply.copies import copies_folder, find_copy, write_copy
from trainables.supply.files import TrialFiles
from trainables.supply.keeper import Parcel

CHUNK_BYTES = 8 * 2**20
"""Of a file in one message."""
AHEAD = 2
"""Messages on their way at the same time, for each file that is sent."""
ANSWER_SECONDS = 300.0
"""How long the driver's node may take for one message, over a slow line."""
HASHING_SECONDS = 3600.0
"""How long it may take to read all decoded pictures once, by whose hash a copy is known; then it knows it."""
GLIMPSE_SECONDS = 5.0
"""Between two files that may be lost."""
TRIALS = "trials"
"""Folder of the files of running trials, beside the copies."""


@dataclass(frozen=True)
class SupplyLine:
    """Travels with each trial, and finds out on its node what is missing there."""

    keeper: Any
    """Handle of the actor made of `Keeper`."""
    run_mark: tuple[str, str]
    """A file that the driver has put into the folder of the run, and what stands in it."""
    cache_mark: tuple[str, str]
    """The same in the folder of the caches."""
    cache_dir: str
    """Folder of the caches on the driver's node."""

    def open(self, task: TaskConfig, trial_id: str, backbone: str) -> TrialFiles:
        """The files of a trial here; what it reads and this node does not have is sent for.

        Args:
            task: With the driver's paths.
            trial_id: Of the trial.
            backbone: Whose weights it starts from.

        Raises:
            OSError: Something cannot be had or written here.
        """
        sees_run = _says(*self.run_mark)
        weights = task.weights.get(backbone)
        if weights is not None and not (sees_run and Path(weights).exists()):
            task = replace(task, weights={**task.weights, backbone: self.weights(weights)})
        if not _says(*self.cache_mark):
            task = replace(task, cache_path=str(self.fetch(task.cache_path)))
        return TrialFiles(task) if sees_run else SentFiles(self, task, trial_id)

    def fetch(self, path: str) -> Path:
        """A file or folder of the driver's as a copy on this node, made if there is none.

        Raises:
            FileNotFoundError: The driver does not have it.
            OSError: It cannot be had or written here.
        """
        parcel = self.describe(path)
        if parcel is None:
            raise FileNotFoundError(f"{path} is no longer on the driver's machine")
        folder = copies_folder(Path(self.cache_dir))
        copy = find_copy(parcel, folder)
        if copy is not None:
            return copy

        def read(name: str, size: int) -> Iterator[np.ndarray]:
            return self.parts(str(Path(path) / name) if parcel.is_folder else path, size)

        return write_copy(parcel, folder, read)

    def take(self, paths: Sequence[str]) -> bool:
        """Makes copies of several files or folders of the driver's on this node.

        Returns:
            Whether one of them was not here yet.

        Raises:
            OSError: As `fetch`.
        """
        folder = copies_folder(Path(self.cache_dir))
        before = {path: parcel for path in paths if (parcel := self.describe(path)) and find_copy(parcel, folder)}
        for path in paths:
            self.fetch(path)
        return len(before) < len(paths)

    def weights(self, path: str) -> str:
        """The file of weights here: the one of that path if it is the driver's, else a copy."""
        parcel = self.describe(path)
        here = Path(path)
        with suppress(OSError):
            if parcel is not None and here.stat().st_size == parcel.num_bytes and _key_of(here) == parcel.key:
                return path
        return str(self.fetch(path))

    def describe(self, path: str) -> Parcel | None:
        """What the driver has at a path; None if nothing is there."""
        found: Parcel | None = answer(self.keeper.describe.remote(path), HASHING_SECONDS)
        return found

    def parts(self, path: str, size: int) -> Iterator[np.ndarray]:
        """Yields a file of the driver's, `(bytes,) uint8` each; the next ones are on their way meanwhile."""
        coming: deque[Any] = deque()
        for offset in range(0, size, CHUNK_BYTES):
            coming.append(self.keeper.read.remote(path, offset, min(CHUNK_BYTES, size - offset)))
            if len(coming) > AHEAD:
                yield answer(coming.popleft())
        while coming:
            yield answer(coming.popleft())

    def send(self, here: Path, path: str) -> None:
        """Writes a file of this node on the driver's, whole or not at all; not if nobody wants it any more."""
        draft, size = draft_of(path), here.stat().st_size
        on_the_way: deque[Any] = deque()
        wanted = True
        with here.open("rb") as file:
            for offset in range(0, size, CHUNK_BYTES):
                part = np.frombuffer(file.read(CHUNK_BYTES), np.uint8)
                whole = size <= CHUNK_BYTES
                on_the_way.append(self.keeper.write.remote(path, draft, offset, part, is_whole=whole))
                if len(on_the_way) > AHEAD:
                    wanted = answer(on_the_way.popleft()) and wanted
        while on_the_way:
            wanted = answer(on_the_way.popleft()) and wanted
        if wanted and size > CHUNK_BYTES:
            answer(self.keeper.commit.remote(path, draft))


def draft_of(path: str) -> str:
    """A name for a file that is not whole yet, as `trainables.atomic.TORN` finds it."""
    return f"{Path(path).name}.tmp-{secrets.token_hex(6)}"


def _says(path: str, words: str) -> bool:
    with suppress(OSError):
        return Path(path).read_text() == words
    return False


class SentFiles(TrialFiles):
    """Those of a trial that does not see the driver's disk: it writes here, and what it has written is sent."""

    def __init__(self, line: SupplyLine, task: TaskConfig, trial_id: str) -> None:
        """Fetches the split, and what the trial goes on from.

        Args:
            line: The way to the driver's disk.
            task: With the driver's paths but for what has been fetched.
            trial_id: Of the trial.

        Raises:
            OSError: Something cannot be had or written here.
        """
        self._line = line
        self._trial = str(Path(task.checkpoint_dir) / trial_id)
        self._glimpsed_at = -GLIMPSE_SECONDS
        name = hashlib.sha256(task.checkpoint_dir.encode()).hexdigest()[:16]
        self._folder = copies_folder(Path(line.cache_dir)).with_name(TRIALS) / name / trial_id
        shutil.rmtree(self._folder, ignore_errors=True)  # of a process that was killed
        theirs = {name: getattr(task, name) for name in PLACES if getattr(task, name)}
        here: dict[str, Any] = {name: str(self._folder / name) for name in theirs}
        super().__init__(replace(task, split_path=str(line.fetch(task.split_path)), **here))
        self._driver = {Path(here[name]): theirs[name] for name in theirs}
        folders = [str(Path(theirs[name]) / trial_id) for name in theirs if name == "predictions_dir"]
        answer(line.keeper.begin.remote(self._trial, *theirs.values(), *folders))
        try:
            for place in self._driver:
                place.mkdir(parents=True, exist_ok=True)
            for file in (LAST, START):
                self._take_up(Path(here["checkpoint_dir"]) / trial_id / file)
            if "answers_dir" in here:
                self._take_up(Path(here["answers_dir"]) / f"{trial_id}.npz")
        except BaseException:
            self.close()
            raise

    def changed(self, path: Path) -> None:
        """Sends the file, and waits until it is there."""
        if path.exists():
            self._line.send(path, self._theirs_of(path))

    def glimpsed(self, path: Path) -> None:
        """Sends the file if the last is some seconds old, and does not wait."""
        now = time.monotonic()
        if not path.exists():
            self._line.keeper.remove.remote(self._theirs_of(path))
        elif now - self._glimpsed_at >= GLIMPSE_SECONDS:
            self._glimpsed_at = now
            theirs = self._theirs_of(path)
            content = np.frombuffer(path.read_bytes(), np.uint8)
            self._line.keeper.write.remote(theirs, draft_of(theirs), 0, content, is_whole=True)

    def close(self) -> None:
        """Says that all has been sent, and deletes what lies here."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            answer(self._line.keeper.end.remote(self._trial))

    def _take_up(self, here: Path) -> None:
        """Fetches a file that an earlier attempt of the trial has left, if there is one."""
        theirs = self._theirs_of(here)
        size = answer(self._line.keeper.size.remote(theirs))
        if size is None:
            return
        here.parent.mkdir(parents=True, exist_ok=True)
        with here.open("wb") as file:
            for part in self._line.parts(theirs, size):
                file.write(part.data)

    def _theirs_of(self, path: Path) -> str:
        place = next(place for place in path.parents if place in self._driver)
        return str(Path(self._driver[place]) / path.relative_to(place))


PLACES = ("checkpoint_dir", "answers_dir", "predictions_dir")
"""Folders that a trial writes into, by the fields of its task."""


def answer(reference: Any, seconds: float | None = None) -> Any:
    """What the actor on the driver's node has answered.

    Args:
        reference: Of its answer.
        seconds: How long it may take; by default `ANSWER_SECONDS`.

    Raises:
        OSError: It has not, or could not do it.
    """
    try:
        return ray.get(reference, timeout=ANSWER_SECONDS if seconds is None else seconds)
    except ray.exceptions.RayTaskError as error:
        raise OSError(f"on the driver's machine: {error.cause or error}") from error
    except ray.exceptions.RayError as error:
        raise OSError(f"the driver's machine does not answer: {error}") from error


def _key_of(file: Path) -> str:
    from trainables.supply.keeper import HASH_DIGITS

    with file.open("rb") as opened:
        content = hashlib.file_digest(opened, "sha256").hexdigest()
    return hashlib.sha256(f" {file.stat().st_size} {content}\n".encode()).hexdigest()[:HASH_DIGITS]
