"""What a trial reads and writes on a node that does not see the driver's disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.records import a_task
from trainables.checkpoints import BEST, LAST, START
from trainables.supply import line as room
from trainables.supply.keeper import Keeper
from trainables.supply.line import SupplyLine


class Actor:
    """Stands for the handle of the actor on the driver's node: each call is done at once."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def __getattr__(self, name: str) -> Any:
        class Method:
            remote: Callable[..., Any] = staticmethod(getattr(self._keeper, name))

        return Method


@pytest.mark.parametrize("chunk", [8 * 2**20, 3])
@pytest.mark.parametrize("begun_from", [LAST, START])
def test_a_trial_goes_on_from_what_lies_on_the_drivers_disk_and_its_weights_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun_from: str, chunk: int
) -> None:
    monkeypatch.setattr(room, "answer", lambda reference, seconds=None: reference)
    monkeypatch.setattr(room, "CHUNK_BYTES", chunk)
    driver, node = tmp_path / "driver", tmp_path / "node"
    theirs = driver / "checkpoints" / "00000"
    theirs.mkdir(parents=True)
    (theirs / begun_from).write_bytes(b"weights")
    (driver / "split.csv").write_text("path,label,group,split\n")
    task = a_task(
        checkpoint_dir=str(driver / "checkpoints"),
        answers_dir="",
        split_path=str(driver / "split.csv"),
        cache_path=str(driver),
    )
    nowhere = (str(tmp_path / "mark"), "words")
    line = SupplyLine(Actor(Keeper(str(driver))), nowhere, nowhere, str(node / "cache"))
    files = line.open(task, "00000", "a_backbone")
    here = Path(files.task.checkpoint_dir) / "00000"
    assert here != theirs
    assert [path.name for path in here.iterdir()] == [begun_from]
    assert (here / begun_from).read_bytes() == b"weights"
    (here / BEST).write_bytes(b"trained on")
    files.changed(here / BEST)
    files.close()
    assert (theirs / BEST).read_bytes() == b"trained on"
    assert not here.exists()
