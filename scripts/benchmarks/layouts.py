"""Draws layouts and tables as people have them, and checks that each is read right or refused with a message.

    python scripts/benchmarks/layouts.py --count 1000

Each layout has its own seed, which decides all of it, mistakes included. Read right means: every picture has the label
and the side that it was drawn with, and every file of the folder is used or accounted for. 1,000 layouts take about a
minute on one core.
"""

from __future__ import annotations

import csv
import random
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

from PIL import Image

from scripts.terminal import run_command
from trainables.data.manifest import DataConfig, DataError, load_manifest

SIDE_NAMES = {
    "train": ("train", "Train", "TRAIN", "Training", "training_set", "train2017", "TrainImages", "seg_train"),
    "val": ("val", "valid", "Validation", "validation_set", "dev", "Val"),
    "test": ("test", "Test", "Testing", "test_set", "holdout", "test2017", "TestImages"),
}
ENDINGS = (".jpg", ".JPG", ".jpeg", ".png", ".tif", ".gif", ".bmp", ".webp", ".jpe", ".jfif")
CLASS_NAMES = ("cat", "dog", "marmot", "café", "big bird", "No Tumor", "마스크", "01", "x,y", "it's", "a;b", "Ünit")
PATH_COLUMNS = ("path", "filename", "file_name", "image", "image_id", "Image", "img_path", "id")
LABEL_COLUMNS = ("label", "class", "target", "Category", "species", "dx")
SPLIT_COLUMNS = ("split", "set", "subset", "Usage")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Check how drawn layouts are read."""

    count: int = 1000
    """Layouts to draw, at least 1."""
    seed: int = 0
    """Seed of the first; each other has the next."""


@dataclass
class Drawn:
    """A layout, and how it is to be read."""

    root: Path
    kind: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    """Picture, below the root, to its label; the others are not to be read as labelled pictures."""
    sides: dict[str, str] = field(default_factory=dict)
    mistake: str = ""
    """What is wrong, so that it has to be refused; empty for nothing."""


def draw_layout(root: Path, seed: int) -> Drawn:
    """Writes one layout into an empty folder."""
    rng = random.Random(seed)
    drawn = Drawn(root)
    names = rng.sample(CLASS_NAMES, rng.randint(2, 5))
    kind = rng.choice(("classes", "sides", "sides below", "table", "table", "one-hot", "tables"))
    drawn.kind = kind
    if kind == "classes":
        for name in names:
            _pictures(drawn, rng, f"{name}/{'more/' if rng.random() < 0.2 else ''}", name, "")
    elif kind.startswith("sides"):
        _draw_sides(drawn, rng, names, below=kind == "sides below")
    else:
        _draw_table(drawn, rng, names, kind)
    _strew(root, rng)
    return drawn


def _pictures(drawn: Drawn, rng: random.Random, folder: str, label: str, side: str, least: int = 2) -> list[str]:
    """Some pictures of a class in a folder; returns their paths below the root."""
    paths = []
    for number in range(rng.randint(least, 4)):
        path = f"{folder}{side}{len(drawn.labels):03d}-{number}{rng.choice(ENDINGS)}"
        (drawn.root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (rng.randrange(256), number, 0)).save(drawn.root / path, "PNG")
        drawn.labels[path], drawn.sides[path] = label, side
        paths.append(path)
    return paths


def _draw_sides(drawn: Drawn, rng: random.Random, names: Sequence[str], *, below: bool) -> None:
    sides = ["train", *rng.choice((["val"], ["test"], ["val", "test"]))]
    if rng.random() < 0.1:
        sides.remove("train")
        drawn.mistake = "no train" if len(sides) > 1 and not below else ""
        if not drawn.mistake:
            sides.insert(0, "train")
    called = {side: rng.choice(SIDE_NAMES[side]) for side in sides}
    if called.get("train") == "seg_train":
        called = {side: f"seg_{side}" for side in sides}
    around = rng.choice(("", "", "archive/", "archive/data v1/"))
    for side in sides:
        for name in names:
            folder = f"{name}/{called[side]}/" if below else f"{around}{called[side]}/{name}/"
            _pictures(drawn, rng, folder, name, side)
    if not below and rng.random() < 0.3:  # copies, and pictures without labels
        extra = Drawn(drawn.root, labels={str(n): "" for n in range(500)})
        _pictures(extra, rng, f"{around}sample/{names[0]}/", names[0], "")


def _draw_table(drawn: Drawn, rng: random.Random, names: Sequence[str], kind: str) -> None:
    sides = ["train", "val", "test"] if kind == "tables" or rng.random() < 0.3 else [""]
    folder = rng.choice(("", "images/", "img/train data/"))
    for side in sides:
        for name in names:
            _pictures(drawn, rng, folder, name, side)
    path_column = rng.choice(PATH_COLUMNS)
    label_column = rng.choice(LABEL_COLUMNS)
    change = rng.choice(("no", "no", "backslashes", "no folder", "no ending", "NFD"))
    separator = rng.choice(",,;\t")
    with_split = len(sides) > 1 and kind != "tables"
    split_column = rng.choice(SPLIT_COLUMNS)
    tables: dict[str, list[list[str]]] = {}
    for path, label in drawn.labels.items():
        side = drawn.sides[path]
        cells = [_written(path, change)]
        cells += [str(int(label == name)) for name in names] if kind == "one-hot" else [label]
        cells += [rng.choice(SIDE_NAMES[side][:6])] if with_split else []
        tables.setdefault(side if kind == "tables" else "train", []).append(cells)
    header = [path_column, *(names if kind == "one-hot" else [label_column]), *([split_column] if with_split else [])]
    rows = tables["train"]
    if rng.random() < 0.15:
        drawn.mistake = _spoil(rows, header, rng, kind)
    for side, lines in tables.items():
        with (drawn.root / f"{side}.csv").open("w", newline="", encoding=rng.choice(("utf-8", "utf-8-sig"))) as file:
            writer = csv.writer(file, delimiter=separator, lineterminator=rng.choice(("\n", "\r\n")))
            writer.writerows([header, *lines])


def _written(path: str, change: str) -> str:
    if change == "backslashes":
        return path.replace("/", "\\")
    if change == "no folder":
        return path.rpartition("/")[2]
    if change == "no ending":
        return path.rpartition(".")[0]
    return unicodedata.normalize("NFD", path) if change == "NFD" else path


def _spoil(rows: list[list[str]], header: list[str], rng: random.Random, kind: str) -> str:
    """Puts a mistake into a table; says which."""
    mistake = rng.choice(("missing file", "twice", "short row", "no label", "no path column"))
    row = rng.randrange(len(rows))
    if mistake == "missing file":
        rows[row][0] = "nowhere.jpg"
    elif mistake == "twice":
        rows.append(list(rows[row]))
    elif mistake == "short row":
        rows[row].pop()
    elif mistake == "no path column":
        for cells in rows:
            cells[0] = "?"
    elif kind == "one-hot":
        rows[row][1:] = ["0"] * (len(header) - 1)
    else:
        rows[row][1] = ""
    return mistake


def _strew(root: Path, rng: random.Random) -> None:
    """Leaves what else lies around."""
    folders = sorted(path for path in root.rglob("*") if path.is_dir()) or [root]
    for name in rng.sample(
        ("Thumbs.db", ".DS_Store", "notes.txt", "._a.jpg", "scan.heic", "film.mp4"), rng.randint(0, 3)
    ):
        (rng.choice(folders) / name).write_bytes(b"\0\1nothing")


def check_layout(drawn: Drawn) -> str:
    """`right` or `refused`; anything else says what went wrong."""
    try:
        manifest = load_manifest(DataConfig(data=drawn.root))
    except DataError as error:
        if not str(error).strip() or "\n" not in str(error):
            return "wrong: refused without a word"
        return "refused" if drawn.mistake else f"wrong: refused: {error}"
    except Exception as error:
        return f"wrong: traceback {error!r}"
    if drawn.mistake:
        return f"wrong: read in spite of {drawn.mistake}"
    base = str(drawn.root)
    rows = manifest.table
    found = {path[len(base) + 1 :]: label for path, label in zip(rows["path"], rows["label"], strict=True)}
    if found != drawn.labels:
        return f"wrong: labels {sorted(set(found.items()) ^ set(drawn.labels.items()))[:4]}"
    sides = {path[len(base) + 1 :]: side for path, side in zip(rows["path"], rows["split"], strict=True)}
    if sides != drawn.sides:
        return f"wrong: sides {sorted(set(sides.items()) ^ set(drawn.sides.items()))[:4]}"
    if manifest.layout.startswith("folder"):
        files = sum(path.is_file() for path in drawn.root.rglob("*"))
        if files != len(rows) + manifest.left_out.total:
            return f"wrong: {files} files, {len(rows)} used, {manifest.left_out.total} left out"
    return "right"


def check_all(options: Options) -> int:
    """Draws and checks them all; returns 1 if one was read wrong."""
    started, outcomes = time.perf_counter(), Counter[str]()
    for seed in range(options.seed, options.seed + options.count):
        with tempfile.TemporaryDirectory() as folder:
            drawn = draw_layout(Path(folder).resolve(), seed)
            outcome = check_layout(drawn)
        outcomes[outcome.partition(":")[0]] += 1
        if outcome.startswith("wrong"):
            print(f"seed {seed}, {drawn.kind}: {outcome}")
    took = time.perf_counter() - started
    print(f"{options.count:,} layouts in {took:.0f} s: {dict(outcomes)}")
    return int(outcomes["wrong"] > 0)


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and checks."""
    return run_command(Options, check_all, args, prog="scripts/benchmarks/layouts.py")


if __name__ == "__main__":
    sys.exit(main())
