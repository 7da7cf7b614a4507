"""Hosts that share a network and no disk, on this machine: namespaces of Linux, which takes root."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("unshare", "nsenter", "ip")
STORE_BYTES = 80 * 2**20
APART = ("--net", "--mount", "--pid", "--uts", "--ipc")
SOON_MISSED = {
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}
"""Ray's settings by which a host without power is missed after some 15 s; it is a minute otherwise."""

INIT = """
set -e
mount --make-rprivate /
hostname "$1"
mount -t tmpfs -o size=512m tmpfs /dev/shm
mount --bind "$2/disk" "$3"
mount --bind "$2/ray" /tmp/ray
ip link set lo up
touch "$2/ready"
sleep infinity & wait
"""
"""What the first process of a host does: name, folder of what is its own, and where its disk is seen."""


class Host:
    """One of them; `disk` is a path of all, under which each sees its own."""

    def __init__(self, name: str, address: str, own: Path, disk: Path) -> None:
        self.name, self.address, self.own = name, address, own
        for folder in (disk, Path("/tmp/ray"), own / "disk", own / "ray", own / "home"):
            folder.mkdir(parents=True, exist_ok=True)
        command = ["unshare", *APART, "--fork", "--kill-child", "--mount-proc", "bash", "-c", INIT, "init"]
        self._outer = subprocess.Popen([*command, name, str(own), str(disk)], stdin=subprocess.DEVNULL)
        wait_for(own / "ready")
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        self.pid = int(children[0])

    def start(self, *words: object, out: IO[str]) -> subprocess.Popen[bytes]:
        """Begins a command there; its home is the host's own."""
        inside = ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", "-u", "-i", "--", *map(str, words)]
        ours = {"HOME": str(self.own / "home"), "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), **SOON_MISSED}
        return subprocess.Popen(
            inside,
            env={**os.environ, **ours},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )

    def run(self, *words: object, check: bool = True) -> str:
        """What a command there prints."""
        with TemporaryFile("w+") as out:  # no pipe, which processes that it leaves behind would hold open
            code = self.start(*words, out=out).wait(240)
            out.seek(0)
            said = out.read()
        assert not check or code == 0, said
        return said

    def reaches(self, other: Host) -> bool:
        """Whether another host answers it at all, if only that nobody listens at a port."""
        asked = f"import socket; print(socket.socket().connect_ex(('{other.address}', 9)))"
        return str(errno.ECONNREFUSED) in self.run("timeout", "10", sys.executable, "-c", asked, check=False)

    def ray(self, *words: str) -> None:
        """`ray start` there, with one core."""
        own = ("--node-ip-address", self.address, "--num-cpus", "1", "--object-store-memory", str(STORE_BYTES))
        command = (sys.executable, "-m", "ray.scripts.scripts")
        for _ in range(3):  # Ray gives itself 30 s, which is little on a busy machine
            said = self.run(*command, "start", "--disable-usage-stats", *own, *words, check=False)
            if "Ray runtime started" in said:
                return
            self.run(*command, "stop", "--force", check=False)
        raise AssertionError(said)

    def off(self) -> None:
        """Kills everything on it at once, as when its power goes."""
        self._outer.kill()
        self._outer.wait()


def can_be_had() -> bool:
    """Whether this process may make hosts."""
    if sys.platform != "linux" or os.geteuid() or not all(map(shutil.which, TOOLS)):
        return False
    tried = "mount -t tmpfs none /mnt && ip link add bridge0 type bridge && ip link add v0 type veth"
    asked = ["unshare", *APART, "--fork", "--mount-proc", "sh", "-c", tried]
    return subprocess.run(asked, capture_output=True).returncode == 0


@contextmanager
def a_cluster(folder: Path, names: tuple[str, ...]) -> Iterator[list[Host]]:
    """Hosts with one core each, the first of them the head of a Ray cluster; their disks are seen as `folder/disk`."""
    bridge, net = f"mt{os.getpid()}", f"10.79.{os.getpid() % 250}"
    with ExitStack() as stack:
        call("ip", "link", "add", bridge, "type", "bridge")
        stack.callback(call, "ip", "link", "del", bridge)
        call("ip", "link", "set", bridge, "up")
        hosts = []
        for number, name in enumerate(names, start=2):
            host = Host(name, f"{net}.{number}", folder / name, folder / "disk")
            stack.callback(host.off)
            cable = f"v{os.getpid()}-{number}"
            call("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(host.pid))
            call("ip", "link", "set", cable, "master", bridge, "up")
            host.run("ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
            host.run("ip", "link", "set", "eth0", "up")
            host.run("ip", "route", "add", "default", "via", f"{net}.1", check=False)
            hosts.append(host)
        if not hosts[-1].reaches(hosts[0]):
            pytest.skip("what goes from namespace to namespace is filtered here")
        hosts[0].ray("--head", "--port", "6379")
        for host in hosts[1:]:
            host.ray("--address", f"{hosts[0].address}:6379")
        yield hosts


def call(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def wait_for(path: Path) -> None:
    ends = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < ends, f"{path} does not come"
        time.sleep(0.05)
