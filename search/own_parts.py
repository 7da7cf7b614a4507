"""The file of the user's own parts: which one it is, what a search asks of it, and whether it is still the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from results.records.record import SearchRun
from results.records.run_folder import RunFolder
from search.checks import proposals
from search.flags import ROOT, SearchFlags
from spaces import Space
from trainables.config import TaskConfig, TrialConfig
from trainables.errors import UserError
from trainables.machine.hardware import visible_gpus
from trainables.parts.loading import read_source, run_source, use, use_task_parts, using
from trainables.parts.registry import Parts, is_own, is_own_network, part, sha256_of

MISTAKE = 2
"""Exit code by which a trial of parts says that its last line is for the user."""


def use_own_parts(flags: SearchFlags, space: Space) -> Parts | None:
    """Finds the file that --parts, --space or --metric names, and uses its parts from now on.

    Raises:
        UserError: They name several files, or one that does not run or has no such part.
    """
    files = {flag: path for flag, path in (("--parts", flags.parts), ("--metric", flags.metric_file)) if path}
    if space.parts is not None:
        files["--space"] = Path(space.parts.file)
    if len(set(files.values())) > 1:
        named = ", ".join(f"{flag} {path}" for flag, path in files.items())
        raise UserError(f"the parts of a search are in one file, and these are several: {named}. Put all into one")
    parts = space.parts
    if parts is None and files:
        (flag, path), *_ = files.items()
        if not path.is_file():
            raise UserError(f"{flag} {path}: there is no such file. Give the path of a Python file")
        parts = run_source(read_source(path), str(path), folder=path.parent)
        if parts.is_empty and flag != "--metric":
            raise UserError(f"{flag} {path}: there is no part in it. Put @parts.loss or the like above a function")
    use(parts)
    if is_own(flags.metric_name):
        part("metric", flags.metric_name)
    return parts


def refuse_unknown_parts(configs: Iterable[TrialConfig]) -> None:
    """Raises a `UserError` if a configuration names a part of one's own that there is not."""
    named = {(kind, getattr(config, kind)) for config in configs for kind in ("loss", "augmentation")}
    for kind, name in sorted(named):
        if is_own(name):
            part(kind, name)


def try_parts(task: TaskConfig, space: Space) -> None:
    """Runs one real step with each of the user's own parts on two pictures, in a process of its own.

    Args:
        task: With the parts, the classes, the image size, the metric and the device.
        space: What is to be searched.

    Raises:
        UserError: A part does not do what it is for; names file, function and way out.
    """
    if not task.parts:
        return
    if task.device == "cuda" and not visible_gpus():  # of a cluster: here it is tried on a core
        task = replace(task, device="cpu")
    what = {"task": asdict(task), "configs": [asdict(config) for config in _of_each_part(space)]}
    with TemporaryDirectory(prefix="macrotune-parts-") as aside:  # where nothing lies that a worker would not have
        done = subprocess.run(
            [sys.executable, "-m", "trainables.parts.check"],
            input=json.dumps(what),
            capture_output=True,
            cwd=aside,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
    if done.returncode == MISTAKE:
        raise UserError(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]
        raise UserError(f"{task.parts['file']}: a step with these parts fails: {last}. Fix the file\n{done.stderr}")


def _of_each_part(space: Space) -> list[TrialConfig]:
    """Configurations in which every part, as it will be used, occurs at least once."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for config in proposals(space) or space.starting_points[:1]:
        mixed = config.cutmix > 0 or config.mixup > 0
        uses = {
            ("network", config.backbone if is_own_network(config.backbone) else "", config.drop_path > 0),
            ("loss", config.loss, mixed, config.formulation) if is_own(config.loss) else (),
            ("augmentation", config.augmentation) if is_own(config.augmentation) else (),
        }
        if not uses <= seen:
            seen |= uses
            kept.append(config)
    return kept


def with_parts_of(run: SearchRun) -> AbstractContextManager[None]:
    """A context in which the user's own parts that a run began with are looked up, such as its metric."""
    parts = run.task.parts
    return using(run_source(parts["source"], parts["file"]) if parts.get("source") else None)


def use_parts_of_run(parts: Mapping[str, str], folder: RunFolder) -> None:
    """Uses the parts that a run began with, which it has kept.

    Args:
        parts: `TaskConfig.parts` of the run.
        folder: Of the run.

    Raises:
        UserError: The file has changed since, so that the run would go on with something else than it began with.
    """
    file = Path(parts.get("file", ""))
    if parts and file.is_file() and (now := sha256_of(read_source(file))) != parts["sha256"]:
        raise UserError(
            f"{file} has changed since the run {folder.path.name} began (SHA-256 {now[:12]}, it was "
            f"{parts['sha256'][:12]}): bring it back as it was, a copy is {folder.parts_py}, or start a new run"
        )
    use_task_parts(parts)


def with_source(task: TaskConfig, search: SearchFlags) -> TaskConfig:
    """The task of a record, which leaves the text of the user's own parts out, with the text of the file at hand.

    Args:
        task: Of a run or of a record.
        search: Its --parts names the file, or a --space of the user's own.

    Raises:
        UserError: There is no such file, or it has changed.
    """
    if not task.parts or "source" in task.parts:
        return task
    file = search.space.rpartition(":")[0] if search.parts is None else str(search.parts)
    name, sha256 = task.parts["file"], task.parts["sha256"]
    source = read_source(Path(file)) if file.endswith(".py") and Path(file).is_file() else ""
    if sha256_of(source) != sha256:
        what = f"{file} is another file" if source else "it is not here"
        raise UserError(
            f"the search used parts of its author's own, {name} with the SHA-256 {sha256[:12]}, and {what}: name it by "
            f"--parts path/to/{name}, as it was"
        )
    return replace(task, parts={**task.parts, "file": file, "source": source})


def parts_in_words(parts: Parts) -> str:
    """What a file holds, for the announcement of a search."""
    kinds = [(kind, list(names)) for kind, names in parts.found.items() if names]
    if parts.timm_networks:
        kinds.insert(0, ("network", [*parts.timm_networks]))
    held = "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds) or "functions"
    return f"Your own parts: {parts.file} ({held}), SHA-256 {parts.sha256[:12]}"
