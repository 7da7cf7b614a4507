"""What nodes say of themselves: asked here, as the cluster's tests ask it of nodes."""

from __future__ import annotations

from pathlib import Path

from search.machine.preflight import NodeFacts, marked
from trainables.machine.node import missing_files, say_of_itself, versions


def test_a_folder_of_the_same_name_on_another_disk_is_not_taken_for_the_drivers(tmp_path: Path) -> None:
    with marked(storage=tmp_path / "runs", cache=tmp_path / "cache") as marks:
        assert say_of_itself(marks, {}, str(tmp_path))["sees"] == {"storage": True, "cache": True}
        [file] = marks["storage"]
        Path(file).write_text("of another driver")
        assert say_of_itself(marks, {}, str(tmp_path))["sees"] == {"storage": False, "cache": True}
    assert not list(tmp_path.glob("*/.seen-*"))


def test_files_are_the_same_by_their_size(tmp_path: Path) -> None:
    for name in ("same", "other"):
        (tmp_path / name).write_bytes(b"1234")
    sizes = {str(tmp_path / name): size for name, size in (("same", 4), ("other", 5), ("none", 4))}
    assert list(missing_files(sizes)) == [str(tmp_path / "other"), str(tmp_path / "none")]


def test_a_node_knows_its_room_and_its_versions(tmp_path: Path) -> None:
    said = say_of_itself({}, {}, str(tmp_path / "not" / "there"))
    assert said["free_memory_bytes"] > 0
    assert said["free_disk_bytes"] > 0
    assert said["versions"] == versions()
    assert said["versions"].keys() == {"python", "ray", "torch", "timm"}


def test_other_versions_are_named() -> None:
    known = {"node_id": "1", "name": "w (10.0.0.2)", "num_cpus": 2, "num_gpus": 0}
    assert NodeFacts(**known, versions=versions()).other_versions == ""
    other = NodeFacts(**known, versions={**versions(), "timm": "0.1"})
    assert other.other_versions == f"timm 0.1 (here {versions()['timm']})"
