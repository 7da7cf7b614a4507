"""Answers pictures with saved models and writes a CSV.

    python scripts/predict.py MODEL --data PICTURES

PICTURES is a folder (walked through, answers sorted by path below it), one picture, a CSV or parquet file with a column
of paths (relative to it; its other columns are kept), or the competition's eval folder or its parent: then ans of
info.csv is filled with the class index, row for row. The result lies in the first model's folder, as
predictions-PICTURES.csv or submission-PICTURES.csv, with a number where there is one already; --out names another
place. Several models are averaged. Pictures that cannot be read are named, have an empty answer, and make the exit code
1. A thousand pictures take a minute on two cores without a GPU, most of it for the network.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro

from scripts.terminal import progress, run_command
from trainables.data.cache import default_cache_dir
from trainables.data.competition import CLASSES
from trainables.data.decoding import MOST_GB
from trainables.data.unlabelled import UnlabelledPictures, read_unlabelled
from trainables.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    """Answer pictures with saved models and write a CSV."""

    models: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL [MODEL ...]")]
    """Folders of saved models, or of runs (the re-trained model, else what the search left); several are averaged."""
    data: Path
    """Folder of pictures, one picture, CSV or parquet with a column of paths, or the competition's eval folder."""
    out: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="(default: in the first model's folder)")] = None
    """CSV to write, in place of one that is there; by default predictions-DATA.csv, or submission-DATA.csv for an eval
    folder, with a number that is still free."""
    path_column: str = ""
    """Column of the CSV that names the pictures; empty: found by its name and its values."""
    picture_memory: float = MOST_GB
    """Most memory in GB that decoding one picture may take; a larger one is unreadable."""
    proba: bool = False
    """Add a column p_CLASS with the probability of each class."""
    tta: bool = False
    """Average over each picture and its mirror image."""
    device: str = "auto"
    """auto, cpu, cuda or another torch device."""
    batch_size: int = 64
    """Pictures that go through a network at once."""
    cache_dir: Path | None = None
    """Folder of the decoded pictures; by default ~/.cache/macrotune."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and answers; a user's mistake is one message and exit code 2."""
    return run_command(Options, predict, args, prog="scripts/predict.py")


def predict(options: Options) -> int:
    """The pipeline: pictures, models, answers, file. Returns the exit code."""
    pictures = read_unlabelled(options.data, options.path_column)

    from results.records.models import model_folders
    from results.records.predictions import add_columns, answer_columns, index_column, probability_columns
    from trainables.atomic import write_whole
    from trainables.saved.predict import load_models, predict_probabilities

    folders = model_folders(options.models)
    models = load_models(folders, options.device)
    out = _out(options, pictures, folders[0])
    described = models[0].description

    def columns(probabilities: np.ndarray) -> dict[str, list[str]]:
        if not pictures.is_eval:
            return answer_columns(described.classes, probabilities, described.attributes, options.proba)
        added = {"ans": index_column(described.classes, probabilities, tuple(CLASSES))}
        return added | (probability_columns(described.classes, probabilities) if options.proba else {})

    # An empty table shows what is wrong with the columns before any picture is decoded.
    add_columns(pictures.columns, (), (), (), columns(np.zeros((0, len(described.classes)))), replaced="ans")
    with progress() as show:
        found = predict_probabilities(
            models,
            pictures.paths,
            cache_dir=options.cache_dir or default_cache_dir(),
            batch_size=options.batch_size,
            flip=options.tta,
            on_progress=show,
            picture_memory=options.picture_memory,
        )
    added = columns(found.probabilities)
    text = add_columns(pictures.columns, pictures.rows, pictures.paths, found.paths, added, replaced="ans")
    write_whole(out, text.encode(errors="surrogateescape"))
    for note in (*pictures.said, *(f"left out: {line}" for line in pictures.left_out.lines())):
        print(note.encode(errors="backslashreplace").decode(), file=sys.stderr)
    for path in found.flat:
        print(f"{path}: nearly one colour".encode(errors="backslashreplace").decode(), file=sys.stderr)
    for path, reason in found.bad.items():
        print(f"{path}: {reason}".encode(errors="backslashreplace").decode(), file=sys.stderr)
    print(f"{out}: {len(found.paths):,} pictures answered, {len(pictures.paths) - len(found.paths):,} unreadable")
    return 1 if found.bad else 0


def _out(options: Options, pictures: UnlabelledPictures, model: Path) -> Path:
    """The file to write: as named, or a new one in the model's folder, so that nothing is replaced without being asked.

    Raises:
        UserError: It cannot be a file there.
    """
    if options.out is not None:
        if options.out.is_dir():
            raise UserError(f"{options.out} is a folder; name a file by --out")
        return options.out
    named = Path(os.path.abspath(options.data.expanduser()))  # noqa: PTH100  (Path.absolute keeps "..")
    stem = f"{'submission' if pictures.is_eval else 'predictions'}-{named.stem or 'all'}"
    if model.is_dir() and not os.access(model, os.W_OK):
        raise UserError(f"{model} cannot be written; name a file by --out")
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not (path := model / f"{name}.csv").exists())


if __name__ == "__main__":
    sys.exit(main())
