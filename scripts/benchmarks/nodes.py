"""The same search on one node and on several, which are processes of this machine: pictures a second, driver, reports.

    python scripts/benchmarks/nodes.py --nodes 4 --trials 64

Every node has one core for trials. With more nodes than this machine has cores they share them, and what is left to see
is what the cluster costs: the driver's memory and processor time, and what Ray itself takes on each node. It takes two
minutes on two idle cores and ends with a table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import psutil

from results.pages.markdown import render_markdown_table
from results.records.run_folder import RunFolder, load_run
from scripts.terminal import run_command
from trainables.data.whole_batches import images_per_epoch
from trainables.errors import UserError
from trainables.machine.hardware import hardware_in_words

STORE_BYTES = 80 * 2**20
"""Of Ray's object store on each node, the least that it takes."""
LOOK_SECONDS = 0.25
"""Between two looks at the driver's memory."""


@dataclass(frozen=True, kw_only=True)
class NodesConfig:
    """Search on one node and on several, and compare."""

    nodes: int = 4
    """Nodes of one core, at least 2."""
    trials: int = 64
    """Trials of the space toy, at least 2."""
    epochs: int = 2
    """Epochs of a trial, at least 1; none is stopped."""

    def __post_init__(self) -> None:
        for name, low in (("nodes", 2), ("trials", 2), ("epochs", 1)):
            if getattr(self, name) < low:
                raise UserError(f"--{name} is {getattr(self, name)}: it must be at least {low}")


@dataclass(frozen=True)
class Took:
    """What a search took."""

    nodes: int
    seconds: float
    """From the first epoch's report to the last's."""
    images: int
    reports: int
    driver_bytes: int
    """Largest memory of the driver."""
    driver_cpu_seconds: float
    """Processor time of the driver, its start and its report included."""
    all_cpu_share: float
    """Share of this machine's cores that were busy, 0 to 1, by whomever."""

    def row(self) -> list[str]:
        """Its line of the table."""
        return [
            str(self.nodes),
            f"{self.seconds:.0f}",
            f"{self.images / self.seconds:.0f}",
            f"{self.reports / self.seconds:.2f}",
            f"{self.driver_bytes / 1e6:.0f}",
            f"{self.driver_cpu_seconds:.0f}",
            f"{100 * self.all_cpu_share:.0f}%",
        ]


HEAD = ["nodes", "s", "pictures/s", "reports/s", "driver, MB", "driver, s of a core", "cores busy"]


def search_on(nodes: int, config: NodesConfig, folder: Path) -> Took:
    """Starts so many nodes and a head without cores, searches on them, and ends them."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False},
    )
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        words = [sys.executable, str(ROOT / "search" / "run.py"), "--address", cluster.address, "--space", "toy"]
        words += ["--trials", str(config.trials), "--epochs", str(config.epochs), "--grace-period", str(config.epochs)]
        words += ["--image-size", "32", "--batch-size", "32", "--weights", "none", "--history", "none", "--keep", "0"]
        words += ["--name", f"on-{nodes}", "--storage", str(folder), "--readme", str(folder / "README.md"), "--quiet"]
        psutil.cpu_percent()
        driver = psutil.Popen(words, cwd=folder)
        largest, cpu = 0, 0.0
        while driver.poll() is None:
            try:
                largest = max(largest, driver.memory_info().rss)
                cpu = sum(driver.cpu_times()[:2])
            except psutil.Error:
                break
            time.sleep(LOOK_SECONDS)
        busy = psutil.cpu_percent() / 100
        if driver.wait():
            raise subprocess.CalledProcessError(driver.returncode, words)
    finally:
        cluster.shutdown()
    run = RunFolder(folder / f"on-{nodes}")
    lines = run.epochs()
    times = [line.time.timestamp() for line in lines]
    began = min(line.time.timestamp() - line.values["seconds"] for line in lines)
    pictures = load_run(run.path).data["sides"]["train"]["pictures"]
    images = len(lines) * images_per_epoch(pictures, 32)
    return Took(nodes, max(times) - began, images, len(lines), largest, cpu, busy)


def measure(config: NodesConfig) -> None:
    """Measures, and prints the table."""
    with tempfile.TemporaryDirectory(prefix="macrotune-nodes-") as folder:
        rows = [search_on(nodes, config, Path(folder)).row() for nodes in (1, config.nodes)]
    print(f"{config.trials} trials of {config.epochs} epochs, space toy, 32 px, {hardware_in_words()}\n")
    print(render_markdown_table(HEAD, rows))


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and measures; a user's mistake is one message and exit code 2."""
    return run_command(NodesConfig, measure, args, prog="scripts/benchmarks/nodes.py", markers=())


if __name__ == "__main__":
    sys.exit(main())
