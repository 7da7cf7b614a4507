"""The model of an earlier re-training: there is one folder for it, and it is said before another takes its place."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rich.console import Console

from search.terminal import warn
from trainables.saved.model_description import ModelDescription, model_in

EVERYONE = "everyone"
"""Folder of the model that was trained on all people, beside the honest one."""


def say_replaced(folder: Path, picks: Collection[str], console: Console) -> bool:
    """Warns that the model in the folder is replaced, if it is of another trial than any whose model may come there.

    Args:
        folder: Where the model goes, `retrained` in the folder of the run.
        picks: The trials of which one is trained to be the model.
        console: Where it is said.

    Returns:
        Whether it was said.
    """
    known = model_in(folder)
    trial = trial_of(known)
    if known is None or trial is None or trial in picks:
        return False
    beside = f", and deletes {folder / EVERYONE}" if trial_of(model_in(folder / EVERYONE)) == trial else ""
    warn(
        console,
        f"{folder} holds the model of {trial}, {known.name}: at its end, this re-training replaces it by that of "
        f"{' or '.join(picks)}{beside}. To keep it, interrupt this, and copy or rename the folder first",
    )
    return True


def trial_of(model: ModelDescription | None) -> str | None:
    """The trial of the search that a re-trained model is of; None where that is not known."""
    trial = None if model is None else model.record.get("trial_id")
    return trial if isinstance(trial, str) else None
