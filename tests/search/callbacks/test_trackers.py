"""What Weights & Biases and MLflow are told, without a network: by Ray's own callbacks, into files."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.tune import Callback

from search.callbacks import trackers
from search.callbacks.trackers import build_trackers, shown_name, told
from search.checks import refuse_absent_trackers
from search.study import AskedStudy
from search.track_flags import TrackFlags
from tests.records import a_report
from trainables.config import TrialConfig
from trainables.errors import UserError

SECRET = "0123456789abcdef0123456789abcdef01234567"


class Trial:
    """As much of Ray's as its callbacks ask for."""

    def __init__(self, folder: Path) -> None:
        config = TrialConfig(backbone="tf_efficientnet_lite0", lr=0.0017)
        self.trial_id = "abc_00000"
        self.config = {**asdict(config), "trial_id": "00007"}
        self.local_path = str(folder)
        self.experiment_dir_name = "ray"

    def __str__(self) -> str:
        return shown_name(self)


def a_result(epoch: int) -> dict[str, Any]:
    """What Ray hands on of an epoch."""
    more = {"training_iteration": epoch, "hostname": "my-host", "node_ip": "10.0.0.7", "confusion": ((1, 0), (0, 1))}
    return {**asdict(a_report(epoch, 0.1 * epoch)), **more, "timesteps_total": None, "done": False}


def follow(callback: Any, trial: Trial) -> None:
    """Two epochs of a trial, from its start to its end."""
    callback.setup()
    callback.log_trial_start(trial)
    for epoch in (1, 2):
        callback.log_trial_result(epoch, trial, a_result(epoch))
    callback.log_trial_end(trial)
    callback.on_experiment_end([trial])


def contents(folder: Path) -> bytes:
    """All files of a folder in one."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_without_a_flag_nobody_is_told() -> None:
    assert build_trackers(TrackFlags(), "run", Path(), str) == []


def test_trials_are_called_by_what_they_are(tmp_path: Path) -> None:
    assert str(Trial(tmp_path)) == "00007 lite0 lr 1.7e-3"


def test_trackers_get_the_numbers_and_no_name_of_a_machine() -> None:
    assert {"val_macro_f1", "train_loss", "training_iteration"} <= told(a_result(1)).keys()
    assert not {"hostname", "node_ip", "confusion", "done"} & told(a_result(1)).keys()


@pytest.mark.parametrize("address", ["http://me:word@host:5000", "https://me@host/x", "postgresql://u:p@h/db"])
def test_an_address_with_a_password_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UserError, match="MLFLOW_TRACKING_USERNAME") as refused:
        TrackFlags(mlflow=address)
    assert "word" not in str(refused.value).replace("password", "").replace("PASSWORD", "")


@pytest.mark.parametrize("flags", [{"wandb": ""}, {"wandb": "a/b"}, {"mlflow": " "}])
def test_what_names_no_place_is_refused(flags: dict[str, str]) -> None:
    with pytest.raises(UserError, match="--"):
        TrackFlags(**flags)


def test_a_folder_for_mlflow_is_the_same_wherever_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert AskedStudy.of(mlflow="logs").absolute().track.mlflow == str(tmp_path / "logs")
    assert TrackFlags(mlflow="http://host:5000").absolute().mlflow == "http://host:5000"


def test_a_library_that_is_not_there_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -e \"\.\[mlflow\]\""):
        refuse_absent_trackers(TrackFlags(mlflow="logs"))


def test_nobody_logged_in_is_said_before_a_picture_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="wandb login"):
        refuse_absent_trackers(TrackFlags(wandb="project"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    refuse_absent_trackers(TrackFlags(wandb="project"))


def test_a_server_that_nobody_answers_at_is_refused_and_one_without_http_is_told_apart_from_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("search.checks.getproxies", dict)
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        refuse_absent_trackers(TrackFlags(mlflow=address))
    with pytest.raises(UserError, match=f"--mlflow {address}: nobody answers there"):
        refuse_absent_trackers(TrackFlags(mlflow=address))
    with pytest.raises(UserError, match=r"--mlflow localhost:5000 is no folder: for a server, give http://localhost"):
        TrackFlags(mlflow="localhost:5000")
    (tmp_path / "localhost:5000").mkdir()
    TrackFlags(mlflow="localhost:5000")


def test_a_tracker_that_fails_is_said_once_and_told_no_more() -> None:
    asked = []

    class Failing(Callback):
        def on_trial_result(self, **_: Any) -> None:
            asked.append(1)
            raise ConnectionError("the server is gone")

    class Lost(trackers.OptionalTracker, Failing):
        pass

    said, lock = list[str](), threading.Lock()

    def tell(text: str) -> None:
        with lock:
            said.append(text)

    lost = Lost().told_by("mlflow", tell)
    ray.cloudpickle.dumps(lost)  # as Ray does it with the callbacks of a search
    lost.on_trial_complete(iteration=1, trials=[], trial=None)
    for _ in range(3):
        lost.on_trial_result(iteration=1, trials=[], trial=None, result={})
    assert len(asked) == 1
    (line,) = said
    assert "--mlflow is told no more of this search, which goes on" in line and "the server is gone" in line


@pytest.mark.filterwarnings("default")  # of libraries that are told nothing of ours
def test_mlflow_has_a_run_a_trial_with_its_configuration_and_every_epoch(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    folder = tmp_path / "logs"
    (callback,) = build_trackers(TrackFlags(mlflow=str(folder)), "first", tmp_path, str)
    follow(callback, Trial(tmp_path))
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("first").experiment_id])
    assert run.info.run_name == "00007 lite0 lr 1.7e-3"
    assert run.data.params["backbone"] == "tf_efficientnet_lite0"
    assert [point.value for point in client.get_metric_history(run.info.run_id, "val_macro_f1")] == [0.1, 0.2]
    assert b"my-host" not in contents(folder)


@pytest.fixture
def a_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Ray on this machine, with a key in its environment; yields the folder of its logs."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    context = ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield Path(context.address_info["session_dir"])
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_wandb_keeps_a_run_a_trial_and_the_key_stands_nowhere(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    session = request.getfixturevalue("a_ray")
    (callback,) = build_trackers(TrackFlags(wandb="project"), "first", tmp_path, str)
    follow(callback, Trial(tmp_path))
    (log,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    told_there = log.read_bytes()
    assert b"val_macro_f1" in told_there and b"lite0 lr 1.7e-3" in told_there and b"first" in told_there
    assert json.dumps("tf_efficientnet_lite0").encode() in told_there
    for folder in (tmp_path, session / "logs"):
        assert SECRET.encode() not in contents(folder)
