"""The commands of the page: what comes from outside is a value of one flag, or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.service.commands import (
    AskedSearch,
    Places,
    check_command,
    predict_command,
    remove_command,
    resume_command,
    retrain_command,
    search_command,
)
from tests.runs import a_run_dir
from trainables.errors import UserError


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "pictures").mkdir()
    a_run_dir(tmp_path / "runs" / "first")
    return Places(
        storage=tmp_path / "runs",
        readme=tmp_path / "README.md",
        cache_dir=tmp_path / "cache",
        roots=(tmp_path / "pictures",),
    )


def test_empty_fields_are_left_to_the_command(places: Places) -> None:
    command = search_command(AskedSearch(space="toy"), places)
    assert [word.partition("=")[0] for word in command[2:]] == ["--space", "--storage", "--readme", "--cache-dir"]


def test_what_is_given_becomes_the_value_of_its_flag(places: Places) -> None:
    asked = AskedSearch(
        space="toy", name="a", trials="3", time_budget="15m", data=str(places.roots[0]), group_regex="--weights=x"
    )
    command = search_command(asked, places)
    wanted = {"--trials=3", "--time-budget=15m", f"--data={places.roots[0]}", "--name=a", "--group-regex=--weights=x"}
    assert wanted <= set(command)
    assert check_command(asked, places) == [*command, "--check"]


@pytest.mark.parametrize(
    "field",
    [
        {"trials": "3; rm -rf /"}, {"trials": "-1"}, {"epochs": "1e9"}, {"seed": "٣"}, {"name": "../x"},
        {"name": "--help"}, {"name": "<b>"}, {"time_budget": "1d --x"}, {"space": "/tmp/x.py:f"}, {"space": "nix"},
        {"weights": "/etc"},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_a_value_is_refused(field: dict[str, str], places: Places) -> None:
    with pytest.raises(UserError):
        search_command(AskedSearch(**field), places)


def test_pictures_outside_the_roots_are_not_read_whatever_leads_there(places: Places) -> None:
    root = places.roots[0]
    (root / "link").symlink_to("/etc")
    for asked in ("/etc", f"{root}/../runs", f"{root}/link", "~root", f"{root}x", "\0"):
        with pytest.raises(UserError):
            places.pictures(asked)
    with pytest.raises(UserError, match="does not exist"):
        places.pictures(f"{root}/none")
    (root / "a.csv").write_text("")
    assert places.pictures(f" {root}/a.csv ") == root / "a.csv"


@pytest.mark.parametrize("name", ["", ".", "..", "../runs/first", "first/", "/etc", "none", "<script>", "first\n"])
def test_only_names_of_runs_that_are_there_lead_to_a_run(name: str, places: Places) -> None:
    for build in (resume_command, retrain_command, remove_command):
        with pytest.raises(UserError):
            build(name, places)


def test_a_run_is_resumed_extended_trained_again_and_deleted_by_the_very_commands(places: Places) -> None:
    assert resume_command("first", places, 5)[1:4] == [
        resume_command("first", places)[1], "--resume=first", "--add-trials=5",
    ]  # fmt: skip
    assert retrain_command("first", places)[1].endswith("scripts/retrain.py")
    assert remove_command("first", places)[2:5] == ["rm", "first", "--yes"]


def test_a_run_has_its_own_readme_unless_one_is_named_for_all(places: Places) -> None:
    assert f"--readme={places.readme}" in search_command(AskedSearch(space="toy"), places)
    for build in (resume_command, retrain_command):
        assert not any(word.startswith("--readme") for word in build("first", places))
        assert f"--readme={places.readme}" in build("first", replace(places, is_readme_named=True))


@pytest.mark.parametrize("content", ["{", '{"options": null}', '{"options": {"readme": 5}}'])
def test_a_run_that_cannot_be_read_can_be_deleted(content: str, places: Places) -> None:
    (places.storage / "first" / "run.json").write_text(content)
    command = remove_command("first", places)
    assert command[2:5] == ["rm", "first", "--yes"]
    assert command[-1] in (f"--readme={places.readme}", f"--readme={places.storage / 'README.md'}")


def test_runs_that_are_mirrored_are_told_by_their_bucket(places: Places) -> None:
    there = replace(places, bucket="s3://bucket/runs")
    assert f"--storage={places.storage}" in remove_command("first", there)
    for build in (resume_command, retrain_command):
        assert "--storage=s3://bucket/runs" in build("first", there)
        assert f"--storage={places.storage}" in build("first", places)
    named = replace(there, is_readme_named=True)
    assert f"--readme={places.readme}" in retrain_command("first", named)
    usual = replace(there, readme=places.storage / "README.md")
    assert not any(word.startswith("--readme") for word in retrain_command("first", usual))


def test_what_a_dropped_picture_becomes_lies_beside_it_and_goes_with_it(places: Places, tmp_path: Path) -> None:
    command = predict_command("first", tmp_path / "one", tmp_path / "one" / "answers.csv", places)
    assert f"--cache-dir={tmp_path / 'one' / 'decoded'}" in command
