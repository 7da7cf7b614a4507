"""Advice follows from the numbers, and the report holds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest

from results.pages.exploration_figures import Map, classes_figure, embedding_figure, groups_figure, sizes_figure
from results.pages.exploration_report import MARKER, WHAT, render_report, save_exploration
from results.pages.report_folder import refuse_foreign_folder
from results.statistics.exploration import Exploration, Pair, advice, class_facts, group_facts
from results.statistics.probe import Flattery, map_of, probe_score, t_interval

TABLE = pandas.DataFrame(
    [("cat", f"p{k // 4}", "val" if k // 4 == 0 else "train") for k in range(40)]
    + [("dog|$x$", f"q{k}", "train") for k in range(2)],
    columns=["label", "group", "split"],
)
FOUND = Exploration(
    source="pets",
    layout="CSV",
    split="by group",
    sides="side  pictures",
    has_groups=True,
    classes=class_facts(TABLE),
    groups=group_facts(TABLE),
    sizes=((384, 512),) * 42,
    formats={"JPEG": 42},
    bad=(),
    pairs=(),
    mirrored=(),
    image_size=96,
    weights="lite0, random",
    flattery=Flattery((0.5, 0.52, 0.51), (0.6, 0.63, 0.61)),
)


def test_advice_names_the_numbers() -> None:
    text = "\n".join(advice(FOUND))
    assert "Class dog|$x$ has 2 groups" in text
    assert "Imbalance 20: cat has 40 pictures" in text
    assert "would flatter by +.103 macro-F1" in text
    assert "384x512" in text
    assert "largest group, p0, holds 9.5%" in text


def test_advice_asks_for_groups_where_there_are_none() -> None:
    lines = advice(replace(FOUND, has_groups=False, groups=(), flattery=None))
    assert "name no groups" in lines[0]
    assert not any("flatter by" in line for line in lines)


def test_advice_speaks_of_classes_that_are_mirror_images_of_each_other() -> None:
    (said,) = (line for line in advice(replace(FOUND, mirrored=(("left", "right"),))) if "mirror" in line)
    assert said.startswith("Classes that look like mirror images of each other: left and right. A search mirrors no")
    many = advice(replace(FOUND, mirrored=(("left", "right"),) * 9))
    assert any("left and right, and 6 more pairs. A search" in line for line in many)
    assert not any("mirror" in line for line in advice(FOUND))


def test_advice_speaks_of_copies_and_bad_pictures() -> None:
    pair = Pair("a.jpg", "b.jpg", 0, True, across_groups=True, across_sides=True, across_labels=True)
    text = "\n".join(advice(replace(FOUND, pairs=(pair,), bad=("row 3: missing",))))
    assert "1 picture cannot be used" in text
    assert "1 copy, byte for byte, on another side" in text
    assert "in different groups (1 of them under different labels)" in text and "copies.csv lists the pairs" in text


def test_an_interval_is_that_of_student() -> None:
    interval = t_interval([1.0, 2.0, 3.0])
    assert interval.value == 2
    assert interval.high == pytest.approx(2 + 4.302653 / np.sqrt(3))
    assert t_interval([1.0]).low == -np.inf


def test_a_probe_separates_what_can_be_separated() -> None:
    rng = np.random.default_rng(0)
    labels = ["a", "b"] * 40
    features = rng.normal(size=(80, 6)).astype(np.float32)
    features[:, 0] += np.where(np.array(labels) == "a", 4, -4)
    assert probe_score(features, labels, np.arange(80) < 50) > 0.85
    rows, positions = map_of(features[:12], 0)
    assert positions.shape == (len(rows), 2) == (12, 2)


def test_a_report_is_written_whole_and_replaces_only_its_like(tmp_path: Path) -> None:
    out = tmp_path / "explore"
    figures = {
        "classes": classes_figure(FOUND.classes, True),
        "groups": groups_figure(FOUND),
        "sizes": sizes_figure(FOUND.sizes, FOUND.image_size),
        "embedding": embedding_figure(Map(np.zeros((42, 2)), list(TABLE["label"]), list(TABLE["group"])), "map"),
    }
    for _ in range(2):
        save_exploration(out, FOUND, figures, [], None, b"first,second\n")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["report.md", "report.html", "copies.csv", "exploration.json", *(f"{name}.png" for name in figures)]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["explore"]
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.md").write_text("dear")
    with pytest.raises(ValueError, match="is not an exploration"):
        refuse_foreign_folder(foreign, MARKER, WHAT)


def test_a_report_without_groups_and_figures_still_reads() -> None:
    report = render_report(replace(FOUND, has_groups=False, groups=(), flattery=None), {})
    assert "![" not in report
    assert "The data name none" in report
