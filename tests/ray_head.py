"""A Ray cluster of this machine with a job server, for tests: a head of its own, which ends with the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest


@contextmanager
def a_job_server() -> Iterator[str]:
    """Starts the head of a cluster of two cores; gives the address of its job server."""
    pytest.importorskip("aiohttp_cors", reason="Ray's job server needs the extra ui")
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(
            prefix="ray-",
            ignore_cleanup_errors=True,  # a short name: it holds sockets
        ) as folder,
    ):
        patch.setenv("RAY_AUTH_MODE", "disabled")
        head, address = next(filter(None, (a_head(f"{folder}/{attempt}") for attempt in range(5))))
        try:
            yield address
        finally:
            head.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                head.wait(60)
            end(head)


def a_head(folder: str) -> tuple[subprocess.Popen[str], str] | None:
    """The process of a cluster's head, and its job server; None if it has not started within Ray's own 30 s."""
    ports = [str(a_free_port()) for _ in range(3)]
    head = subprocess.Popen(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
            *("--port", ports[0], "--dashboard-port", ports[1], "--dashboard-agent-listen-port", ports[2]),
            *("--num-cpus", "2", "--object-store-memory", str(2**27), "--temp-dir", folder),
        ],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONUNBUFFERED": "1"},
    )
    assert head.stdout is not None
    if not any("runtime started" in line for line in head.stdout):  # it has ended, and left some of its processes
        end(head)
        return None
    address = f"http://127.0.0.1:{ports[1]}"
    for _ in range(300):
        with suppress(OSError), urllib.request.urlopen(f"{address}/api/jobs/", timeout=20):
            return head, address
        time.sleep(1)
    raise AssertionError(f"{address} does not answer")


def end(head: subprocess.Popen[str]) -> None:
    """Ends what is left of a head."""
    with suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)
    head.communicate()


def a_free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
