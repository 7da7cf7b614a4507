"""The nodes of a cluster while a search runs: which take trials, which are left out, which are at fault, who is new."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from search.machine.placement import Room
from search.machine.preflight import (
    ANSWER_SECONDS,
    NodeFacts,
    alive_nodes,
    ask,
    facts_from,
    look_at_nodes,
    marked,
    without_answer,
)
from trainables.errors import UserError

MAX_FAULTS = 2
"""Faults of a node after which no trial is placed on it any more."""
HOPELESS_NODES = 5
"""Nodes at fault, before any trial has trained an epoch, after which the fault is not taken for theirs."""
LOOK_SECONDS = 5.0
"""Between two looks at which nodes there are."""
NODE_ID = "ray.io/node-id"
"""Label that Ray gives each node."""


class Roster:
    """What is known of the nodes; also of this machine alone, which only its faults speak of."""

    def __init__(self, storage: Path, cache: Path, tell: Callable[[str], None]) -> None:
        """Knows no node yet.

        Args:
            storage: Folder of the runs, which nodes are to see.
            cache: Folder of the decoded pictures, which they are to see.
            tell: Prints a line for people.
        """
        self._storage = storage
        self._cache = cache
        self._weights: Collection[str] = ()
        self._tell = tell
        self._facts: dict[str, NodeFacts] = {}
        self._left_out: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()
        self._faults: Counter[str] = Counter()
        self._met: dict[str, set[str]] = {}
        self._asked: dict[Any, Mapping[str, Any]] = {}
        self._asked_at = self._looked = -LOOK_SECONDS
        self._marks = ExitStack()
        self._usable: list[str] = []
        self.trials_in: Callable[[NodeFacts], int | None] = lambda _: None
        """How many trials have room in the memory of a node; None where that is not known."""
        self.has_trained = False
        """Whether a trial has trained an epoch on any node."""

    @property
    def usable(self) -> tuple[NodeFacts, ...]:
        """The nodes that trials may be placed on."""
        return tuple(
            facts for name, facts in self._facts.items() if name not in self._left_out and name not in self.avoided
        )

    @property
    def avoided(self) -> frozenset[str]:
        """Ray's names of nodes that were at fault too often."""
        return frozenset(name for name, count in self._faults.items() if count >= MAX_FAULTS)

    def look(self, weights: Collection[str] = ()) -> None:
        """Asks all nodes, and says which are left out and why; asked again, with more to look for.

        Args:
            weights: Files that trials start from.

        Raises:
            UserError: No node can run trials; says why.
        """
        self._weights = weights
        found = look_at_nodes(self._storage, self._cache, weights)
        self._facts, self._left_out = {}, {}
        for facts in found:
            self._take(facts)
        self.refuse_none()

    def refuse_none(self) -> None:
        """Raises a `UserError` if there are nodes, and none of them can run trials; says why."""
        out = [facts for facts in self._facts.values() if facts.node_id in self._left_out]
        if out and not self.usable:
            raise UserError(
                "no node of the cluster can run trials: "
                + "; ".join(f"{facts.name} {self._left_out[facts.node_id]}" for facts in out[:3])
                + "; ..." * (len(out) > 3)
                + f". {_WAY_OUT}"
            )
        self._usable = [facts.node_id for facts in self.usable]

    def leave_out(self, facts: NodeFacts, why: str) -> None:
        """Places no trial on a node any more, and says so.

        Args:
            facts: Of the node.
            why: As a predicate.
        """
        self._left_out[facts.node_id] = why
        if (facts.node_id, why) not in self._told:
            self._told.add((facts.node_id, why))
            self._tell(f"node {facts.name} is left out: it {why}")

    def rooms(self) -> tuple[Room, ...]:
        """What the usable nodes have for trials."""
        return tuple(
            Room(facts.num_cpus, facts.num_gpus, self.trials_in(facts), facts.hardware) for facts in self.usable
        )

    def watch(self) -> bool:
        """Looks, every few seconds, who has joined or left; who is new is asked first, without waiting for it.

        Returns:
            Whether the usable nodes have changed since the last look, also because one is avoided now.
        """
        import ray

        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        alive = {node["NodeID"]: node for node in alive_nodes()}
        for name in self._facts.keys() - alive.keys():
            self._tell(f"node {self._facts.pop(name).name} has left the cluster")
            self._left_out.pop(name, None)
        if self._asked:
            ready, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
            for reference in ready:
                self._take(facts_from(self._asked.pop(reference), reference), joined=True)
            if self._asked and now - self._asked_at > ANSWER_SECONDS:
                for node in self._asked.values():
                    self._take(without_answer(node, f"it has not answered within {ANSWER_SECONDS:.0f} s"))
                self._asked = {}
        elif new := [node for name, node in alive.items() if name not in self._facts]:
            self._asked_at = now
            marks = self._marks.enter_context(marked(storage=self._storage, cache=self._cache))
            self._asked = {ask(node, marks, self._weights, self._cache): node for node in new}
        if not self._asked:
            self._marks.close()
        before, self._usable = self._usable, [facts.node_id for facts in self.usable]
        return self._usable != before

    def close(self) -> None:
        """Looks no more."""
        self._marks.close()

    def selector(self, trial_id: str) -> dict[str, str]:
        """Where Ray may place a trial, by the labels of nodes; empty for anywhere.

        Not where a trial of it has met with a fault already, unless there is no other node.
        """
        shut = {*self._left_out, *self.avoided, *(node["NodeID"] for node in self._asked.values())}
        met = self._met.get(trial_id, set())
        if any(facts.node_id not in met for facts in self.usable):
            shut |= met
        return {NODE_ID: f"!in({','.join(sorted(shut))})"} if shut else {}

    def note_fault(self, trial_id: str, node_id: str, name: str, reason: str) -> str | None:
        """Takes in that a trial could not go on because of the node it was on.

        Returns:
            Why the search cannot go on, or None.
        """
        self._faults[node_id] += 1
        self._met.setdefault(trial_id, set()).add(node_id)
        said = f"trial {trial_id}: node {name} is at fault, not the trial, which goes on: {reason}"
        if self._faults[node_id] == MAX_FAULTS:
            said += f". That was fault {MAX_FAULTS} of this node: it gets no trial any more"
        self._tell(said)
        others = [facts for facts in self.usable if facts.node_id != node_id]
        if node_id in self.avoided and not others:
            return f"no node is left to run trials on, {name} was the last: {reason}"
        if len(self.avoided) >= HOPELESS_NODES and not self.has_trained:
            return f"{len(self.avoided)} nodes are at fault before any trial has trained an epoch: {reason}"
        return None

    def _take(self, facts: NodeFacts, *, joined: bool = False) -> None:
        self._facts[facts.node_id] = facts
        why = left_out(facts)
        self._left_out.pop(facts.node_id, None)
        if why:
            self.leave_out(facts, why)
            return
        if joined:
            self._tell(f"node {facts.name} has joined: {in_words(facts)}")
        unseen = not_seen(facts)
        if unseen and (facts.node_id, unseen) not in self._told:
            self._told.add((facts.node_id, unseen))
            self._tell(
                f"node {facts.name} does not see {unseen}: what trials read is sent there and what they write comes "
                "back. With a disk that all nodes share, give a folder on it (docs/storage.md)"
            )


def left_out(facts: NodeFacts) -> str:
    """Why no trial may run on a node, as a predicate; empty if one may."""
    if facts.fault:
        return f"did not say what it is like ({facts.fault})"
    if facts.other_versions:
        return f"has other versions, with which trials would give other numbers: {facts.other_versions}"
    return ""


def not_seen(facts: NodeFacts) -> str:
    """Which of the driver's folders a node does not see; empty if it sees all that it was asked for."""
    flags = (("--storage", facts.sees_storage), ("--cache-dir", facts.sees_cache), ("--weights", facts.sees_weights))
    unseen = [flag for flag, sees in flags if not sees]
    return f"the folder{'s' * (len(unseen) > 1)} of {' and '.join(unseen)}" if unseen else ""


def in_words(facts: NodeFacts) -> str:
    """What a node has for trials."""
    gpus = f" and {facts.num_gpus} GPU{'s' * (facts.num_gpus > 1)}" if facts.num_gpus else ""
    return f"{facts.num_cpus} core{'s' * (facts.num_cpus > 1)}{gpus} for trials, {facts.hardware}"


_WAY_OUT = "Give every node the same environment and room on its disk: docs/storage.md"
