"""A search on hosts that do not see each other's disk, one of which loses its power."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from tests.hosts import ROOT, a_cluster, can_be_had
from trainables.report import TrialStatus

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(560),
    pytest.mark.skipif(not can_be_had(), reason="namespaces of the network and of mounts take root on Linux"),
]


def test_a_search_without_a_shared_disk_outlives_one_of_its_hosts(pictures: Path, tmp_path: Path) -> None:
    disk, said = tmp_path / "disk", tmp_path / "said.txt"
    places = ("--storage", disk / "runs", "--cache-dir", disk / "cache", "--readme", disk / "README.md")
    small = ("--space", "toy", "--trials", "2", "--epochs", "30", "--grace-period", "30", "--image-size", "32")
    more = ("--batch-size", "16", "--weights", "none", "--history", "none", "--data", pictures, "--name", "apart")
    with a_cluster(tmp_path, ("head", "worker")) as (head, worker), said.open("w") as out:
        run_dir = head.own / "disk" / "runs" / "apart"
        events = RunFolder(run_dir).events_jsonl
        search = head.start(
            sys.executable, ROOT / "search" / "run.py", "--address", "auto", *places, *small, *more, out=out
        )
        ends = time.monotonic() + 240
        while not (events.is_file() and '"node": "worker ' in events.read_text()) and search.poll() is None:
            assert time.monotonic() < ends, said.read_text()
            time.sleep(0.2)
        assert list((worker.own / "disk" / "cache").rglob("images.npy"))  # sent to where it was missing
        worker.off()
        assert search.wait(300) == 0, said.read_text()
        trials = load_trials(run_dir)
    assert [trial.status for trial in trials] == [TrialStatus.FINISHED] * 2, said.read_text()
    assert {trial.node.split()[0] for trial in trials} == {"head"}  # in the end
    assert not list((worker.own / "disk").rglob("trials.jsonl"))
    assert (run_dir / "model" / "model.json").is_file()
