"""Searches on clusters of several nodes, started here as processes: one is at fault, one joins, one is killed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ray.cluster_utils import Cluster
from rich.console import Console

from results.records.run_folder import RunFolder
from results.records.trials import TIME_BUDGET, load_trials
from scripts import predict
from search.machine import answering_nodes
from search.machine.placement import Room
from search.machine.ray_session import RaySession, ray_session
from search.run_trials import Workload, run_trials
from search.stop import StopRequest
from search.study import AskedStudy
from search.tuner import trial_ids
from tests.conftest import ROOT, places
from tests.records import a_report, a_task
from tests.saved_models import save_network
from trainables.config import TrialConfig
from trainables.errors import NodeFaultError, UserError
from trainables.report import TrialStatus

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(560)]
STORE = {"object_store_memory": 80 * 2**20}
BUDGET = 240.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without cores, as a cluster that scales has it, and two nodes of one core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", os.environ.get("RAY_AUTH_MODE", "disabled"))
        patch.setenv("PYTHONPATH", str(ROOT))  # where the stubs below are found
        started = start_patiently()
        yield started
        started.shutdown()


def start_patiently() -> Cluster:
    """Once more if Ray takes longer than the 30 s that it gives itself, as on a busy machine."""
    for attempt in range(5):
        started = Cluster(shutdown_at_exit=False)
        try:
            started.add_node(num_cpus=0, include_dashboard=False, **STORE)
            for _ in range(2):
                started.add_node(num_cpus=1, **STORE)
            return started
        except Exception as error:
            started.shutdown()
            if attempt == 4 or "timed out during startup" not in str(error):
                raise
    raise AssertionError


class Proposer:
    """One configuration for all."""

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return asdict(TrialConfig(backbone="test_resnet"))

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Hears of an epoch."""

    def on_trial_complete(self, *args: Any) -> None:
        """Hears of an end."""


def stub(params: Mapping[str, Any], task: Any, gpu_share: float, ends_at: float) -> None:
    """Reports two epochs, slowly; on the nodes that a file names the disk is gone."""
    import ray
    from ray import tune

    folder, node = Path(task.checkpoint_dir), ray.get_runtime_context().get_node_id()
    if node in (folder / "faulty").read_text():
        raise NodeFaultError("OSError: the disk is gone", node, f"node-{node[:4]}")
    for epoch in (1, 2):
        time.sleep(0.5)
        tune.report({**asdict(a_report(epoch)), "training_iteration": epoch, "node": node, "hardware": "one core"})


def search(
    session: RaySession,
    folder: RunFolder,
    trials: int,
    faulty: str = "",
    *,
    say: io.StringIO | None = None,
    stop: StopRequest | None = None,
    **asked: Any,
) -> StopRequest:
    """Runs stub trials on the nodes of a cluster."""
    stop = stop or StopRequest(BUDGET)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    (folder.checkpoints / "faulty").write_text(faulty)
    console = Console(file=say or io.StringIO(), width=1000)
    study = AskedStudy.of(address="auto", storage=folder.path.parent, cache_dir=folder.path.parent / "cache", **asked)
    session.look_at_nodes(study, console, BUDGET)
    settled = study.settle(0, 0, rooms=session.rooms())
    task = replace(a_task(epochs=2), checkpoint_dir=str(folder.checkpoints))
    work = Workload(folder=folder, task=task, study=settled, waiting=trial_ids([], trials), num_trials=trials, keep=0)
    run_trials(work, Proposer(), None, session, stop, console, trainable=stub)
    return stop


def meanwhile(ready: Callable[[], bool], then: Callable[[], Any]) -> threading.Thread:
    """Does something as soon as something else has happened."""

    def wait() -> None:
        ends = time.monotonic() + BUDGET
        while not ready() and time.monotonic() < ends:
            time.sleep(0.1)
        then()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def has_line(path: Path, words: str, times: int = 1) -> bool:
    """Whether a file is there and says something so often."""
    return path.is_file() and path.read_text().count(words) >= times


def ids_of(cluster: Cluster) -> list[str]:
    """Ray's names of the nodes with cores."""
    return [node.node_id for node in cluster.list_all_nodes() if node.head is False]


def test_saved_models_answer_on_the_nodes_as_they_do_here(
    cluster: Cluster, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    models = [save_network(tmp_path / name) for name in ("one", "two")]
    asked = [*map(str, models), "--data", str(pictures), "--proba", "--batch-size", "8", "--cache-dir", str(tmp_path)]
    assert predict.main([*asked, "--device", "cpu", "--out", str(tmp_path / "here.csv")]) == 0
    assert "Answering on" not in capsys.readouterr().err
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering_nodes, "PART", 16)  # pictures: the nodes have several parts each
        assert predict.main([*asked, "--address", "auto", "--out", str(tmp_path / "there.csv")]) == 0
    assert capsys.readouterr().err.count(", cpu") == 2  # both nodes with cores, and not the head
    here, there = (pd.read_csv(tmp_path / name) for name in ("here.csv", "there.csv"))
    assert list(here["path"]) == list(there["path"])
    shares = [column for column in here if column.startswith("p_")]
    np.testing.assert_allclose(here[shares], there[shares], atol=2e-4)


def test_a_node_at_fault_costs_no_trial_and_one_that_joins_takes_some(cluster: Cluster, tmp_path: Path) -> None:
    folder, said = RunFolder(tmp_path / "run"), io.StringIO()
    first, second = ids_of(cluster)
    joined: list[Any] = []
    join = meanwhile(
        lambda: "room for 1 trial at a time now" in said.getvalue(),
        lambda: joined.append(cluster.add_node(num_cpus=1, wait=False, **STORE)),
    )
    with ray_session(cluster.address) as session:
        stop = search(session, folder, 20, faulty=first, say=said)
    join.join()
    assert (stop.reason, stop.crash) == (None, None)
    assert {trial.status for trial in load_trials(folder.path)} == {TrialStatus.FINISHED}
    assert len(load_trials(folder.path)) == 20
    assert {trial.node for trial in load_trials(folder.path)} == {second, joined[0].node_id}
    assert folder.events_jsonl.read_text().count('"node_fault"') == 2
    assert "gets no trial any more" in said.getvalue()
    assert "has joined: 1 core for trials" in said.getvalue()
    assert "room for 2 trials at a time now" in said.getvalue()
    cluster.remove_node(joined[0])


def test_a_search_whose_every_node_is_at_fault_ends_with_the_reason_and_no_failed_trial(
    cluster: Cluster, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    with ray_session(cluster.address) as session:
        stop = search(session, folder, 3, faulty=" ".join(ids_of(cluster)))
    assert stop.reason is not None and "no node is left" in stop.reason and "the disk is gone" in stop.reason
    assert not any(trial.status.is_over for trial in load_trials(folder.path))


def test_a_budget_ends_a_search_whose_trials_wait_for_a_node(cluster: Cluster, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with ray_session(cluster.address) as session:
        began = time.monotonic()
        asked = AskedStudy.of(address="auto", storage=tmp_path, cache_dir=tmp_path / "cache")
        session.look_at_nodes(asked, Console(file=io.StringIO()), BUDGET)
        study = replace(asked.settle(0, 0, rooms=session.rooms()), cpus_per_trial=64)  # as if such a node had left
        folder.path.mkdir()
        work = Workload(
            folder=folder, task=a_task(epochs=2), study=study, waiting=trial_ids([], 2), num_trials=2, keep=0
        )
        stop = StopRequest(time.monotonic() - began + 5)
        run_trials(work, Proposer(), None, session, stop, Console(file=io.StringIO()), trainable=stub)
    assert stop.reason == TIME_BUDGET
    assert stop.crash is None
    assert not any(trial.status.is_over for trial in load_trials(folder.path))


def test_a_search_goes_on_when_a_node_is_killed_and_a_resume_goes_on_after_it(
    cluster: Cluster, pictures: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "runs" / "first")
    victim = cluster.list_all_nodes()[-1]
    small = ("--space", "toy", "--trials", "4", "--epochs", "40", "--grace-period", "40", "--image-size", "32")
    said: list[str] = []

    def command(*flags: str) -> None:
        env = {**os.environ, "RAY_ADDRESS": cluster.address, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
        words = [sys.executable, str(ROOT / "search" / "run.py"), *flags, *places(tmp_path)]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=400)
        said.append(done.stdout + done.stderr)
        assert done.returncode == 0, said[-1]

    killed = meanwhile(lambda: has_line(run.events_jsonl, '"placed"', 2), lambda: cluster.remove_node(victim, False))
    command(*small, "--data", str(pictures), "--name", "first", "--history", "none", "--weights", "none")
    killed.join()
    assert has_line(run.events_jsonl, '"started"', 5)  # that of the lost node began once more
    assert has_line(run.events_jsonl, '"node_lost"')
    before = load_trials(run.path)
    assert all(trial.status in (TrialStatus.FINISHED, TrialStatus.STOPPED) for trial in before)
    command("--resume", "first", "--add-trials", "1")
    after = load_trials(run.path)
    assert len(after) == 5 and all(trial.status.is_over for trial in after)
    assert after[:4] == before


def test_a_search_waits_in_sight_for_a_node_that_a_trial_fits_on(cluster: Cluster, tmp_path: Path) -> None:
    said, joined = io.StringIO(), []
    console = Console(file=said, width=1000)
    asked = AskedStudy.of(address="auto", storage=tmp_path, cache_dir=tmp_path / "cache", cpus_per_trial=2)
    with ray_session(cluster.address) as session:
        with pytest.raises(UserError, match=r"no nodes with room for 1 trial with 2 cores .* have come in 2 s"):
            session.look_at_nodes(asked.replace(wait_for_nodes="2s"), console, BUDGET)
        with pytest.raises(UserError, match="2 cores and 0 GPUs fits on no node"):  # which does not change by itself
            asked.settle(0, 0, rooms=[Room(1), Room(1)])
        join = meanwhile(
            lambda: said.getvalue().count("Waiting for nodes with room for 1 trial with 2 cores") == 2,
            lambda: joined.append(cluster.add_node(num_cpus=2, wait=False, **STORE)),
        )
        session.look_at_nodes(asked.replace(wait_for_nodes="4m"), console, BUDGET)
        join.join()
        assert asked.settle(0, 0, rooms=session.rooms()).concurrency == 1
    cluster.remove_node(joined[0])
