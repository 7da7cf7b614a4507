"""A small generated data set, task and search that the tests share."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.config import TaskConfig, TrialConfig
from trainables.data.cache import build_cache

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("circle", "square", "stripes")
TOY = TrialConfig(backbone="test_efficientnet", dropout=0.1, lr=3e-3)

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in a shell's background job: children would, too
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Searched:
    """The run `first` of the space `toy`."""

    folder: Path
    """Where `runs`, `README.md`, `results` and `cache` are."""
    said: str
    """What the command printed."""


def places(folder: Path) -> list[str]:
    """Flags that keep all that a command writes in a folder."""
    return [
        "--storage",
        str(folder / "runs"),
        "--readme",
        str(folder / "README.md"),
        "--cache-dir",
        str(folder / "cache"),
    ]


def run_command(script: str, *flags: str, folder: Path, code: int = 0) -> str:
    """Runs a command as a user does, from a folder that is not the project's; returns what it printed."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    command = [sys.executable, str(ROOT / script), *flags, *places(folder)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=560)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def draw(path: Path, kind: int, rng: np.random.Generator, size: tuple[int, int] = (40, 48)) -> None:
    """One noisy picture of a class that a tiny network can learn."""
    width, height = size
    pixels = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    shape = (
        (x - width / 2) ** 2 + (y - height / 2) ** 2 < (width / 3) ** 2,
        (abs(x - width / 2) < width / 4) & (abs(y - height / 2) < width / 4),
        x // 4 % 2 == 0,
    )[kind]
    pixels[shape] = np.clip(pixels[shape] + rng.integers(120, 190, 3), 0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds what takes minutes: whole stories of searches, the sweep over all backbones, kernels of a C++ compiler."""
    parser.addoption("--long", action="store_true", help="tell the stories that take half a minute each or longer, too")
    parser.addoption("--all-backbones", action="store_true", help="train every backbone of every space for a step")
    parser.addoption("--browser-story", action="store_true", help="tell the page's whole story in a browser: minutes")
    parser.addoption("--compile", action="store_true", help="make the kernels of compiled networks in earnest")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the long stories, unless they are asked for."""
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(pytest.mark.skip(reason="takes half a minute or more: --long, as CI does"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV data set of 24 people with 4 pictures each, in 3 unbalanced classes."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows = []
    for person in range(24):
        for number in range(4):
            kind = (0, 0, 1, 2)[(person + number) % 4]
            path = root / f"p{person:02}_{number}.png"
            draw(path, kind, rng)
            rows.append((path.name, CLASSES[kind], f"p{person:02}"))
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group"))
        writer.writerows(rows)
    return root


@pytest.fixture(scope="session")
def searched(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """A search of four trials that has finished; who changes its folder takes a copy."""
    folder = tmp_path_factory.mktemp("elsewhere")
    small = ("--space", "toy", "--trials", "4", "--epochs", "3", "--image-size", "32", "--batch-size", "16")
    said = run_command(
        "search/run.py", *small, "--data", str(pictures), "--name", "first", "--seed", "3", folder=folder
    )
    return Searched(folder, said)


@pytest.fixture
def task(pictures: Path, tmp_path: Path) -> TaskConfig:
    """A task of three epochs over those pictures: 16 people to train on, 4 to validate on, 4 to test on."""
    with (pictures / "train.csv").open(newline="") as file:
        rows = [(str(pictures / path), label, group) for path, label, group in list(csv.reader(file))[1:]]
    split = tmp_path / "split.csv"
    with split.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group", "split"))
        for path, label, group in rows:
            person = int(group[1:])
            writer.writerow((path, label, group, "train" if person < 16 else "val" if person < 20 else "test"))
    cache = build_cache([path for path, _, _ in rows], 32, tmp_path / "cache")
    return TaskConfig(
        cache_path=str(cache.path),
        split_path=str(split),
        checkpoint_dir=str(tmp_path / "checkpoints"),
        classes=CLASSES,
        image_size=32,
        epochs=3,
        batch_size=16,
        seed=1,
        device="cpu",
    )
