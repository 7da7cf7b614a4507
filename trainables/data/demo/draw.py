"""Draws a small data set of people with and without masks, laid out like the mask-status competition.

The layout is that of the competition's `train` and `eval` folders, with the true answers beside `info.csv`.
The same parameters give the same bytes with the same versions of Pillow and NumPy, whatever the process or the
number of workers. What the pictures of a person share (`Look`) tells people apart more clearly than it tells
gender and age: a model that has seen other pictures of a person scores higher than one that has not.
"""

from __future__ import annotations

import colorsys
import csv
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from trainables.data.demo.portrait import Look, draw_portrait, mix
from trainables.errors import UserError
from trainables.machine.cores import usable_cores

LOCK_SECONDS = 600.0
"""How long a process waits for others that draw the same pictures, which takes some seconds."""
FORMAT = 2
"""Rises with every change of what is drawn, so that an older demo set is not taken for a new one."""
MARKER = "demo.json"
"""Written last, with the parameters: a folder that holds it is complete."""
GENDERS = ("male", "female")
AGE_BANDS = ((18, 29), (30, 59), (60, 75))
"""First and last age of each band; the competition gives under 30, 30 to 59, and 60 and over."""
AGE_BETAS = ((1.2, 1.8), (2.5, 1.5), (1.5, 1.5))
"""Parameters of the beta distribution of ages in each band: few are close to 30, where looks tell least."""
CLASS_SHARES = (549, 410, 83, 732, 817, 109)
"""The competition's 2,700 train people by 3 * female + age band."""
PICTURES = ("mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal")
TRAIN, EVAL = 0, 1
JPEG_QUALITY = 88


@dataclass(frozen=True, kw_only=True)
class Person:
    """One person of a data set; their pictures follow from `key` alone."""

    id: str
    gender: str
    age: int
    key: tuple[int, int, int]
    """Seed, side (`TRAIN` or `EVAL`) and place on that side."""

    @property
    def folder(self) -> str:
        """Name of the folder in `train/images`, and the `path` of `train.csv`."""
        return f"{self.id}_{self.gender}_Asian_{self.age}"

    def label(self, picture: str) -> int:
        """Class of a picture: 6 * mask (wear, incorrect, not wear) + 3 * female + age band."""
        mask = {"incorrect_mask": 1, "normal": 2}.get(picture, 0)
        band = sum(self.age > last for _, last in AGE_BANDS[:-1])
        return 6 * mask + 3 * GENDERS.index(self.gender) + band


def make_demo_data(
    out: Path,
    *,
    people: int = 120,
    eval_people: int = 40,
    seed: int = 0,
    height: int = 256,
    workers: int | None = None,
) -> Path:
    """Draws the data set into a new folder, or returns at once when it is already there.

    The folder appears complete or not at all, also when two processes draw it at the same time.

    Args:
        out: Folder to make.
        people: People in `train`, at least 6 (one of each gender and age band); 7 pictures each.
        eval_people: Other people, in `eval`, at least 1.
        seed: Which people; 0 or more.
        height: Height of a picture in pixels, a multiple of 4, 64 to 2048; the width is three quarters.
        workers: Processes that draw; one for each CPU if None, at most 16.

    Returns:
        `out`.

    Raises:
        UserError: A parameter is outside its range, or `out` is something else than this data set.
        RuntimeError: A process that draws has failed; nothing is left behind.
    """
    for name, value, low in (("people", people, 6), ("eval_people", eval_people, 1), ("seed", seed, 0)):
        if value < low:
            raise UserError(f"{name} is {value}: it must be at least {low}")
    if height % 4 or not 64 <= height <= 2048:
        raise UserError(f"height is {height}: it must be a multiple of 4 between 64 and 2048")
    if workers is not None and workers < 1:
        raise UserError(f"workers is {workers}: it must be at least 1")
    recipe = {"format": FORMAT, "people": people, "eval_people": eval_people, "seed": seed, "height": height}
    target = Path(out).absolute()
    if is_made(target, recipe):
        return out
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.parent / f".{target.name}.lock"
    with _held(lock):
        if is_made(target, recipe):  # by a process that held the lock before
            return out
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
            folder = Path(temporary) / "demo"
            write_tables(folder, recipe)
            draw_all(folder, recipe, workers or min(16, usable_cores()))
            (folder / MARKER).write_text(json.dumps(recipe, indent=2) + "\n")
            folder.rename(target)
    return out


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """While inside, other processes that want the same demo set wait.

    Raises:
        UserError: Another process has held it for `LOCK_SECONDS`.
    """
    held = FileLock(lock)
    try:
        held.acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        raise UserError(f"another process has held {lock} for {LOCK_SECONDS:g} s: end it and try again") from error
    try:
        yield
    finally:
        held.release()


def is_made(out: Path, recipe: dict[str, int]) -> bool:
    """Whether `out` is the demo set with these parameters; False when nothing is there yet.

    Raises:
        UserError: Something else is there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        found = json.loads((out / MARKER).read_text())
    except (OSError, ValueError):
        raise UserError(f"{out} exists and is no demo set: name another folder") from None
    if found != recipe:
        raise UserError(f"{out} is a demo set with other parameters ({found}): remove it or name another folder")
    return True


def people_and_paths(folder: Path, recipe: Mapping[str, int]) -> list[tuple[Person, dict[str, Path]]]:
    """Every person of both sides, with the file of each of their pictures."""
    seed, people, eval_people = recipe["seed"], recipe["people"], recipe["eval_people"]
    found = []
    for person in sample_people(people, seed, TRAIN, smallest=min(3, people // 6)):
        home = folder / "train" / "images" / person.folder
        found.append((person, {picture: home / f"{picture}.jpg" for picture in PICTURES}))
    for person in sample_people(eval_people, seed, EVAL, smallest=min(1, eval_people // 6)):
        names = {p: hashlib.sha1(f"{person.key} {p}".encode()).hexdigest() for p in PICTURES}
        found.append((person, {p: folder / "eval" / "images" / f"{name}.jpg" for p, name in names.items()}))
    return found


def write_tables(folder: Path, recipe: Mapping[str, int]) -> None:
    """Makes all folders, `train.csv`, `info.csv` with zeros and `answers.csv` with the true classes."""
    (folder / "eval" / "images").mkdir(parents=True)
    rows, answers = [], []
    for person, paths in people_and_paths(folder, recipe):
        if person.key[1] == TRAIN:
            (folder / "train" / "images" / person.folder).mkdir(parents=True)
            rows.append((person.id, person.gender, "Asian", person.age, person.folder))
        else:
            answers += [(path.name, person.label(picture)) for picture, path in paths.items()]
    answers.sort()  # by hash, which says nothing about the person: a shuffle that needs no seed
    write_csv(folder / "train" / "train.csv", ("id", "gender", "race", "age", "path"), rows)
    write_csv(folder / "eval" / "info.csv", ("ImageID", "ans"), [(name, 0) for name, _ in answers])
    write_csv(folder / "eval" / "answers.csv", ("ImageID", "ans"), answers)


def draw_all(folder: Path, recipe: Mapping[str, int], workers: int) -> None:
    """Draws the pictures in `workers` processes, of which this is one.

    The others start afresh as `python -m trainables.data.demo.draw`: a fork is unsafe once torch has threads, and
    multiprocessing's spawn would import the caller's main module again, with torch and Ray.
    """
    command = [sys.executable, "-m", __name__, str(folder), json.dumps(recipe), str(workers)]
    root = Path(__file__).resolve().parents[3]
    others = [subprocess.Popen([*command, str(k)], cwd=root, stdin=subprocess.DEVNULL) for k in range(1, workers)]
    try:
        draw_share(folder, recipe, workers, 0)
        if any(process.wait(LOCK_SECONDS) for process in others):
            raise RuntimeError(f"a process that draws into {folder} has failed; its own message is above")
    finally:
        for process in others:
            process.kill()
            process.wait()


def draw_share(folder: Path, recipe: Mapping[str, int], workers: int, share: int) -> None:
    """Draws every `workers`-th person, from the one at `share` on."""
    for person, paths in people_and_paths(folder, recipe)[share::workers]:
        draw_pictures(person, paths, recipe["height"])


def write_csv(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    """Writes a table with Unix line ends."""
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def draw_pictures(person: Person, paths: Mapping[str, Path], height: int) -> None:
    """Draws and saves a person's pictures, each from its own random stream: order does not matter."""
    look = sample_look(person.gender, person.age, np.random.default_rng([*person.key, 0]))
    for picture, path in paths.items():
        rng = np.random.default_rng([*person.key, 1 + PICTURES.index(picture)])
        mask = {"incorrect_mask": str(rng.choice(["nose", "chin"])), "normal": "none"}.get(picture, "worn")
        draw_portrait(look, mask, height, rng).save(path, quality=JPEG_QUALITY)


def sample_people(num: int, seed: int, side: int, *, smallest: int) -> list[Person]:
    """Draws people in the order of their ids, with the competition's class shares and gaps between ids."""
    rng = np.random.default_rng([seed, side, num, 0])
    cells = np.repeat(np.arange(6), cell_counts(num, smallest))
    rng.shuffle(cells)
    numbers = list(id_numbers(num, rng))
    people = []
    for k, (cell, number) in enumerate(zip(cells.tolist(), numbers, strict=True)):
        first, last = AGE_BANDS[cell % 3]
        age = first + int((last + 1 - first) * rng.beta(*AGE_BETAS[cell % 3]))
        people.append(Person(id=number, gender=GENDERS[cell // 3], age=age, key=(seed, side, k)))
    return people


def id_numbers(num: int, rng: np.random.Generator) -> Iterator[str]:
    """Six-digit ids with gaps; of 20 or more, one repeats its predecessor's digits with the suffix -1.

    The competition has two of these (001498-1, 003397-1): taking six characters as the id merges two people.
    """
    twin = num // 2 if num >= 20 else None
    number = 0
    for k in range(num):
        if k == twin:
            yield f"{number:06d}-1"
            continue
        number += 1 if k == 0 else int(rng.choice([1, 1, 1, 2, 3]))
        yield f"{number:06d}"


def cell_counts(num: int, smallest: int) -> list[int]:
    """Splits `num` people over the six cells in the proportions of `CLASS_SHARES`, at least `smallest` each."""
    exact = [num * share / sum(CLASS_SHARES) for share in CLASS_SHARES]
    counts = [max(smallest, int(value)) for value in exact]
    while sum(counts) < num:
        counts[max(range(6), key=lambda k: exact[k] - counts[k])] += 1
    while sum(counts) > num:
        counts[max((k for k in range(6) if counts[k] > smallest), key=lambda k: counts[k] - exact[k])] -= 1
    return counts


GENDER_SPREAD = 0.5
"""Standard deviation of how typical a person looks, where the two genders' means are 2 apart."""
AGE_SPREAD = 3.0
"""Standard deviation of how much older or younger a person looks, in years."""


def sample_look(gender: str, age: int, rng: np.random.Generator) -> Look:
    """Draws a person's look: identity freely, cues of gender and age from overlapping distributions."""
    female = (1 if gender == "female" else -1) + rng.normal(0, GENDER_SPREAD)
    looks_age = age + rng.normal(0, AGE_SPREAD)

    def share(mean: float, spread: float = 0.14) -> float:
        return float(np.clip(rng.normal(mean, spread), 0, 1))

    def colour(low: float, high: float, vivid: float = 0.6) -> tuple[int, int, int]:
        rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.08, vivid), rng.uniform(low, high))
        return tuple(round(255 * v) for v in rgb)  # type: ignore[return-value]

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability)

    lean = 1 / (1 + np.exp(-2 * female))
    old = float(np.clip((looks_age - 24) / 40, 0, 1))
    dyed = chance(0.15)
    long_hair = chance(0.04 + lean * (0.92 - 0.5 * old))
    receding = share(0.75 * old * (1 - lean), 0.15)
    style = str(rng.choice(["parted", "fringe", "swept"] if long_hair else ["cropped", "parted", "swept", "fringe"]))
    if not long_hair and receding > 0.62 and chance(0.6):
        style = "bald"
    skin = mix((250, 216, 186), (206, 156, 118), share(0.2 + 0.4 * old, 0.2))
    base = mix((30, 22, 24), (128, 78, 46), share(0.55 - 0.6 * old, 0.25))
    backdrop = colour(0.4, 0.97, 0.5)
    clothes = np.array([0.25, 0.2, 0.1 + 0.35 * old, 0.35 * (1 - old), 0.1])
    clothes /= clothes.sum()
    warm = rng.normal(0, 0.04)
    return Look(
        skin=skin,
        hair=base,
        grey=share(float(np.clip((looks_age - 50) / 11, 0, 1)) * (0.25 if dyed else 1.0), 0.05),
        hair_style=style,
        hair_length=float(rng.uniform(0.7, 2.6) if long_hair else rng.uniform(0, 0.35 + 0.2 * lean)),
        hair_volume=float(rng.uniform(0.08, 0.26) * (1 - 0.4 * old)),
        hair_wave=share(0.1 + 0.6 * old * lean, 0.25),
        parting=float(rng.uniform(-0.7, 0.7)),
        receding=receding,
        face_width=float(rng.normal(0.99 - 0.025 * female, 0.035)),
        chin=float(rng.normal(1.27 - 0.02 * female, 0.045)),
        jaw=share(0.4 - 0.24 * female + 0.25 * old, 0.14),
        brow=share(0.5 - 0.26 * female, 0.13),
        brow_arch=share(0.45 + 0.2 * female, 0.2),
        eye_size=float(rng.normal(1.12 + 0.05 * female - 0.3 * old, 0.06)),
        eye_colour=mix((40, 26, 22), (98, 66, 40), share(0.4, 0.3)),
        lashes=share(0.4 + 0.28 * female, 0.13),
        nose=float(rng.normal(1.0 - 0.06 * female, 0.1)),
        lips=share(0.5 + 0.14 * female - 0.15 * old, 0.15),
        lip_colour=share(0.24 + 0.24 * female, 0.15),
        blush=share(0.25 + 0.14 * female, 0.15),
        stubble=share(rng.uniform(0, 1.1), 0.1) if gender == "male" and chance(0.55) else 0.0,
        wrinkles=share(1.15 * old - 0.1, 0.1),
        sag=share(1.1 * old, 0.1),
        glasses=str(
            rng.choice(["none", "round", "square", "half"], p=[0.76 - 0.4 * old, 0.12 - 0.05 * old, 0.12, 0.45 * old])
        ),
        frame_colour=colour(0.1, 0.5),
        earrings=colour(0.6, 1.0) if chance(0.03 + 0.4 * lean) else None,
        neck=float(rng.normal(0.6 - 0.06 * female, 0.035)),
        shoulders=float(rng.normal(2.05 - 0.15 * female, 0.1)),
        clothing=str(rng.choice(["crew", "vee", "shirt", "hood", "turtle"], p=clothes)),
        clothing_colour=colour(0.3 - 0.15 * old, 0.98 - 0.35 * old, 0.85 - 0.5 * old),
        clothing_second=colour(0.25, 1.0 - 0.2 * old),
        clothing_pattern=str(rng.choice(["plain", "stripes", "dots"], p=[0.6, 0.25, 0.15])),
        backdrop=str(rng.choice(["plain", "panels", "blinds", "window", "shelf", "tiles", "bokeh"])),
        backdrop_colour=backdrop,
        backdrop_second=mix(backdrop, colour(0.4, 1.0), 0.4),
        backdrop_seed=int(rng.integers(2**31)),
        tint=(
            float(1 + warm + rng.normal(0, 0.03)),
            float(rng.normal(1, 0.03)),
            float(1 - warm + rng.normal(0, 0.03)),
        ),
        light=(float(rng.uniform(-0.15, 0.15)), float(rng.uniform(-0.1, 0.1))),
        zoom=float(rng.uniform(0.27, 0.31)),
        centre=(float(rng.uniform(0.47, 0.53)), float(rng.uniform(0.42, 0.46))),
        tilt=float(rng.normal(0, 2.5)),
    )


if __name__ == "__main__":
    draw_share(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
