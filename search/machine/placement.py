"""How many trials run at a time and what each has: of this machine, or of the nodes of a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.flags import MachineFlags
from trainables.errors import UserError

MOST_ON_CPU = 4
"""Trials at the same time on this machine without a GPU, unless more are asked for."""
MOST_ON_GPU = 4
"""Trials that share a GPU, unless more are asked for: its processes take turns, and each has a context of its own."""


@dataclass(frozen=True)
class Room:
    """What a node of a cluster has for trials."""

    num_cpus: int
    num_gpus: int = 0
    most_trials: int | None = None
    """How many its memory has room for; None where that is not known."""
    hardware: str = ""
    """Its processor and GPUs in words."""


@dataclass(frozen=True)
class Share:
    """How many trials run at a time, and what each has."""

    concurrency: int
    cpus: int
    gpus: float


def share_on_nodes(
    flags: MachineFlags, rooms: Sequence[Room], num_trials: int | None = None, trials_that_fit: int | None = None
) -> Share:
    """How the nodes of a cluster are shared out: no trial spans two of them.

    A trial with a GPU has as many cores as leave no GPU idle, of the nodes that have GPUs. One without has one core
    unless more are asked for, so that it gives the same numbers on every cluster, and on this machine where two
    trials have a core each. Fewer trials at a time than there is room for share out the cores.

    Args:
        flags: As asked for.
        rooms: What each node has.
        num_trials: Trials there shall be; None where that was left open.
        trials_that_fit: That have room in the memory of one GPU; None where that is not known.

    Raises:
        UserError: Nothing of the kind fits on any node, or not so often; says what the nodes have.
    """
    gpus = _gpus_on_nodes(flags, rooms, trials_that_fit)
    cpus = flags.cpus_per_trial or 1
    most = slots(rooms, cpus, gpus)
    if not most:
        raise UserError(
            f"a trial with {_cores(cpus)} and {gpus:g} GPU{'s' * (gpus != 1)} fits on no node: {in_words(rooms)}. Give "
            "a smaller --cpus-per-trial or --gpus-per-trial, add such a node, or give --wait-for-nodes 10m if the "
            "cluster adds it when it is asked to"
        )
    if flags.concurrency != "auto" and flags.concurrency > most:
        raise UserError(
            f"--concurrency {flags.concurrency} with {_cores(cpus)} and {gpus:g} GPUs a trial: the nodes have room for "
            f"{most} at a time, {in_words(rooms)}"
        )
    concurrency = min(most, num_trials or most) if flags.concurrency == "auto" else flags.concurrency
    if flags.cpus_per_trial is None and (gpus or flags.concurrency != "auto"):
        wanted = most if flags.concurrency == "auto" else concurrency
        cpus = _most_cpus(rooms, lambda count: slots(rooms, count, gpus) >= wanted)
    return Share(concurrency, cpus, gpus)


def slots(rooms: Sequence[Room], cpus: int, gpus: float) -> int:
    """How many trials with so many cores and GPUs have room on these nodes at the same time."""
    return sum(_slots(room, cpus, gpus) for room in rooms)


def kinds_of(rooms: Sequence[Room], share: Share) -> dict[str, int]:
    """The kinds of machines that trials run on: hardware in words to the number of trials at a time there."""
    kinds: Counter[str] = Counter()
    for room in rooms:
        if room.hardware and (count := _slots(room, share.cpus, share.gpus)):
            kinds[room.hardware] += count
    return dict(kinds)


def in_words(rooms: Sequence[Room]) -> str:
    """What the nodes have, equal ones counted, as in `2 nodes have 64 cores; 1 has 8 cores and 4 GPUs`."""
    kinds = Counter((room.num_cpus, room.num_gpus) for room in rooms)
    if not kinds:
        return "no node has cores to give"
    parts = []
    for (cores, gpus), count in sorted(kinds.items(), reverse=True):
        has = f"{_cores(cores)} and {gpus} GPU{'s' * (gpus != 1)}"
        parts.append(f"{count} node{'s' * (count > 1)} {'have' if count > 1 else 'has'} {has}")
    return "; ".join(parts[:5]) + "; ..." * (len(parts) > 5)


def _slots(room: Room, cpus: int, gpus: float) -> int:
    most = room.num_cpus // cpus
    if gpus >= 1:
        most = min(most, int(room.num_gpus / gpus))
    elif gpus:  # a trial is on one GPU
        most = min(most, room.num_gpus * int(1 / gpus))
    elif room.most_trials is not None:
        most = min(most, room.most_trials)
    return most


def _gpus_on_nodes(flags: MachineFlags, rooms: Sequence[Room], trials_that_fit: int | None) -> float:
    with_gpus = [room for room in rooms if room.num_gpus]
    num_cpus, num_gpus = (sum(getattr(room, name) for room in with_gpus) for name in ("num_cpus", "num_gpus"))
    return _gpus_per_trial(flags, num_cpus, num_gpus, trials_that_fit)


def _most_cpus(rooms: Sequence[Room], enough: Callable[[int], bool]) -> int:
    """The largest number of cores with which there is still room enough; there is with one."""
    return max(count for count in range(1, max(room.num_cpus for room in rooms) + 1) if enough(count))


def _cores(count: int) -> str:
    return f"{count} core{'s' * (count != 1)}"


def share_of_machine(flags: MachineFlags, num_cpus: int, num_gpus: int, trials_that_fit: int | None) -> Share:
    """How the cores and GPUs of this machine are shared out; `AskedStudy.settle` says the arguments.

    Raises:
        UserError: More is asked for than there is.
    """
    gpus = _gpus_per_trial(flags, num_cpus, num_gpus, trials_that_fit)
    if gpus > num_gpus:
        raise UserError(f"--gpus-per-trial {gpus:g}: this machine has {num_gpus} GPUs: give no more")
    if flags.cpus_per_trial is not None and flags.cpus_per_trial > num_cpus:
        raise UserError(f"--cpus-per-trial {flags.cpus_per_trial}: this machine has {_cores(num_cpus)}: give no more")
    if not gpus:
        most = min(MOST_ON_CPU, num_cpus, trials_that_fit or MOST_ON_CPU)
    elif gpus < 1:  # a trial is on one GPU
        most = num_gpus * int(1 / gpus)
    else:
        most = int(num_gpus / gpus)
    most = max(1, min(most, num_cpus // (flags.cpus_per_trial or 1)))
    concurrency = most if flags.concurrency == "auto" else flags.concurrency
    cpus = flags.cpus_per_trial or max(1, num_cpus // concurrency)
    if concurrency * cpus > num_cpus or concurrency * gpus > num_gpus:
        raise UserError(
            f"--concurrency {concurrency} with {cpus} cores and {gpus:g} GPUs a trial needs more than the {num_cpus} "
            f"cores and {num_gpus} GPUs here"
        )
    return Share(concurrency, cpus, gpus)


def _gpus_per_trial(flags: MachineFlags, num_cpus: int, num_gpus: int, trials_that_fit: int | None) -> float:
    """As asked for; by default one where there is one, and with auto as many trials a GPU as fit and have cores."""
    if flags.gpus_per_trial is None or not num_gpus:
        return float(num_gpus > 0) if flags.gpus_per_trial in (None, "auto") else float(flags.gpus_per_trial)
    if flags.gpus_per_trial != "auto":
        return float(flags.gpus_per_trial)
    cores = num_cpus // (flags.cpus_per_trial or 1) // num_gpus
    if flags.concurrency == "auto":
        return 1 / max(1, min(MOST_ON_GPU, trials_that_fit or 1, cores))
    asked = -(-flags.concurrency // num_gpus)
    return 1 / max(1, min(MOST_ON_GPU, trials_that_fit or asked, cores, asked))
