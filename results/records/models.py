"""Which model a path stands for: a folder of a model itself, or a run, whose best model answers."""

from __future__ import annotations

from pathlib import Path

from results.records.run_folder import RunError, RunFolder, resume_command, retrain_command
from trainables.saved.model_description import DESCRIPTION


def model_folder(path: Path) -> tuple[Path, str]:
    """The folder of a model, and what is to be said of how it was found.

    Of a run it is the re-trained model where there is one, else the one that its search left. Anything else is taken
    as it is, with nothing to say.

    Raises:
        RunError: The run has no model; names the ways out.
    """
    run = RunFolder(path)
    if not run.run_json.is_file():
        return path, ""
    for found, words in (
        (run.retrained.path, "trained again on train and val"),
        (run.model, "what the search left, picked by validation"),
    ):
        if (found / DESCRIPTION).is_file():
            return found, f"{found}: {words}"
    run_dir = path.resolve()
    raise RunError(
        f"{path} has no model: no epoch had finished when its search ended, --keep 0 kept no weights, it was killed "
        f"or still runs. Go on with it by: {resume_command(run_dir)}, or train its best again by: "
        f"{retrain_command(run_dir)}"
    )


def model_folders(paths: tuple[Path, ...]) -> list[Path]:
    """The folders of several models; says what each run among the paths answers with."""
    folders = []
    for path in paths:
        folder, words = model_folder(path)
        if words:
            print(words)
        folders.append(folder)
    return folders
