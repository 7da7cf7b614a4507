"""Asks a cluster that grows by itself for nodes that a trial fits on, and waits for them in sight of the user."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from search.flags import MachineFlags
from search.machine.placement import Room, in_words, slots
from search.machine.preflight import alive_nodes
from search.terminal import doing, say
from trainables.errors import UserError

FIRST_WAIT_SECONDS = 600.0
"""How long to wait for the first node of a cluster that has none yet, unless told: a cloud's machine takes minutes."""
LOOK_SECONDS = 1.0
"""Between two looks."""
SAY_SECONDS = 60.0
"""Between two lines about it."""

_logger = logging.getLogger(__name__)


@contextmanager
def wait_for_nodes(flags: MachineFlags, console: Console, seconds_left: float) -> Iterator[None]:
    """Waits until a trial fits on a node, as many as were asked for; the cluster keeps such nodes inside the block.

    A cluster whose nodes have cores, though not for such a trial, is waited for only with `--wait-for-nodes`: most
    never change, and what they have not room for is refused at once (`share_on_nodes`).

    Args:
        flags: What a trial is to have, and how long to wait.
        console: Where the waiting shows.
        seconds_left: Of the time budget.

    Raises:
        UserError: No such node has come; says what was asked for.
    """
    wanted = flags.concurrency if flags.concurrency != "auto" else 1
    cpus, gpus = flags.cpus_per_trial or 1, flags.gpus_per_trial
    asked_gpus = float(gpus) if isinstance(gpus, (int, float)) else 0.0
    patience = flags.wait_seconds
    if patience is None:
        patience = 0.0 if rooms_now() else FIRST_WAIT_SECONDS
    if not patience or slots(rooms_now(), cpus, asked_gpus) >= wanted:
        yield
        return
    bundle = {"CPU": cpus, **({"GPU": asked_gpus} if asked_gpus else {})}
    _ask_for([bundle] * wanted)
    try:
        _wait(wanted, cpus, asked_gpus, min(patience, seconds_left), console)
        yield
    finally:
        _ask_for([])


def rooms_now() -> list[Room]:
    """What the nodes that are up have for trials."""
    resources = [node["Resources"] for node in alive_nodes()]
    return [Room(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in resources]


def _wait(wanted: int, cpus: int, gpus: float, patience: float, console: Console) -> None:
    what = f"{wanted} trial{'s' * (wanted > 1)} with {cpus} core{'s' * (cpus > 1)} and {gpus:g} GPUs each"
    began, said = time.monotonic(), -SAY_SECONDS
    while slots(rooms_now(), cpus, gpus) < wanted:
        waited = time.monotonic() - began
        if waited >= patience:
            raise UserError(
                f"no nodes with room for {what} have come in {waited:.0f} s: {in_words(rooms_now())}. Does the cluster "
                "add nodes by itself, and of this kind? Join one by ray start --address, wait longer by "
                "--wait-for-nodes 30m, or ask for less by --cpus-per-trial, --gpus-per-trial or --concurrency"
            )
        if waited - said >= SAY_SECONDS:
            said = waited
            say(console, f"Waiting for nodes with room for {what}, {patience - waited:.0f} s at most")
        doing(console, f"waiting for nodes with room for {what}")
        time.sleep(LOOK_SECONDS)


def _ask_for(bundles: list[dict[str, float]]) -> None:
    """Tells the cluster's own scaling what is wanted; a cluster without any does not hear it."""
    try:
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=bundles)
    except Exception as error:  # an installation of Ray without it, or a cluster that ends
        _logger.warning("The cluster could not be asked for nodes: %s", error)
