"""A model on disk, loaded to answer pictures: files, folders, tables, arrays.

Letters: `N` pictures, `C` classes, `H` and `W` height and width of a picture in pixels.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas
from PIL import Image, ImageOps

from macrotune.endings import in_python
from results.records.models import model_folder
from results.records.predictions import ANSWER, PREFIX, PROBABILITY, marginal
from trainables.data.cache import default_cache_dir
from trainables.data.unlabelled import read_unlabelled
from trainables.errors import UserError

if TYPE_CHECKING:
    from trainables.saved.predict import Predictions

Pictures = str | os.PathLike[str] | np.ndarray | Image.Image
"""A path of a picture, of a folder or of a table of paths; or pixels."""
AS_PNG = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
"""Pillow's modes that a PNG holds; a TIFF holds the others."""
IN_NO_FILE = {"HSV": "RGB", "La": "LA", "RGBa": "RGBA", "I;16B": "I", "I;16L": "I", "I;16N": "I"}
"""Modes that neither holds, and one that says the same."""


class Model:
    """One model, or several that answer together by the mean of their probabilities."""

    def __init__(self, paths: Sequence[Path], device: str = "auto") -> None:
        """Loads the models of folders; `load` is the way to it.

        Raises:
            UserError: One cannot be used, or they have different classes.
        """
        from trainables.saved.predict import load_models  # torch, which a search does without

        self._models = load_models(paths, device)

    @property
    def folder(self) -> Path:
        """Where the first of them lies."""
        return self._models[0].path

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the columns of `predict_proba`."""
        return self._models[0].description.classes

    @property
    def image_size(self) -> int:
        """Side of the square picture that the network sees, in pixels."""
        return self._models[0].description.image_size

    @property
    def record(self) -> dict[str, Any]:
        """Where it comes from, as its `model.json` says: run, trial, configuration, scores, versions."""
        return dict(self._models[0].description.record)

    @property
    def network(self) -> Any:
        """The first one's torch network, in eval mode on its device: from normalized pixels to logits.

        That a model answers to mirror images as well is up to `predict`, which asks the network twice then.
        """
        return self._models[0].network

    def predict(
        self,
        pictures: Pictures | Iterable[Pictures],
        *,
        proba: bool = False,
        tta: bool = False,
        batch_size: int = 64,
        skip_bad: bool = False,
        cache_dir: str | Path | None = None,
    ) -> pandas.DataFrame:
        """Answers pictures.

        Args:
            pictures: A picture's path, a folder (walked through), a CSV with a column of paths, or a list of paths. Or
                pixels: an array `(H, W, 3)` or `(H, W)` uint8, red first, `(N, H, W, 3)`, a PIL image, or a list of
                these, of any sizes.
            proba: Add a column `p_CLASS` with the probability of each class.
            tta: Average over each picture and its mirror image, also where the model would not by itself.
            batch_size: Pictures that go through a network at once.
            skip_bad: Leave the answer to a picture that cannot be read empty, and do not raise.
            cache_dir: Folder of the decoded pictures of files; by default ~/.cache/macrotune.

        Returns:
            A row per picture, in their order, with `answer` and `probability`, and the most probable value of each
            attribute where classes have such; indexed by path, or by place where they are pixels.

        Raises:
            UserError: There is no picture, or one cannot be read; names all of these.
        """
        names, found, asked = self._ask(pictures, tta, batch_size, skip_bad, cache_dir)
        probabilities = found.probabilities
        columns: dict[str, Any] = {
            ANSWER: np.array(self.classes, dtype=object)[probabilities.argmax(axis=1)],
            PROBABILITY: probabilities.max(axis=1, initial=0),
        }
        for name, by_class in self._models[0].description.attributes.items():
            kinds, parts = marginal(probabilities, by_class)
            columns[f"{ANSWER}_{name}"] = np.array(kinds, dtype=object)[parts.argmax(axis=1)]
        if proba:
            columns |= {f"{PREFIX}{name}": probabilities[:, place] for place, name in enumerate(self.classes)}
        return self._table(columns, names, asked, found)

    def predict_proba(self, pictures: Pictures | Iterable[Pictures], **more: Any) -> pandas.DataFrame:
        """The probability of each class, a column per class; pictures and other arguments as in `predict`."""
        table = self.predict(pictures, **{**more, "proba": True})
        table = table[[f"{PREFIX}{name}" for name in self.classes]]
        return table.rename(columns=lambda name: name.removeprefix(PREFIX))

    def _ask(
        self, pictures: Any, tta: bool, batch_size: int, skip_bad: bool, cache_dir: str | Path | None
    ) -> tuple[list[Any], Predictions, list[str]]:
        """What rows are called, the answers, and the path behind each row."""
        from trainables.saved.predict import predict_probabilities

        with in_python(), tempfile.TemporaryDirectory(prefix="macrotune-") as aside:
            read = _paths(pictures, Path(aside))
            paths = read.paths
            are_files = not paths or Path(paths[0]).parent != Path(aside)
            found = predict_probabilities(
                self._models,
                paths,
                cache_dir=Path(cache_dir or default_cache_dir()).expanduser() if are_files else Path(aside) / "cache",
                batch_size=batch_size,
                flip=tta,
                on_bad=partial(_refuse_bad, read.problems, skip_bad),
            )
        for line in (*read.said, *found.warnings):
            warnings.warn(line.encode(errors="backslashreplace").decode(), stacklevel=3)
        return read.names, found, paths

    def _table(
        self, columns: dict[str, Any], names: list[Any], asked: list[str], found: Predictions
    ) -> pandas.DataFrame:
        index = pandas.Index(names, name="path" if names and isinstance(names[0], str) else "picture")
        bad = set(found.bad)
        answered = pandas.Index([name for name, path in zip(names, asked, strict=True) if path not in bad])
        if len(answered) == len(index):
            return pandas.DataFrame(columns, index=index)
        places = [place for place, path in enumerate(asked) if path not in bad]
        table = pandas.DataFrame(columns, index=places).reindex(range(len(names)))
        return table.set_index(index)

    def __repr__(self) -> str:
        names = ", ".join(model.description.name for model in self._models)
        return f"Model of {names}: {len(self.classes)} classes, {self.image_size} px, {self.folder}"


def load(*folders: str | os.PathLike[str], device: str = "auto") -> Model:
    """Loads a model to answer pictures.

    Args:
        folders: Folders of models, or of runs, whose best model answers: the re-trained, else what the search left.
            Several are averaged.
        device: auto, cpu, cuda or another torch device.

    Raises:
        UserError: There is no model, or it cannot be used.
    """
    with in_python():
        if not folders:
            raise UserError("load() needs the folder of a model or of a run, such as load('runs/NAME')")
        return Model([model_folder(Path(folder).expanduser())[0] for folder in folders], device)


@dataclass(frozen=True)
class _Asked:
    """The files to answer."""

    paths: list[str]
    names: list[Any]
    """What their rows are called."""
    said: tuple[str, ...] = ()
    """How they were found, and what was left out, where its owner should know."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Why some were not found."""


def _refuse_bad(problems: Mapping[str, str], skip_bad: bool, bad: Mapping[str, str]) -> None:
    """Raises a `UserError` for pictures that cannot be read, before those that can are answered."""
    if skip_bad:
        return
    lines = [f"{path}: {problems.get(path, reason)}" for path, reason in bad.items()]
    more = f" and {len(lines) - 10} more" if len(lines) > 10 else ""
    raise UserError(f"cannot be read: {'; '.join(lines[:10])}{more}. Leave them out, or give skip_bad=True")


def _paths(pictures: Any, aside: Path) -> _Asked:
    """What is asked about; pixels become files, so that they go the very same way."""
    if isinstance(pictures, (str, os.PathLike)):
        read = read_unlabelled(Path(pictures))
        base = Path(pictures).expanduser()
        is_folder = base.is_dir() and read.file is None
        names = [os.path.relpath(path, base) if is_folder else path for path in read.paths]
        missed = [f"left out: {line}" for line in read.left_out.lines()] if read.left_out.is_missed else []
        return _Asked(list(read.paths), names, (*read.said, *missed), read.problems)
    if isinstance(pictures, Image.Image) or (isinstance(pictures, np.ndarray) and pictures.ndim < 4):
        pictures = [pictures]
    listed = list(pictures)
    if not listed:
        raise UserError("there is no picture to answer: the list is empty")
    if all(isinstance(each, (str, os.PathLike)) for each in listed):
        paths = [os.path.abspath(os.path.expanduser(os.fspath(each))) for each in listed]  # noqa: PTH100, PTH111
        return _Asked(paths, [os.fspath(each) for each in listed])
    files = []
    for place, pixels in enumerate(listed):
        image = _as_image(pixels, place)
        files.append(str(aside / f"{place}{'.png' if image.mode in AS_PNG else '.tif'}"))
        image.save(files[-1], compress_level=1, compression=None)  # that of the file it comes from may lose some
    return _Asked(files, list(range(len(listed))))


def _as_image(pixels: Any, place: int) -> Image.Image:
    """An array or an image as Pillow has it.

    Raises:
        UserError: It is neither; says what it must be.
    """
    if isinstance(pixels, Image.Image):
        upright = pixels
        with suppress(Exception):  # of Pillow's for broken EXIF, which counts as upright
            upright = ImageOps.exif_transpose(pixels)  # in a file of its own there would be none that says how
        return upright.convert(IN_NO_FILE.get(upright.mode, upright.mode))
    array = np.asarray(pixels)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise UserError(
            f"picture {place} is an array of shape {array.shape} and type {array.dtype}: it must be uint8, height by "
            "width by 3 (red, green, blue), or height by width. From 0 to 1 it becomes that by "
            "(pixels * 255).round().astype('uint8')"
        )
    if not array.size:
        raise UserError(f"picture {place} is an array of shape {array.shape}, which has no pixel")
    return Image.fromarray(np.ascontiguousarray(array))
