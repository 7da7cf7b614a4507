"""Which nodes take trials: those that are alike and see the folders, until they have been at fault twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.machine.preflight import NodeFacts
from search.machine.roster import HOPELESS_NODES, NODE_ID, Roster, left_out
from trainables.machine.node import versions

HERE = versions()


def a_node(name: str, **more: object) -> NodeFacts:
    """A node that can run trials, but for what is said."""
    known = {"node_id": name, "name": f"{name} (10.0.0.1)", "num_cpus": 4, "num_gpus": 0, "versions": HERE}
    return NodeFacts(**{**known, "sees_storage": True, "sees_cache": True, **more})  # type: ignore[arg-type]


def a_roster(said: list[str], tmp_path: Path, *nodes: NodeFacts) -> Roster:
    """One that these nodes have answered."""
    roster = Roster(tmp_path / "runs", tmp_path / "cache", said.append)
    for node in nodes:
        roster._take(node)
    return roster


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, ""),
        ({"fault": "it died"}, "did not say what it is like (it died)"),
        ({"versions": {**HERE, "timm": "0.9"}}, f"timm 0.9 (here {HERE['timm']})"),
        ({"versions": {**HERE, "python": "3.9.1"}}, "python 3.9.1"),
    ],
)
def test_a_node_is_left_out_with_the_reason(more: dict[str, object], why: str, tmp_path: Path) -> None:
    said: list[str] = []
    node = a_node("a", **more)
    roster = a_roster(said, tmp_path, node)
    assert why in left_out(node) and bool(why) == bool(left_out(node))
    assert roster.usable == (() if why else (node,))
    assert len(said) == bool(why)
    roster._take(node)  # asked again
    assert len(said) == bool(why)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"sees_storage": False}, "the folder of --storage"),
        ({"sees_storage": False, "sees_cache": False}, "the folders of --storage and --cache-dir"),
        ({"lacks_weights": ("/w/a.safetensors",)}, "the folder of --weights"),
    ],
)
def test_a_node_that_does_not_see_a_folder_takes_trials_and_that_is_said_once(
    more: dict[str, object], what: str, tmp_path: Path
) -> None:
    said: list[str] = []
    node = a_node("a", **more)
    roster = a_roster(said, tmp_path, node, node)
    assert roster.usable == (node,)
    [line] = said
    assert f"does not see {what}" in line


def test_a_trial_keeps_off_the_node_that_it_met_a_fault_on_and_all_keep_off_after_two(tmp_path: Path) -> None:
    said: list[str] = []
    roster = a_roster(said, tmp_path, a_node("a"), a_node("b"), a_node("c"))
    assert roster.selector("00000") == {}
    assert roster.note_fault("00000", "a", "a (10.0.0.1)", "the disk is gone") is None
    assert roster.selector("00000") == {NODE_ID: "!in(a)"}
    assert roster.selector("00001") == {}
    assert roster.note_fault("00001", "a", "a (10.0.0.1)", "the disk is gone") is None
    assert "gets no trial any more" in said[-1]
    assert roster.selector("00002") == {NODE_ID: "!in(a)"}
    assert [node.node_id for node in roster.usable] == ["b", "c"]
    assert len(roster.rooms()) == 2


def test_a_node_that_is_left_out_gets_no_trial(tmp_path: Path) -> None:
    roster = a_roster([], tmp_path, a_node("a"), a_node("b", fault="it died"))
    assert roster.selector("00000") == {NODE_ID: "!in(b)"}


def test_the_only_node_gets_a_second_try_and_then_the_search_ends(tmp_path: Path) -> None:
    roster = a_roster([], tmp_path, a_node("a"))
    assert roster.note_fault("00000", "a", "a", "CUDA does not start") is None
    assert roster.selector("00000") == {}
    why = roster.note_fault("00000", "a", "a", "CUDA does not start")
    assert why is not None and "no node is left" in why and "CUDA does not start" in why


def test_this_machine_alone_is_the_only_node(tmp_path: Path) -> None:
    roster = Roster(tmp_path, tmp_path, [].append)
    assert roster.note_fault("00000", "here", "here", "no file") is None
    assert "no node is left" in (roster.note_fault("00000", "here", "here", "no file") or "")


def test_a_fault_of_every_node_is_not_tried_on_all_of_a_large_cluster(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(100)]
    ends = []
    for trained in (False, True):
        roster = a_roster([], tmp_path, *map(a_node, names))
        roster.has_trained = trained
        faults = [
            roster.note_fault(trial, name, name, "no such file")
            for name in names[: HOPELESS_NODES + 5]
            for trial in ("00000", "00001")
        ]
        ends.append(next((number for number, why in enumerate(faults) if why), None))
    assert ends == [2 * HOPELESS_NODES - 1, None]


def test_memory_caps_the_trials_of_a_node(tmp_path: Path) -> None:
    roster = a_roster([], tmp_path, a_node("a", free_memory_bytes=3 * 10**9))
    roster.trials_in = lambda node: node.free_memory_bytes // 10**9
    assert [room.most_trials for room in roster.rooms()] == [3]
