"""A copy of the runs in a bucket: what is copied up and down, and in which order. The local folder is the truth.

Whatever `pyarrow.fs` opens will do: s3://, gs://, abfs://, hdfs://, file://.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from results.records.presence import who_is_at, who_is_at_run
from results.records.run_folder import RunFolder
from trainables.atomic import replacing, write_whole
from trainables.checkpoints import LAST, PULSE
from trainables.errors import UserError
from trainables.reason import reason_of

T = TypeVar("T")
ANSWER_SECONDS = 10.0
"""How long the storage may take for its first answer; libraries ask again for minutes."""
LISTING_SECONDS = 300.0
"""How long the list of all that is there may take, once it has answered: thousands of files come in pages."""
MOST_ERRORS = 3
"""Files that cannot be copied before a push is given up: each may take its minutes to fail."""
SHARED = ("README.md", "results", "history.jsonl")
"""What all runs share, beside them."""
LEFT_OUT = ("*.tmp-*", ".lock", "*.lock", "presence.json", ".seen-*", ".starting-*", PULSE)
"""Names of files that are of use only to processes that are at the run."""
COPY_BYTES = 2**20


class MirrorError(UserError):
    """The storage cannot be reached, read or written; names it and the way out."""


class Mirror:
    """A folder of runs, and its copy at an address."""

    def __init__(self, address: str, folder: Path) -> None:
        """Opens the storage, without asking it anything.

        Args:
            address: With the scheme, as in `s3://bucket/macrotune`.
            folder: The local one.

        Raises:
            MirrorError: There is no such kind of storage, or the address names nothing in it.
        """
        from pyarrow import fs

        self.address, self.folder = address, folder
        try:
            self._files, base = fs.FileSystem.from_uri(address)
        except (OSError, ValueError, NotImplementedError) as error:
            raise MirrorError(
                f"--storage {address} cannot be opened: {reason_of(error).rstrip('.')}. {_WAY_OUT}"
            ) from error
        self._base = base.rstrip("/")
        if not self._base:
            raise MirrorError(f"--storage {address} names no bucket: give one, as in s3://bucket/macrotune")
        self._sent: dict[str, tuple[int, int]] = {}
        self._pulled: dict[str, int] = {}  # runs, with the bytes of their logs that were there
        self._compared = set[str]()
        self._pushing = threading.Lock()

    def refuse_shut(self) -> None:
        """Writes a file and deletes it again.

        Raises:
            MirrorError: The storage does not answer, or that is not allowed.
        """
        self.now()

    def now(self) -> float:
        """Seconds since 1970 by the storage's own clock, as a file has them that is written and deleted again.

        Raises:
            MirrorError: The storage does not answer, or that is not allowed.
        """
        name = f".seen-{time.time_ns():x}"

        def write_and_delete() -> float:
            self.write(name, b"macrotune was here")
            written = self._list(name)
            self.delete(name)
            return written[name][1] if name in written else time.time()

        return self._in_time(write_and_delete, "cannot be written")

    def read(self, path: str) -> tuple[bytes, float] | None:
        """What a small file holds, and when it was written, in seconds since 1970 by the storage's clock.

        Args:
            path: From the base.

        Returns:
            None if it is not there.

        Raises:
            MirrorError: The storage does not answer, or that is not allowed.
        """

        def find() -> tuple[bytes, float] | None:
            try:
                written = self._list(path)[path][1]
                with self._files.open_input_stream(f"{self._base}/{path}") as stream:
                    return stream.read(), written
            except (KeyError, FileNotFoundError):  # not there, or deleted meanwhile
                return None

        return self._in_time(find, "cannot be read")

    def write(self, path: str, held: bytes) -> None:
        """Writes a small file.

        Raises:
            OSError: It could not be written.
        """
        with self._open_to_write(path) as stream:
            stream.write(held)

    def delete(self, path: str) -> None:
        """Deletes a file that may be gone.

        Raises:
            OSError: It could not be deleted.
        """
        with contextlib.suppress(FileNotFoundError):
            self._files.delete_file(f"{self._base}/{path}")

    def has(self, name: str) -> bool:
        """Whether there is a run of this name."""
        return self._in_time(lambda: f"{name}/run.json" in self._list(name), "cannot be read")

    def pull(self, name: str | None = None) -> None:
        """Copies down what all runs share, and a run if the copy of it knows more than the local folder.

        Raises:
            MirrorError: It cannot be read.
        """
        for shared in SHARED:
            for path, (size, changed) in self._in_time(partial(self._list, shared), "cannot be read").items():
                here = self.folder / path
                if not here.exists() or (here.stat().st_mtime < changed and here.stat().st_size != size):
                    self._get(path)
                elif here.stat().st_size == size:
                    self._sent[path] = _stamp(here)
        if name is None:
            return
        self._pull_run(name, self._in_time(partial(self._list, name), "cannot be read"))

    def pull_to_read(self) -> None:
        """Copies down, of all runs, what lists and reports show, unless the local folder knows more: no weights.

        Raises:
            MirrorError: It cannot be read.
        """
        self._in_time(lambda: self._files.get_file_info(self._base), "cannot be read")
        there = self._in_time(self._list, "cannot be read", LISTING_SECONDS)
        for name in [path[: -len("/run.json")] for path in there if path.endswith("/run.json")]:
            if "/" not in name:  # else it is below a run
                if not self._is_worked_on(name):
                    self._pull_run(name, there, to_read=True)
                self._pull_presence(name, there)

    def _is_worked_on(self, name: str) -> bool:
        """Whether a process of this machine is at a run, whose files here are ahead of their copy then."""
        present = who_is_at_run(RunFolder(self.folder / name))
        return present is not None and present.is_here

    def _pull_run(self, name: str, there: Mapping[str, tuple[int, float]], *, to_read: bool = False) -> None:
        """Copies a run down where its copy knows more; of one that knows as much, what is missing here.

        Args:
            name: Of the run.
            there: A listing that has it.
            to_read: Without what is heavy, and with files that are others there: nobody works on it here.
        """
        known, local = self._logged(name, there), self._logged_here(name, there)
        if not to_read:
            self._pulled[name] = known
        if known > local:  # another machine went on
            for path in [path for path in self._local(name) if path.startswith(f"{name}/")]:
                if _is_outdated(path, is_there=path in there, to_read=to_read):
                    (self.folder / path).unlink(missing_ok=True)
        ours = [
            path
            for path in there
            if path.startswith(f"{name}/") and not _is_left_out(Path(path).name) and not (to_read and _is_heavy(path))
        ]
        for path in sorted(ours, key=lambda path: path.endswith("/run.json")):  # last: what has it is a run
            here = self.folder / path
            is_other = not here.exists() or (to_read and here.stat().st_size != there[path][0])
            if known > local or (known == local and is_other):
                self._get(path)

    def _pull_presence(self, name: str, there: Mapping[str, tuple[int, float]]) -> None:
        """Copies down who is at a run elsewhere, and since when nothing was heard, unless somebody is at it here."""
        here = RunFolder(self.folder / name).presence
        present = who_is_at(here)
        if present is not None and present.is_here:
            return
        path = here.relative_to(self.folder).as_posix()
        found = self.read(path) if path in there else None
        present = who_is_at(here)
        if present is not None and present.is_here:  # which has begun meanwhile
            return
        here.unlink(missing_ok=True)
        if found is not None:
            held, written = found
            write_whole(here, held)
            os.utime(here, (written, written))

    def send(self, path: Path) -> None:
        """Copies up one file of the local folder.

        Raises:
            OSError: It could not be copied.
        """
        self._put(path.relative_to(self.folder).as_posix())

    def _logged(self, name: str, there: Mapping[str, tuple[int, float]] | None = None) -> int:
        """Bytes of a run's logs, those of its re-training with it: in a listing, or here."""
        run = RunFolder(Path(name))
        logs = [log for each in (run, run.retrained) for log in (each.trials_jsonl, each.events_jsonl)]
        if there is not None:
            return sum(there[log.as_posix()][0] for log in logs if log.as_posix() in there)
        return sum((self.folder / log).stat().st_size for log in logs if (self.folder / log).exists())

    def _logged_here(self, name: str, there: Mapping[str, tuple[int, float]]) -> int:
        """`_logged` of the local folder; -1 if that is no run, and what a listing has is one."""
        run_json = RunFolder(Path(name)).run_json
        is_missing = run_json.as_posix() in there and not (self.folder / run_json).exists()
        return -1 if is_missing else self._logged(name)

    def refuse_behind(self, name: str) -> None:
        """Makes sure, once, that a push of a run puts no older logs over newer ones.

        A run that was copied down may have shorter logs by now, as torn lines are cut: then what was there counts.

        Raises:
            MirrorError: The copy of the run knows more than the local folder, or it cannot be read.
        """
        if name in self._compared:
            return
        known = self._logged(name, self._in_time(partial(self._list, name), "cannot be read"))
        if known > max(self._logged(name), self._pulled.get(name, 0)):
            raise MirrorError(
                f"the run {name} in {self.address} knows more than {self.folder / name} and would be overwritten: "
                f"another machine has gone on with it. Copy it down first, by search/run.py --resume {name} or "
                f"scripts/retrain.py --run {name}, with --storage {self.address}"
            )
        self._compared.add(name)

    def push(self, name: str) -> int:
        """Copies up what has changed since the last time, of a run and of what all share; deletes what is gone.

        A state that a trial goes on from goes after the logs, and only if it is older than they are: its epochs must be
        in them, also where this is interrupted.

        Returns:
            How many files were copied.

        Raises:
            MirrorError: The copy of the run knows more than the local folder, or the first push cannot read it.
            OSError: Something could not be copied; the rest is tried again with the next push.
        """
        with self._pushing:
            self.refuse_behind(name)
            paths = list(self._local(name))
            states = [path for path in paths if path.endswith(f"/{LAST}")]
            logs = [path for path in paths if path.endswith((".jsonl", "run.json"))]
            errors = list[OSError]()
            copied = self._put_all((path for path in paths if path not in states and path not in logs), errors)
            before = {path: self._stamp_if_there(path) for path in states}
            copied += self._put_all(logs, errors)
            if not errors:  # else with the next push, as those that are newer than the logs
                as_then = (path for path in states if before[path] == self._stamp_if_there(path))
                copied += self._put_all(as_then, errors)
            for path in [sent for sent in self._sent if sent.startswith(f"{name}/") and sent not in set(paths)]:
                self.delete(path)
                del self._sent[path]
            if errors:
                raise errors[0]
            return copied

    def _put_all(self, paths: Iterable[str], errors: list[OSError]) -> int:
        """Copies files up and notes what went wrong: one that fails does not stop the others, `MOST_ERRORS` do."""
        copied = 0
        for path in paths:
            if len(errors) >= MOST_ERRORS:
                break
            try:
                copied += self._put(path)
            except FileNotFoundError:  # a driver has deleted it meanwhile
                pass
            except OSError as error:
                errors.append(error)
        return copied

    def _stamp_if_there(self, path: str) -> tuple[int, int] | None:
        try:
            return _stamp(self.folder / path)
        except FileNotFoundError:
            return None

    def _put(self, path: str) -> bool:
        here = self.folder / path
        stamp = _stamp(here)
        if self._sent.get(path) == stamp:
            return False
        with here.open("rb") as source, self._open_to_write(path) as stream:
            while part := source.read(COPY_BYTES):
                stream.write(part)
        self._sent[path] = stamp
        return True

    def _open_to_write(self, path: str) -> Any:
        target = f"{self._base}/{path}"
        if self._files.type_name in ("local", "hdfs"):
            self._files.create_dir(target.rsplit("/", 1)[0])
        return self._files.open_output_stream(target)

    def _get(self, path: str) -> None:
        here = self.folder / path
        here.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                self._files.open_input_stream(f"{self._base}/{path}") as stream,
                replacing(here) as draft,
                draft.open("wb") as target,
            ):
                while part := stream.read(COPY_BYTES):
                    target.write(part)
        except OSError as error:
            raise MirrorError(f"{self.address}/{path} cannot be copied: {reason_of(error)}") from error
        self._sent[path] = _stamp(here)

    def _list(self, under: str = "") -> dict[str, tuple[int, float]]:
        """Files at a path or below it: their paths from the base, with bytes and when they were written.

        Raises:
            OSError: Of the base itself: it is not there, or cannot be read.
        """
        from pyarrow import fs

        whole = f"{self._base}/{under}".rstrip("/")
        itself = self._files.get_file_info(whole)
        found = [itself] if itself.is_file else []
        if not found:
            found = self._files.get_file_info(fs.FileSelector(whole, recursive=True, allow_not_found=bool(under)))
        return {
            each.path.removeprefix(f"{self._base}/"): (each.size, each.mtime.timestamp() if each.mtime else 0.0)
            for each in found
            if each.is_file
        }

    def _local(self, name: str) -> Iterator[str]:
        for top in (name, *SHARED):
            whole = self.folder / top
            for path in [whole] if whole.is_file() else sorted(whole.rglob("*")):
                inner = path.relative_to(self.folder)
                if inner.parts[1:2] != (RunFolder(Path()).ray.name,) and path.is_file() and not _is_left_out(path.name):
                    yield inner.as_posix()

    def _in_time(self, ask: Callable[[], T], failed: str, seconds: float = ANSWER_SECONDS) -> T:
        """What the storage answers; libraries would wait for minutes.

        Raises:
            MirrorError: It does not, or says no.
        """
        said: list[Any] = []

        def run() -> None:
            try:
                said.append((ask(), None))
            except Exception as error:  # each file system has its own
                said.append((None, error))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(seconds)
        if not said:
            raise MirrorError(f"--storage {self.address} has not answered in {seconds:.0f} s. {_WAY_OUT}")
        answer, error = said[0]
        if error is not None:
            raise MirrorError(
                f"--storage {self.address} {failed}: {reason_of(error).rstrip('.')}. {_WAY_OUT}"
            ) from error
        return answer  # type: ignore[no-any-return]


_WAY_OUT = (
    "Give a bucket that is there, with credentials that may write to it (for s3: AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, and AWS_ENDPOINT_URL for a server that is not Amazon's), or a folder; "
    "docs/storage.md"
)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _is_heavy(path: str) -> bool:
    """Whether a file of a run is needed to go on or to answer, and not to be shown."""
    inner = path.split("/")[1:]
    return "checkpoints" in inner or "tensorboard" in inner or path.endswith(".safetensors")


def _is_outdated(path: str, *, is_there: bool, to_read: bool) -> bool:
    """Whether a file of here does not belong to newer logs that are copied down, and is not replaced with them.

    Args:
        path: Of a file of the run.
        is_there: Whether the copy has it.
        to_read: Whether what is heavy is not copied.
    """
    if is_there:
        return to_read and _is_heavy(path)
    return path.endswith(f"/{LAST}")  # a state, which is ahead of these logs


def _is_left_out(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OUT)
