"""The Ray cluster: this machine alone, or one that is there, with our one package shipped to its nodes."""

from __future__ import annotations

import logging
import os
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from search.machine.address import ClusterError, refuse_silence
from search.machine.home import socket_folder
from search.machine.ray_shortcuts import start_preloading
from search.study import num_cores
from trainables.machine.allocator import ENVIRONMENT
from trainables.machine.hardware import visible_gpus

ROOT = Path(__file__).resolve().parents[2]
OBJECT_STORE_BYTES = 128 * 2**20
"""Ray's store for results on a machine of our own: reports are small, pictures never pass through it."""

START_ATTEMPTS = 3
"""How often Ray is started before it is given up."""
SLOW_START = "timed out during startup"
"""In the message of Ray's own limit of 30 s for its start."""
LONGEST_FOLDER = 35
"""Characters of the folder for temporary files: a socket's path, which Ray makes of it, may have 103 to 107 (macOS,
Linux) and adds `/ray/session_2026-11-27_16-06-08_984173_10642/sockets/plasma_store`."""

SHIPPED = ("trainables", "macrotune", "spaces")
"""Packages that nodes are sent: what trials run, and what a user's file of parts and a space in it import."""
RAY_SETTINGS: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # search.callbacks.run_log writes what they would
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # search.stop ends trials with their epoch instead
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # a run is resumed from its own logs
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # what ended a trial's process is told in our own words
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""Environment variables; Ray reads them when it starts and when trials run, none when it is imported."""

WORKER_NICENESS = 0
"""What is added to the driver's niceness. With Ray's 15 a trial has a thirtieth of a core beside any other process, and
threads that wait for each other all go at the pace of the slowest."""
WORKER_ENVIRONMENT: Mapping[str, str] = {
    **ENVIRONMENT,
    "OMP_WAIT_POLICY": "passive",  # with a number of turns of its own: whatever the shell says
    "GOMP_SPINCOUNT": "30000",
    "KMP_BLOCKTIME": "1",
}
"""A thread that waits for its fellows takes a core from them where others compute: it turns for about a millisecond
(GNU's OpenMP; Intel's and LLVM's count milliseconds), a tenth of the usual, and then sleeps (docs/speed.md)."""

DEFAULTS: Mapping[str, str] = {
    "RAY_worker_niceness": str(WORKER_NICENESS),
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # in which NVML, too, counts GPUs
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",  # what a Mac's GPU cannot do is done by its cores
    # Seconds that a worker waits for the thread of the trial before: Ray's 2 are too few on a busy machine.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
}
"""The same, where the user's own word counts."""
_set_here: set[str] = set()
"""Those of them that the user has said nothing of. (Ray refuses a name that a job has set for its workers.)"""


@dataclass(frozen=True)
class Cluster:
    """What there is to compute on."""

    num_cpus: int
    num_gpus: int


def prepare_environment() -> None:
    """Sets what Ray, CUDA, OpenMP and memory allocators read from the environment, here and in workers.

    It stands until the process ends, as what is measured here shall hold for workers. Again does nothing.
    """
    os.environ.update({**WORKER_ENVIRONMENT, **RAY_SETTINGS})
    for name, value in DEFAULTS.items():
        if name not in os.environ:
            os.environ[name] = value
            _set_here.add(name)


def this_machine() -> Cluster:
    """The cores and GPUs that this process may use; asks the driver, so that torch need not be imported for it.

    From then on CUDA counts the GPUs in the same order (`prepare_environment`).
    """
    prepare_environment()
    return Cluster(num_cores(), len(visible_gpus()))


@contextmanager
def connect(address: str | None, single_core_trials: int | None = None) -> Iterator[Cluster]:
    """Starts Ray on this machine, or joins the cluster at `address`, and leaves no process behind.

    Args:
        address: None for this machine.
        single_core_trials: On this machine, and if trials have one core each: how many run at the same time. So many
            workers then start at once and import what a trial needs, while the driver goes on. (Ray starts a worker a
            core, so with more cores a trial most of them would do so for nothing.)

    Raises:
        ClusterError: There is no cluster at the address.
    """
    prepare_environment()
    import ray

    try:
        if address is None:
            _let_workers_import()
            _shorten_sockets()
            start = partial(
                ray.init,
                address="local",
                num_cpus=single_core_trials or num_cores(),
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            _start_patiently(partial(start_preloading, start, single_core_trials) if single_core_trials else start)
        else:
            refuse_silence(address)
            ray.init(
                address=address,
                runtime_env={
                    "py_modules": [str(ROOT / name) for name in SHIPPED],
                    "env_vars": {**WORKER_ENVIRONMENT, **{name: DEFAULTS[name] for name in sorted(_set_here)}},
                },
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        if isinstance(error, ClusterError):
            raise
        what = "Ray does not start here" if address is None else f"--address {address}: no Ray cluster there"
        raise ClusterError(f"{what}: {error}") from error
    try:
        resources = ray.cluster_resources()
        yield Cluster(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))
    finally:
        ray.shutdown()


def _start_patiently(start: Callable[[], object]) -> None:
    """Starts Ray on this machine, once more if it is slow: what it reads from the disk the second time is in memory.

    Ray waits 30 s for its own processes, has no option for more, and raises a bare `Exception` after that.

    Raises:
        ClusterError: It has not started in any attempt.
    """
    import ray

    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            start()
            return
        except Exception as error:
            ray.shutdown()
            if isinstance(error, (ValueError, RuntimeError, ConnectionError)) or SLOW_START not in str(error):
                raise
            if attempt == START_ATTEMPTS:
                raise ClusterError(
                    f"Ray has not started in {START_ATTEMPTS} attempts of 30 s: the machine is too busy, or its disk "
                    f"too slow. Try again when it is quieter; Ray's own words are in {_ray_logs()}"
                ) from error


def _ray_logs() -> Path:
    return Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "session_latest" / "logs"


def _shorten_sockets() -> None:
    """Has Ray put its sockets where their paths are short enough for the operating system.

    Raises:
        ClusterError: There is no such folder that can be written.
    """
    try:
        folder = socket_folder(LONGEST_FOLDER)
    except FileNotFoundError as error:
        name = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
        raise ClusterError(
            f"{name}={error} is too long for Ray's sockets: set {name} to a folder whose path has at most "
            f"{LONGEST_FOLDER} characters, such as {name}=/tmp"
        ) from error
    if folder is not None:
        os.environ["RAY_TMPDIR"] = str(folder)


def _let_workers_import() -> None:
    """Puts the project, once, where workers of this machine look for modules."""
    if str(ROOT) == sysconfig.get_path("purelib"):  # installed: every process of this Python finds it
        return
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(ROOT) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in (str(ROOT), *paths) if path)
