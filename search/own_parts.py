"""The file of the user's own parts: which one it is, what a search asks of it, and whether it is still the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from results.records.run_folder import RunFolder
from search.flags import SearchFlags
from spaces import Space
from trainables.config import OWN, TaskConfig, TrialConfig
from trainables.errors import UserError
from trainables.parts.registry import Parts, is_own, part, run_source, sha256_of, use, use_task_parts


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
        parts = run_source(path.read_bytes().decode(), str(path), folder=path.parent)
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


def use_parts_of_run(parts: Mapping[str, str], folder: RunFolder) -> None:
    """Uses the parts that a run began with, which it has kept.

    Args:
        parts: `TaskConfig.parts` of the run.
        folder: Of the run.

    Raises:
        UserError: The file has changed since, so that the run would go on with something else than it began with.
    """
    file = Path(parts.get("file", ""))
    if parts and file.is_file() and (now := sha256_of(file.read_bytes().decode())) != parts["sha256"]:
        raise UserError(
            f"{file} has changed since the run {folder.path.name} began (SHA-256 {now[:12]}, it was "
            f"{parts['sha256'][:12]}): bring it back as it was, a copy is {folder.parts_py}, or start a new run"
        )
    use_task_parts(parts)


def with_source(task: TaskConfig, space: str) -> TaskConfig:
    """The task of a record, which leaves the text of the user's own parts out, with the text of the file at hand.

    Args:
        task: Of a run or of a record.
        space: As --space names it: a user's own names the file.

    Raises:
        UserError: There is no such file, or it has changed.
    """
    if not task.parts or "source" in task.parts:
        return task
    file, _, _ = space.rpartition(":")
    name, sha256 = task.parts["file"], task.parts["sha256"]
    source = Path(file).read_bytes().decode() if file.endswith(".py") and Path(file).is_file() else ""
    if sha256_of(source) != sha256:
        what = f"{file} is another file" if source else "it is not here"
        raise UserError(
            f"the search used parts of its author's own, {name} with the SHA-256 {sha256[:12]}, and {what}: name it by "
            f"--space path/to/{name}:function, as it was"
        )
    return replace(task, parts={**task.parts, "file": file, "source": source})


def parts_in_words(parts: Parts) -> str:
    """What a file holds, for the announcement of a search."""
    kinds = [(kind, list(names)) for kind, names in parts.found.items() if names]
    if parts.timm_networks:
        kinds.insert(0, ("network", [*parts.timm_networks]))
    held = "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds) or "functions"
    return f"Your own parts: {parts.file} ({held}), SHA-256 {parts.sha256[:12]}"


def named_in_words(name: str) -> str:
    """A part as a page names it."""
    return name.removeprefix(OWN)
