"""Gives nodes that do not see the driver's disk what trials read, and takes in what they write there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from search.machine.preflight import NodeFacts, marked
from search.machine.roster import Roster
from trainables.config import TaskConfig
from trainables.errors import UserError
from trainables.reason import reason_of
from trainables.supply.line import ANSWER_SECONDS, SupplyLine

THREADS = 8
"""Messages that the keeper handles at the same time."""
START_SECONDS = 60.0
"""How long the keeper may take to start on a busy node."""
LAST_FILES_SECONDS = 60.0
"""How long, after the last trial has ended, its weights may still be on their way."""
QUIET_SECONDS = 10.0
"""Without a message for so long, a trial's process has died: nothing more comes of it."""
SENDING_SECONDS = 3600.0
"""How long all nodes together may take for their copies."""


@contextmanager
def supplied(
    roster: Roster, run_dir: Path, cache_dir: Path, task: TaskConfig, tell: Callable[[str], None]
) -> Iterator[SupplyLine]:
    """While inside, trials on nodes of a cluster that do not see the folders have what they read, and are heard.

    The nodes that are known to lack something get it first, all at the same time, so that what a disk has no room for
    is known before a trial is placed there. At the end, what ended trials have still on their way is waited for.

    Args:
        roster: Knows the nodes; what is sent to is what it may use.
        run_dir: Folder of the run.
        cache_dir: Folder of the caches.
        task: What the trials share.
        tell: Prints a line for people.

    Raises:
        UserError: No node can be given what trials read.
    """
    import ray

    with marked(run=run_dir, cache=cache_dir) as marks:
        keeper = _start_keeper(cache_dir)
        try:
            (run_mark,), (cache_mark,) = marks["run"].items(), marks["cache"].items()
            line = SupplyLine(keeper, run_mark, cache_mark, str(cache_dir))
            send_ahead(roster, line, task, tell)
            yield line
            _wait_for_last_files(keeper)
        finally:
            with suppress(Exception):
                ray.kill(keeper)


def send_ahead(roster: Roster, line: SupplyLine, task: TaskConfig, tell: Callable[[str], None]) -> None:
    """Sends pictures and split to the nodes that are known not to see them; who cannot take them is left out.

    Weights go with the first trial that starts from them: a space has more backbones than a node trains.

    Raises:
        UserError: No node is left.
    """
    import ray

    lacking = [facts for facts in roster.usable if not (facts.sees_storage and facts.sees_cache)]
    if not lacking:
        return
    began = time.monotonic()
    parcels = [line.describe(path) for path in (task.cache_path, task.split_path)]
    size = sum(parcel.num_bytes for parcel in parcels if parcel is not None)
    names = ", ".join(facts.name for facts in lacking[:3]) + ", ..." * (len(lacking) > 3)
    tell(f"Pictures for {_nodes(lacking)} without the shared disk: {size / 1e6:.1f} MB each, unless a copy is there")
    asked = {_ask(facts, line, task): facts for facts in lacking}
    done, late = ray.wait(list(asked), num_returns=len(asked), timeout=SENDING_SECONDS)
    for reference in late:
        roster.leave_out(asked[reference], f"has not taken the pictures within {SENDING_SECONDS / 60:.0f} minutes")
    new = 0
    for reference in done:
        try:
            new += ray.get(reference)
        except Exception as error:  # of its disk, of its process, or of Ray
            roster.leave_out(asked[reference], f"could not take the pictures: {_reason(error)}")
    roster.refuse_none()
    took = time.monotonic() - began
    tell(f"The pictures are on {names}: sent to {new}, found on {len(lacking) - new}, in {took:.1f} s")


def _nodes(lacking: Sequence[NodeFacts]) -> str:
    return f"{len(lacking)} node{'s' * (len(lacking) > 1)}"


def _ask(facts: NodeFacts, line: SupplyLine, task: TaskConfig) -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(facts.node_id, soft=False)
    paths = [] if facts.sees_cache else [task.cache_path]
    paths += [] if facts.sees_storage else [task.split_path]
    remote: Any = ray.remote(SupplyLine.take)
    named = remote.options(num_cpus=0, max_retries=1, scheduling_strategy=there, name=f"send to {facts.name}")
    return named.remote(line, paths)


def _start_keeper(cache_dir: Path) -> Any:
    """The actor on this node that reads and writes for others; begun anew if its process dies.

    Raises:
        UserError: Ray does not start it.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from trainables.supply.keeper import Keeper

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(Keeper)
    keeper = actor.options(
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=3,
        max_concurrency=THREADS,
        scheduling_strategy=here,
        name=f"macrotune keeper {time.time_ns()}",
    ).remote(str(cache_dir))
    try:
        ray.get(keeper.quiet_seconds.remote(), timeout=START_SECONDS)
    except ray.exceptions.RayError as error:
        raise UserError(
            "on this node Ray has not started the process that reads and writes for nodes without its disk "
            f"({reason_of(error)}): the node may be too busy. Try again, or give --storage and --cache-dir folders on "
            "a disk that all nodes share"
        ) from error
    return keeper


def _wait_for_last_files(keeper: Any) -> None:
    """Waits until trials that have ended for the driver have sent what they had: the weights of their best epoch."""
    import ray

    ends = time.monotonic() + LAST_FILES_SECONDS
    with suppress(Exception):  # the keeper, or the cluster, is gone: so is what was on its way
        while time.monotonic() < ends:
            quiet = ray.get(keeper.quiet_seconds.remote(), timeout=ANSWER_SECONDS)
            if all(seconds > QUIET_SECONDS for seconds in quiet.values()):
                return
            time.sleep(0.1)


def _reason(error: Exception) -> str:
    return reason_of(getattr(error, "cause", None) or error)
