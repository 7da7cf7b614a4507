"""A search on two hosts that share no disk, made of network namespaces; skipped where those are not to be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from tests.conftest import ROOT
from trainables.report import TrialStatus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
BRIDGE, NET = "mtrtest0", "10.83.0"
INIT = """
set -e; mount --make-rprivate /; hostname "$1"; mount -t tmpfs -o size=512m tmpfs /dev/shm
mount --bind "$2/tmp" /tmp/ray; mount --bind "$2/disk" "$3"
[ "$1" = driver ] || mount --bind "$2/empty" "$4"
ip link set lo up; touch "$2/ready"; trap : TERM INT; while :; do sleep 3600 & wait $! || true; done
"""
"""PID 1 of a host: its own disk, memory and folder of Ray's; all but the driver do not see the project."""


def _can_make_hosts() -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        return False
    asked = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True)
    return asked.returncode == 0


@dataclass
class Host:
    """A host by its name, its number in the network and its PID 1."""

    name: str
    number: int
    pid: int

    def run(self, *words: str, check: bool = True, cwd: str = "/", timeout: int = 600) -> str:
        """Runs a command on it; returns what it printed."""
        inside = ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", "-u", "-i", "--", "env", "-C", cwd]
        env = {**os.environ, "RAY_AUTH_MODE": "disabled", "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "PYTHONPATH": ""}
        done = subprocess.run([*inside, *words], env=env, capture_output=True, text=True, timeout=timeout)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def ray(self, *flags: str) -> str:
        """Starts a node of Ray's there."""
        ip = ["--node-ip-address", f"{NET}.{self.number}", "--num-cpus", "1", "--object-store-memory", "100000000"]
        return self.run(sys.executable, "-m", "ray.scripts.scripts", "start", *ip, "--disable-usage-stats", *flags)


def _host(name: str, number: int, folder: Path, disk: Path) -> Host:
    own = folder / name
    for part in ("tmp", "disk", "empty"):
        (own / part).mkdir(parents=True)
    Path("/tmp/ray").mkdir(exist_ok=True)
    words = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc", "bash", "-c", INIT]
    outer = subprocess.Popen([*words, "init", name, str(own), str(disk), str(ROOT)], start_new_session=True)
    for _ in range(200):
        if (own / "ready").exists():
            break
        subprocess.run(["sleep", "0.1"], check=True)
    pid = int(subprocess.run(["pgrep", "-P", str(outer.pid)], capture_output=True, text=True).stdout.split()[0])
    link, peer = f"mtt{number}", f"mttp{number}"
    for command in (
        f"ip link add {link} type veth peer name {peer}",
        f"ip link set {link} master {BRIDGE} up",
        f"ip link set {peer} netns {pid} name eth0",
        f"nsenter -t {pid} -n ip addr add {NET}.{number}/24 dev eth0",
        f"nsenter -t {pid} -n ip link set eth0 up",
        f"nsenter -t {pid} -n ip route add default via {NET}.1",
    ):
        subprocess.run(command.split(), check=True)
    return Host(name, number, pid)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """A driver and a worker, with a folder of one name and two disks."""
    if not _can_make_hosts():
        pytest.skip("needs root, ip, unshare and nsenter")
    disk = tmp_path / "disk"
    disk.mkdir()
    made: list[Host] = []
    try:
        for command in (f"ip link add {BRIDGE} type bridge", f"ip addr add {NET}.1/24 dev {BRIDGE}"):
            subprocess.run(command.split(), check=True)
        subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
        for number, name in ((11, "driver"), (12, "worker")):
            made.append(_host(name, number, tmp_path / "hosts", disk))
        yield made[0], made[1]
    finally:
        for host in made:
            subprocess.run(["kill", "-9", str(host.pid)], check=False)
        subprocess.run(["ip", "link", "del", BRIDGE], check=False)


def test_hosts_that_share_no_disk_train_all_trials(hosts: tuple[Host, Host], pictures: Path, tmp_path: Path) -> None:
    driver, worker = hosts
    driver.ray("--head", "--port", "6379")
    worker.ray("--address", f"{NET}.11:6379")
    disk = tmp_path / "disk"
    small = ["--space", "toy", "--trials", "4", "--epochs", "2", "--image-size", "32", "--batch-size", "16"]
    places = ["--storage", f"{disk}/runs", "--cache-dir", f"{disk}/cache", "--readme", f"{disk}/README.md"]
    rest = ["--data", str(pictures), "--weights", "none", "--history", "none", "--address", "auto", *places]

    def search(name: str) -> str:
        return driver.run(sys.executable, str(ROOT / "search" / "run.py"), *small, *rest, "--name", name, cwd=str(ROOT))

    said = search("first")
    assert "1 of 1 had no copy" in said
    run = RunFolder(tmp_path / "hosts" / "driver" / "disk" / "runs" / "first")
    trials = load_trials(run.path)
    assert len(trials) == 4 and all(trial.status in (TrialStatus.FINISHED, TrialStatus.STOPPED) for trial in trials)
    assert {trial.node.split()[0] for trial in trials} == {"driver", "worker"}
    assert all(run.answers_npz(trial.trial_id).is_file() for trial in trials)
    assert all((run.checkpoints / trial.trial_id / "best.pt").is_file() for trial in trials)
    assert not (tmp_path / "hosts" / "worker" / "disk" / "runs").exists()
    assert "0 of 1 had no copy" in search("second")
