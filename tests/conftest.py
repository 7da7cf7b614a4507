"""A small generated data set and task that the tests share."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.config import TaskConfig, TrialConfig
from trainables.data.cache import build_cache

CLASSES = ("circle", "square", "stripes")
TOY = TrialConfig(backbone="test_efficientnet", dropout=0.1, lr=3e-3)


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
    """Adds the sweep over all backbones, which takes minutes."""
    parser.addoption("--all-backbones", action="store_true", help="train every backbone of every space for a step")


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
