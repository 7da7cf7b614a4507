"""Ray's internals, touched here only: shortcuts that Ray has no option for, and that a search does without if it must.

Each shortcut is tried by itself. Where Ray has changed it is skipped, with one line in the log that says what is lost:
time or memory, never a number of a trial. The environment variable `MACROTUNE_RAY_SHORTCUTS=off` turns all of them off,
for example to find out whether one of them is to blame for a fault.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

SWITCH = "MACROTUNE_RAY_SHORTCUTS"
"""Environment variable; `off` turns all shortcuts off."""

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
PRELOADING: Mapping[str, Any] = {
    "preload_python_modules": list(PRELOADED),
    "worker_register_timeout_seconds": 600,
}
"""Ray's settings for it; at its 60 seconds it would start more workers beside those that import on a busy machine."""

ASK_CLUSTER = """
import json, socket, sys
address, seconds = sys.argv[1], float(sys.argv[2])
try:
    import ray
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray._private.services import canonicalize_bootstrap_address_or_die
    from ray._raylet import GcsClient
except ImportError:
    sys.exit()
try:
    address = canonicalize_bootstrap_address_or_die(address)
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    nodes = GcsClient(address=address).get_all_node_info(timeout=seconds).values()
    said = {"addresses": sorted({node.node_manager_address for node in nodes if node.state == 0})}
except (OSError, ray.exceptions.RayError) as error:
    kind = "ConnectionError" if isinstance(error, OSError) else type(error).__name__
    said = {"error": kind, "words": str(error).strip().splitlines()[0] if str(error).strip() else ""}
print(json.dumps(said))
"""
"""A program that says as JSON which nodes a head has, or why it does not tell: Ray's API has no limit for its time.
It says nothing where Ray has changed."""

_logger = logging.getLogger(__name__)


@contextmanager
def shortcuts(*, one_node: bool) -> Iterator[None]:
    """All shortcuts of a search while its trials run.

    Args:
        one_node: Whether all trials run on one machine, which those that let trials begin sooner rely on.
    """
    with ExitStack() as stack:
        stack.enter_context(without_statistics())
        if one_node:
            stack.enter_context(without_placement_groups())
            stack.enter_context(without_lightning_variables())
        yield


@contextmanager
def without_statistics() -> Iterator[None]:
    """Leaves out Ray Tune's statistics of every number of every trial: nothing here reads them, and they only grow.

    At 50 kB a trial they are most of what a long search adds to the driver's memory (ray#64231). Ray keeps them for
    numbers alone, so an epoch reported as one JSON string would have next to none. But then Ray's callbacks, searcher
    and scheduler, which are handed the result under its names, would each have to decode it.
    """
    with _replaced(
        "ray.tune.trainable.metadata:_TrainingRunMetadata",
        "update_metric",
        lambda _: _keep_nothing,
        "the driver's memory grows by 50 kB a trial",
    ):
        yield


@contextmanager
def without_placement_groups() -> Iterator[None]:
    """Hands out the cores and GPUs of one node by counting them, as Ray Tune can, but has no option for.

    It places trials by placement groups, whose readiness is found out by a task that uses up a worker that has
    imported what a trial needs while it waited.
    """
    with _replaced(
        "ray.tune.execution.tune_controller",
        "PlacementGroupResourceManager",
        lambda usual: _counting_or(usual, resolve_name("ray.air.execution:FixedResourceManager")),
        "trials begin some seconds later",
    ):
        yield


@contextmanager
def without_lightning_variables() -> Iterator[None]:
    """Gives trials no environment variable of PyTorch Lightning's, for which Ray starts new workers.

    So trials begin in the workers that have imported what a trial needs while they waited.
    """
    with _replaced(
        "ray.tune.execution.class_cache", "DEFAULT_ENV_VARS", lambda _: {}, "trials begin some seconds later"
    ):
        yield


def start_preloading(start: Callable[..., object], workers: int) -> None:
    """Starts Ray with workers that import `PRELOADED` while they wait for their first trial, or else as usual.

    One that finds no trial, as the first has all cores, waits for the model's turn (search/refit.py), where Ray would
    end it at once. Ray refuses settings it does not know. What keeps it from starting as usual, too, is raised.

    Args:
        start: `ray.init` with all other arguments.
        workers: How many there are.
    """
    if _is_off():
        start()
        return
    try:
        start(_system_config={**PRELOADING, "num_workers_soft_limit": workers})
        return
    except Exception as error:
        reason = error
    import ray

    ray.shutdown()
    start()
    _skip("_system_config", reason, "the first trials begin some seconds later")


def worker_pid(trial: Any) -> int | None:
    """The process that a running trial is in; None where it has none, or Ray does not tell.

    Ray's public API tells it only through the dashboard, which a search does not start.
    """
    if _is_off():
        return None
    try:
        actor = trial.temporary_state.ray_actor
        return int(resolve_name("ray._private.state:actors")(actor._actor_id.hex())["Pid"]) or None
    except Exception as error:
        if "worker_pid" not in _told:
            _told.add("worker_pid")
            _skip("worker_pid", error, "a process that hangs is not ended")
        return None


def error_of(trial: Any) -> Exception | None:
    """The exception that ended a trial's process last; None where there is none, or Ray does not keep it.

    Ray's public API tells of it only once it has been copied to the storage, which is later than it is handled.
    """
    try:
        path = Path(trial.pickled_error_file)
        return pickle.loads(path.read_bytes()) if path.is_file() else None
    except Exception as error:
        if "error_of" not in _told:
            _told.add("error_of")
            _skip("pickled_error_file", error, "a trial whose node is at fault may count as failed")
        return None


_told: set[str] = set()
"""What has been said once."""


@contextmanager
def _replaced(owner: str, name: str, make: Callable[[Any], Any], lost: str) -> Iterator[None]:
    """Puts something else in a place of Ray's, and what was there back at the end; does nothing if there is none.

    Args:
        owner: `module` or `module:class`.
        name: Its attribute.
        make: Given what is there, what takes its place.
        lost: What the search does without if Ray has changed.
    """
    place = usual = None
    if not _is_off():
        try:
            place = resolve_name(owner)
            usual = getattr(place, name)
            setattr(place, name, make(usual))
        except (ImportError, AttributeError, TypeError) as error:
            place = None
            _skip(name, error, lost)
    try:
        yield
    finally:
        if place is not None:
            setattr(place, name, usual)


def _keep_nothing(*_: Any, **__: Any) -> None:
    """Stands for the method that keeps a statistic."""


def _counting_or(usual: Callable[[], Any], counting: Callable[[], Any]) -> Callable[[], Any]:
    """Makes the manager that counts or, should it not come to be, the usual one."""

    def manager() -> Any:
        try:
            return counting()
        except Exception as error:
            _skip("FixedResourceManager", error, "trials begin some seconds later")
            return usual()

    return manager


def _is_off() -> bool:
    return os.environ.get(SWITCH, "").lower() == "off"


def _skip(what: str, reason: Exception, lost: str) -> None:
    why = f"{type(reason).__name__}: {reason}"
    _logger.warning("This version of Ray takes no shortcut by %s (%s): %s.", what, why, lost)
