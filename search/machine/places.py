"""Where Ray may place each trial, and whose fault it was that one could not go on: the trial's, or its node's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ray.exceptions import ActorUnavailableError, RayActorError
from ray.tune import Callback, PlacementGroupFactory

from search.machine.placement import slots
from search.machine.ray_shortcuts import error_of
from search.machine.roster import Roster
from search.stop import StopRequest
from search.study import SettledStudy
from trainables.classifier import split_params
from trainables.errors import NodeFaultError

NODE_DIED = re.compile(
    r"node (?:[0-9a-f]+ )?(?:has |was |is )?(?:died|dead|terminated|drained|preempted)", re.IGNORECASE
)
"""In Ray's words about a worker that has gone with its node."""


class Places:
    """Between Ray Tune's scheduler and the roster of nodes."""

    def __init__(
        self,
        roster: Roster,
        study: SettledStudy,
        stop: StopRequest,
        hand_out_again: Callable[[str], None],
        note: Callable[..., None],
    ) -> None:
        """Places nothing yet.

        Args:
            roster: Knows the nodes.
            study: What each trial has of one.
            stop: Told when no node is left.
            hand_out_again: Told Ray's name of a trial that Ray gives up, though it is no fault of the trial.
            note: Writes an event of a trial: its name, what happened, the reason, and more by name.
        """
        self._roster = roster
        self._study = study
        self._stop = stop
        self._hand_out_again = hand_out_again
        self._note = note

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles the scheduler for a restore of its own, and a run is resumed from its logs."""
        return {}

    def place(self, trial: Any) -> None:
        """Keeps a trial that is to begin off nodes that may not have it; on one machine there is nothing to choose."""
        if self._study.one_machine:
            return
        bundle = {"CPU": self._study.cpus_per_trial, "GPU": self._study.gpus_per_trial}
        selector = self._roster.selector(split_params(trial.config)[1])
        more: dict[str, Any] = {"bundle_label_selector": [selector]} if selector else {}
        trial.update_resources(PlacementGroupFactory([bundle], **more))

    def note_epoch(self) -> None:
        """Takes in that a trial has trained an epoch."""
        self._roster.has_trained = True

    def note_error(self, trial: Any) -> None:
        """Takes in what ended a trial's process, which Ray has just written down."""
        error = error_of(trial)
        fault = getattr(error, "cause", error)
        trial_id = split_params(trial.config)[1]
        if isinstance(fault, NodeFaultError):
            self._note(trial_id, "node_fault", fault.reason, node=fault.node)
            hopeless = self._roster.note_fault(trial_id, fault.node_id, fault.node, fault.reason)
            if hopeless is not None:
                self._stop.ask(hopeless)
        elif isinstance(error, ActorUnavailableError) or (
            isinstance(error, RayActorError) and NODE_DIED.search(str(error))
        ):
            self._note(trial_id, "node_lost", "the node that it was on does not answer any more")
        else:
            return
        if not trial.should_recover():
            self._hand_out_again(trial.trial_id)


class NodeWatch(Callback):
    """Ray Tune's callback that follows the nodes of a cluster: who joins takes trials, too."""

    def __init__(self, roster: Roster, study: SettledStudy, limited: Any, say: Callable[[str], None]) -> None:
        """Watches from the first step on.

        Args:
            roster: Knows the nodes.
            study: What each trial has of one.
            limited: Ray's limit of trials at a time, which follows the nodes if that was left open.
            say: Prints a line.
        """
        self._roster = roster
        self._study = study
        self._limited = limited
        self._say = say

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks for a restore of its own, and a run is resumed from its logs."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Looks at the nodes every few seconds."""
        if not self._roster.watch() or not self._study.concurrency_open:
            return
        room = slots(self._roster.rooms(), self._study.cpus_per_trial, self._study.gpus_per_trial)
        if room and room != self._limited.max_concurrent:
            self._limited.max_concurrent = room
            self._say(f"The nodes have room for {room} trial{'s' * (room > 1)} at a time now")

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Looks no more."""
        self._roster.close()
