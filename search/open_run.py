"""A run that trials can be trained in, and what one that begins and one that goes on need alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from results.records.record import SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory, num_over
from search.flags import SearchFlags
from search.machine.memory_needs import BackboneFacts
from search.machine.preflight import NodeFacts
from search.machine.ray_session import RaySession
from search.study import AskedStudy, SettledStudy
from spaces import Space, get_space


@dataclass(frozen=True, kw_only=True)
class OpenRun:
    """A run that trials can be trained in: new, or gone on with. Held by this process."""

    run: SearchRun
    folder: RunFolder
    study: SettledStudy
    space: Space
    """Narrowed to the backbones of the run."""
    facts: BackboneFacts
    """Of the backbones, computed once."""
    earlier: tuple[TrialHistory, ...] = ()
    """Trials of earlier starts, in the order of their proposal."""
    warnings: Sequence[str] = ()
    """What the user should know of the pictures."""
    single_core_trials: int | None = None
    """As in `connect`."""
    refit_seconds: float = 0.0
    """Of the time budget, for the model to be trained on at last."""

    @property
    def num_left(self) -> int:
        """Trials that are still to be trained."""
        return self.run.trials_asked - num_over(self.earlier)


def space_of_run(run: SearchRun, asked: SearchFlags | SettledStudy) -> Space:
    """The space that a run searches: narrowed to its backbones, without what would say nothing on its weights."""
    pretrained = bool(run.task.weights)
    return get_space(asked.space, list(run.weights), asked.formulations, flips=asked.flips, pretrained=pretrained)


def settle_on(
    asked: AskedStudy,
    session: RaySession,
    space: Space,
    *,
    trials_that_fit: int | None = None,
    trials_in: Callable[[NodeFacts], int | None] | None = None,
) -> SettledStudy:
    """`AskedStudy.settle` on what the session has, where `trials_in` knows the memory of a cluster's nodes."""
    cluster = session.cluster
    return asked.settle(
        cluster.num_cpus,
        cluster.num_gpus,
        rooms=session.rooms(trials_in),
        num_configs=space.num_configs,
        trials_that_fit=trials_that_fit,
    )


def workers_to_come(asked: AskedStudy, study: SettledStudy, session: RaySession) -> int | None:
    """How many trials with one core each will run; None where that may still change, or they have more cores.

    The memory of the largest trial may lower a number that was left open, but not below one.
    """
    known = asked.machine.concurrency != "auto" or study.concurrency == session.cluster.num_cpus
    return study.concurrency if known and study.cpus_per_trial == 1 else None
