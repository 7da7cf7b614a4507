"""The throughput benchmark's arithmetic, and that what it measures is what it says."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from scripts.benchmarks.epoch_costs import AUGMENTATIONS, COPIES, FLOOR, FLOOR_VAL, VAL, _measure
from scripts.benchmarks.plain_trial import Pictures
from scripts.benchmarks.throughput import SPACE, ThroughputConfig, _refuse_other_work
from scripts.benchmarks.throughput_report import KINDS, divided_phases, draw, floor_seconds, render, steady_shares
from spaces.user_space import check_user_space, load_user_space
from trainables.config import TaskConfig

COSTS = {
    FLOOR: [8.0, 8.0],
    FLOOR_VAL: [1.0, 1.0],
    COPIES: [0.5, 0.5],
    "no augmentation": [9.0, 9.0],
    VAL: [1.0, 1.0],
    "default": [10.0, 10.0],
    "all operations": [16.0, 16.0],
}
CONFIG = ThroughputConfig(trials=4, epochs=5, concurrency=2, repeats=2, target=4.0, pictures="drawn")
PHASES = {
    "imports, data, Ray": 5.0,
    "cache": 2.0,
    "duplicates": 1.0,
    "workers: imports": 3.0,
    "network": 4.0,
    "training": 100.0,
    "validation": 10.0,
    "checkpoints, reports, waiting": 2.0,
    "record, table, report": 3.0,
}


def numbers() -> dict:
    search = {"seconds": 130.0, "first_step": 15.0, "phases": PHASES, "images_per_second": 900.0}
    return {
        "config": json.loads(json.dumps(asdict(CONFIG), default=str)),
        "cores": 2,
        "machine": "2 cores",
        "when": "2026-01-01",
        "images_per_epoch": 480,
        "facts": {"pictures": 840, "sides": {"train": {"pictures": 504}, "val": {"pictures": 168}}},
        "searches": {kind: [search, search] for kind in KINDS},
        "plain": {"plain, 0 DataLoader workers": [520.0, 650.0], "plain, 1 DataLoader worker": [900.0, 900.0]},
        "imports": [4.0, 4.0],
        "costs": COSTS,
    }


def test_ratios_are_to_the_plain_script_of_the_same_turn_and_the_faster_one() -> None:
    text = render(numbers())
    row = next(line for line in text.splitlines() if line.startswith("| **ours, cold**"))
    assert row == "| **ours, cold** | 130.0 [130.0, 130.0] | 74 | 4.50 [4.00, 5.00] |"
    assert "The faster of the plain scripts is plain, 0 DataLoader workers" in text


def test_a_target_is_said_to_be_reached_or_missed() -> None:
    text = render(numbers())
    assert "| from cold, times as fast as plain, 0 DataLoader workers | 4.5 | 4 | reached |" in text
    assert "| steady state, no augmentation, of the floor | 0.9 | 0.9 | reached |" in text
    assert "| warm start beyond two imports, s | 7 | 3 | **missed** |" in text
    assert "cache, pictures a second and core" in text


def test_the_floor_of_a_search_is_its_epochs_side_by_side() -> None:
    assert floor_seconds(numbers()) == [90.0, 90.0]
    assert steady_shares(COSTS, "no augmentation") == [0.9, 0.9]


def test_training_is_divided_by_what_its_parts_cost_and_nothing_is_lost() -> None:
    divided = divided_phases(numbers()["searches"]["cold"], {part: values[0] for part, values in COSTS.items()})
    assert divided["arithmetic"] == pytest.approx(80)
    assert divided["copies"] == pytest.approx(5)
    assert divided["augmentation"] == pytest.approx(10)
    assert sum(divided.values()) == pytest.approx(sum(PHASES.values()))


def test_the_figure_has_a_bar_for_everything() -> None:
    labels = [label.get_text() for label in draw(numbers()).axes[0].get_yticklabels()]
    assert labels == [*numbers()["plain"], "ours, cold", "ours, warm", "arithmetic alone"]


def test_searches_that_did_not_train_as_much_are_not_compared() -> None:
    _refuse_other_work(CONFIG, 20, "a search of ours")
    with pytest.raises(ValueError, match="trained 19 epochs where 20 were asked for"):
        _refuse_other_work(CONFIG, 19, "a search of ours")


def test_the_space_it_searches_is_a_valid_one(tmp_path: Path) -> None:
    path = tmp_path / "space.py"
    path.write_text(SPACE.format(backbone="test_efficientnet"))
    assert check_user_space(load_user_space(f"{path}:space")).backbones == ("test_efficientnet",)


def test_every_part_of_an_epoch_is_measured(task: TaskConfig) -> None:
    costs, images = _measure(task, "test_efficientnet", 2, 0.01)
    assert set(costs) == {FLOOR, FLOOR_VAL, COPIES, VAL, *AUGMENTATIONS}
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in costs.values())
    assert images == 64


def test_the_plain_script_reads_the_side_it_is_told(tmp_path: Path) -> None:
    with (tmp_path / "split.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group", "split"))
        for number, (label, side) in enumerate([("b", "train"), ("a", "train"), ("a", "val")]):
            path = tmp_path / f"{number}.png"
            Image.new("RGB", (4, 4), (number, 0, 0)).save(path)
            writer.writerow((path, label, str(number), side))
    pictures = Pictures(str(tmp_path / "split.csv"), "train", lambda picture: picture.getpixel((0, 0))[0])
    assert [pictures[index] for index in range(len(pictures))] == [(0, 1), (1, 0)]
