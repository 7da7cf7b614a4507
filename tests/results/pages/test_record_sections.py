"""Tests of the page that says all about every record."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from html import unescape

import pytest

from results.pages.cells import TableError
from results.pages.record_sections import render_records
from results.pages.table import render_table
from tests.final_models import a_final
from tests.records import a_record
from trainables.config import CHOICES, RANGES, TrialConfig


def lines(page: str) -> dict[str, str]:
    rows = re.findall(r"^\| (.*?) \| (.*) \|$", page, re.MULTILINE)
    return {unescape(name): unescape(words) for name, words in rows if name != "---"}


def test_a_section_says_what_the_table_has_no_room_for() -> None:
    said = lines(render_records([a_record(commit="0123456789abcdef+dirty", seed=11, versions={"timm": "1.0"})]))
    assert said["best trial"] == "00003, at its best in epoch 3 of 4 trained"
    assert said["other settings"] == "adamw, lr 1e-3, wd .01, smoothing 0, warm-up .1, EMA .9995, batch 64, 224 px"
    assert said["hardware"].startswith("2 CPU cores")
    assert said["seed"] == "11"
    assert said["commit"] == "01234567+dirty"
    assert said["versions"] == "timm 1.0"
    assert said["cost"] == "0:01:00 in all, 0:01:40 of training added up"
    assert said["pictures"] == "pictures, 840 pictures"
    assert said["split"] == "split by group; f00"
    assert said["re-training"] == "none yet: python scripts/retrain.py --run a"


def test_a_section_says_what_re_training_found_and_what_it_set() -> None:
    picked = a_final(config=TrialConfig(backbone="resnet34", dropout=0.5), times_scored=2, folds=5)
    said = lines(render_records([a_record()], retrained=[picked, a_final(run="other", verdict="never")]))
    assert said["test macro-F1 [95%]"].startswith(".650 [.550, .750]")
    assert "(gap " in said["test macro-F1 [95%]"]
    assert said["verdict"] == "better than the default by .050 [.010, .100]"
    assert said["dropout of the pick"] == ".5"
    assert said["re-ranked, 1"].startswith("00003, resnet18: mean .700")
    assert said["re-training"].endswith("over 5 folds")
    assert "scored 2 times" in said["test side"]
    assert said["picked"].endswith(" epochs")
    said = lines(render_records([a_record()], retrained=[replace(picked, networks=3, second_view="mirror")]))
    together = ": 3 networks of as many seeds together, answering to the middle of each picture and to its mirror image"
    assert said["picked"].endswith(f" epochs{together}")
    assert said["test macro-F1 [95%]"].endswith(
        "(of single networks that are asked for the middle of each picture alone)"
    )
    said = lines(render_records([a_record()], retrained=[replace(picked, second_view="mirrored_whole")]))
    assert said["picked"].endswith(
        " epochs, answering to the middle of each picture and to the mirror image of the whole picture"
    )


SIDES = {"train": {"pictures": 490, "groups": 490}, "test": {"pictures": 1175, "groups": 1175}}


@pytest.mark.parametrize(
    ("groups", "by", "pictures", "split"),
    [
        (None, "group", "no groups", "train 490, test 1,175, split by picture (the data name no groups)"),
        (120, "picture", "120 groups", "train 490, test 1,175, split by picture, which flatters every score"),
        (120, "group", "120 groups", "train 490 of 490 groups, test 1,175 of 1,175 groups, split by group"),
    ],
)
def test_sides_are_of_groups_only_where_the_split_is(groups: int | None, by: str, pictures: str, split: str) -> None:
    data = {"pictures": 1665, "groups": groups, "classes": 3, "sides": SIDES, "split": {"split_by": by}}
    worth = {"val_corrected": {"value": 0.5, "low": 0.4, "high": 0.6}}
    said = lines(render_records([a_record(data=data, **worth)], retrained=[a_final(data=data)]))
    assert said["pictures"] == f"pictures, 1,665 pictures, {pictures}, 3 classes"
    assert said["split"] == f"{split}; f00"
    is_of_people = (groups, by) == (120, "group")
    assert said["test side"].startswith("70 pictures of 10 groups, abc" if is_of_people else "70 pictures, abc")
    assert said["corrected for the choice"].endswith(
        f"on other {'people' if is_of_people else 'pictures'} than those it is scored on"
    )


def test_a_class_without_a_test_picture_is_said_with_its_answers() -> None:
    test = {**a_final().test, "missing": ["x", "y"], "missing_answers": {"x": 0, "y": 3}}
    said = lines(render_records([a_record()], retrained=[a_final(test=test)]))
    words = "y (answered 3 times): it counts as 0 in macro-F1; x: left out of macro-F1"
    assert said["classes without a test picture"] == words


def test_what_was_picked_for_its_cost_stands_where_it_ranks() -> None:
    picked = a_final()
    [entry] = picked.ranking
    better = {**entry, "trial_id": "default", "mean": 0.85}
    said = lines(render_records([a_record()], retrained=[replace(picked, ranking=[entry, better])]))
    assert said["re-ranked, 1"].startswith("default, resnet18: mean .850")
    assert said["re-ranked, 2"].startswith("00003, resnet18: mean .700")
    assert said["picked"].startswith("00003, resnet18 (for its cost, not its rank), trained on train and val")
    worse = {**entry, "trial_id": "default", "mean": 0.7}
    said = lines(render_records([a_record()], retrained=[replace(picked, ranking=[entry, worse])]))
    assert said["picked"].startswith("00003, resnet18, trained"), "nothing is above it"


def test_every_row_of_the_table_leads_to_a_section() -> None:
    records = [a_record(space="b"), a_record(space="a.b_C")]
    links = re.findall(r"\(results/README\.md#(\S+?)\)", render_table(records))
    assert (
        links
        == re.findall(r'<a id="(\S+)"></a>', render_records(records))
        == ["record-a.b_C-pictures", "record-b-pictures"]
    )


UNDER = {
    "effective_beta": {"loss": "effective_number"},
    "focal_gamma": {"loss": "focal"},
    "logit_tau": {"loss": "logit_adjusted"},
    "policy_magnitude": {"policy": "rand"},
    "loss_knob": {"loss": "own:mine"},
    "augmentation_knob": {"augmentation": "own:mine"},
}
"""What some knobs only matter under."""


@pytest.mark.parametrize("knob", [field.name for field in fields(TrialConfig)])
def test_a_section_tells_any_two_configurations_apart(knob: str) -> None:
    before = TrialConfig(backbone="resnet18", **UNDER.get(knob, {}))
    low, high = RANGES.get(knob, (0.1, 0.2))
    others = CHOICES.get(knob, ("resnet34",) if knob == "backbone" else (low, high))
    seen = {render_records([a_record(config=replace(before, **{knob: value}))]) for value in others}
    assert len(seen) == len(others)


@pytest.mark.parametrize("name", ["a|b", "a`b", "a\n\n## b", "<!-- macrotune:records:end -->", "*a*", "[a](b)"])
def test_no_name_can_break_the_page(name: str) -> None:
    plain = render_records([a_record(weights="net")])
    record = a_record(config=TrialConfig(backbone=name), hardware=name, weights=name, commit=name, history=name)
    page = render_records([record])
    assert len(page.splitlines()) == len(plain.splitlines())
    assert lines(page)["started from"] == " ".join(name.split())


def test_dates_move_to_the_time_zone_asked_for() -> None:
    assert "begun 2026-10-24 01:03-04:00" in render_records([a_record()], "America/New_York")
    with pytest.raises(TableError, match="no time zone"):
        render_records([], "Mars/Olympus")


def test_without_records_the_page_says_how_to_get_one() -> None:
    assert "python search/run.py" in render_records([])
