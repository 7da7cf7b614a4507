"""The Ray cluster: this machine alone, or one that is there, with our one package shipped to its nodes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.study import num_cores
from trainables.machine.allocator import ENVIRONMENT
from trainables.machine.hardware import visible_gpus

ROOT = Path(__file__).resolve().parents[2]
OBJECT_STORE_BYTES = 128 * 2**20
"""Ray's store for results on a machine of our own: reports are small, pictures never pass through it."""

PRELOADED = (
    "torch",
    "timm",
    "torchmetrics.functional.classification",
    "ray.tune",
    "trainables.training.loop",
    "trainables.training.state",
    "trainables.data.batches",
)
"""What a trial needs, imported by workers that wait for their first."""
PRELOADING = {"preload_python_modules": list(PRELOADED), "worker_register_timeout_seconds": 600}
"""Settings of Ray's; at its 60 seconds it would start more workers beside those that import on a busy machine."""

os.environ.update(
    ENVIRONMENT,
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AIR_NEW_OUTPUT="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # search.callbacks writes what they would
    TUNE_DISABLE_SIGINT_HANDLER="1",  # search.stop ends trials with their epoch instead
    TUNE_GLOBAL_CHECKPOINT_S="1000000000",  # a run is resumed from its own logs
    TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S="0",
)


os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # in which NVML, too, counts GPUs


@dataclass(frozen=True)
class Cluster:
    """What there is to compute on."""

    num_cpus: int
    num_gpus: int
    node_cpus: int
    """Cores of the largest node."""


class ClusterError(ValueError):
    """The cluster cannot be reached; names the address and the way out."""


def this_machine() -> Cluster:
    """The cores and GPUs that this process may use; asks the driver, so that torch need not be imported for it."""
    return Cluster(num_cores(), len(visible_gpus()), num_cores())


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
    import ray

    try:
        if address is None:
            paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
            os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
            ray.init(
                address="local",
                num_cpus=single_core_trials or num_cores(),
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _system_config=PRELOADING if single_core_trials else None,
            )
        else:
            ray.init(
                address=address,
                runtime_env={"py_modules": [str(ROOT / "trainables")], "env_vars": dict(ENVIRONMENT)},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        what = "Ray does not start here" if address is None else f"--address {address}: no Ray cluster there"
        raise ClusterError(f"{what}: {error}") from error
    try:
        resources = ray.cluster_resources()
        node_cpus = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
        yield Cluster(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), node_cpus)
    finally:
        ray.shutdown()
