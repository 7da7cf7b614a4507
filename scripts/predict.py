"""Answers pictures with saved models and writes a CSV.

    python scripts/predict.py MODEL --data PICTURES

PICTURES is a folder (walked through, answers sorted by path below it), one picture, a CSV with a column of paths
(relative to the CSV; its other columns are kept), or the competition's eval folder or its parent: then ans of info.csv
is filled with the class index, row for row. The answers go into predictions.csv (submission.csv for a competition's
eval folder) in the folder of the first model's run, or in the model's own folder if it lies in no run; where there is
one already, into predictions-2.csv and so on. Several models are averaged. Pictures that cannot be read are named, have
an empty answer, and make the exit code 1. A thousand pictures take a minute on two cores without a GPU, most of it for
the network.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

STARTED = time.monotonic()
ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro

from scripts.terminal import at_home, progress, run_command, voiced
from search.terminal import Terminal, VoiceFlags, doing
from trainables.data.cache import default_cache_dir
from trainables.data.competition import CLASSES
from trainables.data.manifest import picture_bytes
from trainables.data.unlabelled import UnlabelledPictures, read_unlabelled
from trainables.errors import UserError
from trainables.free_names import numbered
from trainables.machine.home import can_write


@dataclass(frozen=True, kw_only=True)
class Options:
    """Classify pictures with saved models and write a CSV."""

    models: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL [MODEL ...]")]
    """Folders of saved models, or of runs (the re-trained model, else what the search left); several are averaged."""
    data: Path
    """Folder of pictures, one picture, CSV or parquet with a column of paths, or the competition's eval folder."""
    out: Path | None = None
    """CSV to write; by default predictions.csv, or submission.csv for an eval folder, in the folder of the first model
    or of its run, with a number added if it exists. A file that you name is replaced."""
    path_column: str = ""
    """Column of the CSV that names the pictures; empty: found by its name and its values."""
    proba: bool = False
    """Add a column p_CLASS with the probability of each class."""
    tta: bool = False
    """Average over each picture and a mirrored view of it, also where a model would not by itself."""
    device: str = "auto"
    """auto, cpu, cuda or another torch device."""
    address: str | None = None
    """Ray cluster whose nodes answer: auto on one of its nodes, or the head's HOST:PORT; by default this machine."""
    batch_size: int = 64
    """Pictures that go through a network at once."""
    cache_dir: Path | None = None
    """Folder of the decoded pictures; by default ~/.cache/macrotune."""
    max_picture_gb: float | None = None
    """Memory that decoding one picture may take, in GB; by default a quarter of the machine's."""
    voice: tyro.conf.OmitArgPrefixes[VoiceFlags] = field(default_factory=VoiceFlags)


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and answers; a user's mistake is one message and exit code 2."""
    return run_command(
        Options,
        lambda options: voiced(options.voice, partial(_predict, options), STARTED, stderr=True),
        args,
        prog="scripts/predict.py",
    )


def _predict(options: Options, console: Terminal) -> int:
    return int(predict(options, console)[1] > 0)


def predict(options: Options, console: Terminal) -> tuple[Path, int]:
    """The pipeline: pictures, models, answers, file.

    Returns:
        The file, and how many pictures could not be read.
    """
    options = at_home(options)
    doing(console, "reading the list of pictures")
    pictures = read_unlabelled(options.data, options.path_column)
    memory_bytes = picture_bytes(options.max_picture_gb)
    if options.out is not None and options.out.is_dir():
        raise UserError(f"{options.out} is a folder; name a file by --out")
    if options.out is not None and not can_write(options.out.parent):
        raise UserError(f"{options.out.parent} cannot be written; name another file by --out")

    from results.records.models import model_folders
    from results.records.predictions import add_columns, answer_columns, index_column, probability_columns
    from search.machine.answering_nodes import answering_on, joined
    from trainables.atomic import write_whole
    from trainables.saved.predict import load_models, predict_probabilities

    doing(console, "loading the network")
    address = joined(options.address)
    models = load_models(model_folders(options.models), options.device if address is None else "cpu")
    described = models[0].description
    if options.out is None:
        _free_name(models[0].path, pictures)  # refuses a folder that cannot be written

    def columns(probabilities: np.ndarray) -> dict[str, list[str]]:
        if not pictures.is_eval:
            return answer_columns(described.classes, probabilities, described.attributes, options.proba)
        added = {"ans": index_column(described.classes, probabilities, tuple(CLASSES))}
        return added | (probability_columns(described.classes, probabilities) if options.proba else {})

    # An empty table shows what is wrong with the columns before any picture is decoded.
    add_columns(pictures.columns, (), (), (), columns(np.zeros((0, len(described.classes)))), replaced="ans")
    cache_dir = options.cache_dir or default_cache_dir()
    with answering_on(address, models, options.device, cache_dir, console) as answer, progress(console) as show:
        found = predict_probabilities(
            models,
            pictures.paths,
            cache_dir=cache_dir,
            batch_size=options.batch_size,
            flip=options.tta,
            on_progress=show,
            memory_bytes=memory_bytes,
            answer=answer,
        )
    added = columns(found.probabilities)
    text = add_columns(pictures.columns, pictures.rows, pictures.paths, found.paths, added, replaced="ans")
    replaced = options.out is not None and options.out.exists()
    out = options.out or _new_name(models[0].path, pictures)
    try:
        write_whole(out, text.encode(errors="surrogateescape"))
    except OSError:
        if options.out is None:
            out.unlink(missing_ok=True)
        raise
    for note in (*pictures.said, *(f"left out: {line}" for line in pictures.left_out.lines())):
        print(note.encode(errors="backslashreplace").decode(), file=sys.stderr)
    for warning in found.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    for path, reason in found.bad.items():
        print(
            f"{path}: {pictures.problems.get(path, reason)}".encode(errors="backslashreplace").decode(), file=sys.stderr
        )
    unreadable = len(pictures.paths) - len(found.paths)
    note = ", replaces what was there" if replaced else ""
    classified = f"{len(found.paths):,} picture{'s' * (len(found.paths) != 1)} classified"
    print(f"{out}: {classified}, {unreadable:,} unreadable{note}")
    return out, len(found.bad)


def _free_name(model: Path, pictures: UnlabelledPictures) -> Path:
    """A file that is not there yet, in the folder of a model; in that of its run, which replaces its models' folders.

    Raises:
        UserError: Nothing can be written there.
    """
    from results.records.run_folder import run_around

    folder = run_around(model) or model
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder} cannot be written; name a file by --out")
    stem = "submission" if pictures.is_eval else "predictions"
    return next(folder / name for name in numbered(stem, ".csv") if not os.path.lexists(folder / name))


def _new_name(model: Path, pictures: UnlabelledPictures) -> Path:
    """The same, made: another process that answers meanwhile has its own."""
    while True:
        out = _free_name(model, pictures)
        with contextlib.suppress(FileExistsError):
            out.open("x").close()
            return out


if __name__ == "__main__":
    sys.exit(main())
