"""Lets the nodes of a cluster answer pictures: the models are sent to them once, the decoded pictures in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from search.machine.address import THIS_MACHINE, given_address
from search.machine.preflight import NodeFacts, look_at_nodes
from search.machine.ray_session import ray_session
from search.terminal import doing, say, warn
from trainables.errors import UserError
from trainables.reason import reason_of

if TYPE_CHECKING:
    import numpy as np

    from trainables.data.batches import Side
    from trainables.saved.predict import Answering
    from trainables.saved.saved_model import SavedModel

PART = 512
"""Pictures that are sent at a time, up to a batch fewer."""
FIRST_SECONDS = 120.0
"""How long the first process may take to have its models: it imports torch, and the node may be busy."""
OTHERS_SECONDS = 10.0
"""How much longer the others may take."""


def joined(flag: str | None) -> str | None:
    """The cluster that `--address` names; None for this process, whatever the environment names.

    A search belongs on the cluster that the environment names. To answer a few pictures, this machine is quicker.
    """
    return given_address(flag or THIS_MACHINE)


@contextmanager
def answering_on(
    address: str | None, models: Sequence[SavedModel], device: str, cache_dir: Path, console: Console
) -> Iterator[Answering]:
    """While inside, what answers for `predict_probabilities`: this process, or the nodes of a cluster.

    On the cluster each GPU has a process, or where there is none each node, with all its cores.

    Args:
        address: Of the cluster, as `joined` has it; None for this process.
        models: Those that are to answer.
        device: What they shall be on: auto, or a torch device.
        cache_dir: Folder of the caches.
        console: For what is being done.

    Raises:
        UserError: There is no cluster, or no node has room.
    """
    from trainables.saved.predict import side_probabilities

    if address is None:
        yield side_probabilities
        return
    with ray_session(address):
        processes = _start(_able_nodes(cache_dir, console), models, device, console)
        yield partial(_answer, processes, [model.path for model in models])


def _able_nodes(cache_dir: Path, console: Console) -> list[NodeFacts]:
    """The nodes that have answered and have the same libraries; says why one is done without."""
    doing(console, "asking the nodes what they are like")
    found = look_at_nodes(cache_dir, cache_dir)
    why = {facts.node_id: facts.fault or facts.other_versions for facts in found}
    for facts in found:
        if why[facts.node_id]:
            warn(console, f"node {facts.name} is left out: {why[facts.node_id]}")
    able = [facts for facts in found if not why[facts.node_id]]
    if not able:
        raise UserError("no node of the cluster can answer. Fix the nodes, or answer here, without --address")
    return able


def _start(nodes: Sequence[NodeFacts], models: Sequence[SavedModel], device: str, console: Console) -> list[Any]:
    """The processes that have their models; one that finds no room in time is done without."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from trainables.saved.answerer import Answerer, packed

    doing(console, "sending the network to the nodes")
    files = ray.put([packed(model.path) for model in models])
    with_gpus = [facts for facts in nodes if facts.num_gpus]
    started: dict[Any, tuple[Any, NodeFacts]] = {}
    for facts in with_gpus or [facts for facts in nodes if facts.num_cpus]:
        processes = facts.num_gpus or 1
        cores = max(1, facts.num_cpus // processes)
        actor: Any = ray.remote(Answerer)
        here = actor.options(
            num_cpus=min(cores, facts.num_cpus),
            num_gpus=1 if facts.num_gpus else 0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(facts.node_id, soft=True),
        )
        for _ in range(processes):
            process = here.remote(files, device, cores)
            started[process.ready.remote()] = (process, facts)
    ready, _ = ray.wait(list(started), num_returns=1, timeout=FIRST_SECONDS)
    if ready:
        ready, _ = ray.wait(list(started), num_returns=len(started), timeout=OTHERS_SECONDS)
    for reference in started.keys() - set(ready):
        ray.kill(started[reference][0])
    if not ready:
        raise UserError(
            f"none of the {len(started)} processes that were to answer has started within {FIRST_SECONDS:.0f} s: the "
            "cores and GPUs of the cluster are taken, perhaps by a search. Wait for its end, or answer here, without "
            "--address"
        )
    devices = [_asked(partial(ray.get, reference)) for reference in ready]
    names = ", ".join(f"{started[reference][1].name}, {on}" for reference, on in zip(ready, devices, strict=True))
    say(console, f"Answering on: {names}")
    return [started[reference][0] for reference in ready]


def _answer(
    processes: Sequence[Any],
    folders: Sequence[Path],
    model: SavedModel,
    side: Side,
    batch_size: int,
    *,
    flip: bool = False,
    on_progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """What `side_probabilities` gives, of the processes together; each has one part in work and none waiting."""
    import numpy as np
    from ray.util import ActorPool

    pool: Any = ActorPool(list(processes))
    parts: list[np.ndarray] = []
    number, count = folders.index(model.path), 0

    def take() -> None:
        nonlocal count
        parts.append(_asked(pool.get_next))
        count += len(parts[-1])
        on_progress(count)

    for stored, _ in side.batches(max(1, PART // batch_size) * batch_size):
        if not pool.has_free():
            take()
        pictures = np.ascontiguousarray(stored.permute(0, 2, 3, 1).cpu().numpy())
        pool.submit(lambda process, sent: process.answer.remote(number, sent, batch_size, flip), pictures)
    while pool.has_next():
        take()
    return np.concatenate(parts)


def _asked(wait: Callable[[], Any]) -> Any:
    """What a process has answered.

    Raises:
        UserError: The process has died, or could not use the model; says why.
    """
    import ray

    try:
        return wait()
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, UserError):
            raise cause from error
        raise UserError(
            f"a process on the cluster has ended before it had answered ({reason_of(cause or error)}): try again, or "
            "answer here, without --address"
        ) from error
