"""Runs trials to their end, whoever asks: a search, a re-training, a study or a benchmark."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.search import ConcurrencyLimiter
from rich.console import Console

from results.records.run_folder import RunFolder
from results.records.trials import CRASHED, DRIVER, TrialHistory
from search.callbacks.lost_trials import LostTrials
from search.callbacks.monitor import build_monitor
from search.callbacks.progress import Progress
from search.callbacks.trackers import shown_name
from search.callbacks.trial_ends import TrialEnds
from search.callbacks.trial_facts import Remember
from search.callbacks.watchdog import Patience, Watchdog
from search.engine.scheduler import RungScheduler
from search.lengths import PacedLength
from search.machine.memory_needs import sharers_of_a_gpu
from search.machine.places import NodeWatch, Places
from search.machine.ray_session import RaySession
from search.machine.roster import Roster
from search.machine.workers import LocalWorkers
from search.stop import StopRequest
from search.study import SettledStudy
from search.terminal import say, say_crash, say_error, warn
from search.tuner import NamedSearcher, Proposer, build_tuner, fit
from trainables.classifier import train_trial
from trainables.config import TaskConfig
from trainables.errors import UserError
from trainables.supply.line import SupplyLine


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Trials to run: which, on what, where, and what is there already."""

    folder: RunFolder
    """Where logs, curves and checkpoints go."""
    task: TaskConfig
    """What the trials share."""
    study: SettledStudy
    """How many run at a time, with how much of the machine."""
    waiting: Sequence[str]
    """trial_id of each trial to run, in their order; one that was interrupted goes on."""
    num_trials: int
    """Trials there shall be in the end."""
    earlier: Sequence[TrialHistory] = ()
    """Trials of earlier starts."""
    keep: int
    """Trials whose best weights stay on disk; those that are not validated come first."""
    cost_of: Callable[[Mapping[str, Any]], float] | None = None
    """What the network of a configuration costs to answer, where that counts beside the score."""
    mean_epochs: float | None = None
    """Epochs that a trial is expected to train in the mean; None for all of the task's."""
    trackers: Sequence[Callback] = ()
    """Who else is told of each epoch: Ray's own callbacks."""
    length: PacedLength | None = None
    """Of a trial that may go on beyond the epochs of the task; None where none may."""
    cuts: bool = False
    """Whether the epoch that the time budget ends in is cut short also where none may go on."""
    single_core_trials: int | None = None
    """As in `connect`: workers that may import what a trial needs before it begins."""


def run_trials(
    work: Workload,
    proposer: Proposer,
    scheduler: RungScheduler | None,
    session: RaySession,
    stop: StopRequest,
    console: Console,
    trainable: Callable[..., None] = train_trial,
    patience: Patience | None = None,
) -> None:
    """Runs trials until all are done or `stop` says why not; what was done by then is in the folder.

    Ray starts here at the latest, and only if a trial is to run.

    Args:
        work: The trials.
        proposer: Knows their configurations.
        scheduler: Stops weak ones; None lets all train to their end.
        session: The machine.
        stop: Asked after every epoch; takes the reason of an early end, a crash of the driver among them.
        console: For the progress.
        trainable: In the place of training, where only what is around it is looked at.
        patience: How long nothing may happen before that is said, or ended.
    """
    searcher = NamedSearcher(proposer, stop, work.waiting, cuts=work.cuts)
    limited = ConcurrencyLimiter(searcher, max_concurrent=work.study.concurrency)
    again = searcher.handed_out_again
    monitor = build_monitor(work.folder, work.task, work.keep, stop, work.earlier, again, work.cost_of)
    progress = Progress(
        console,
        work.num_trials,
        work.task.epochs,
        work.study.concurrency,
        stop,
        work.earlier,
        again,
        mean_epochs=work.mean_epochs,
        checkpoint_dir=Path(work.task.checkpoint_dir),
        metric=work.task.metric,
        fills_its_budget=work.study.fills_its_budget,
    )
    watchdog = Watchdog(partial(warn, console), stop, LocalWorkers() if work.study.one_machine else None, patience)
    callbacks: list[Callback] = [monitor, progress, LostTrials(searcher, limited), watchdog]
    callbacks += work.trackers
    callbacks.append(TrialEnds(session.copy_soon))
    roster = session.roster or Roster(work.folder.path, work.study.cache_path, partial(warn, console))
    places = Places(roster, work.study, stop, searcher.note_lost, work.folder.append_event)
    sharers = sharers_of_a_gpu(work.study)
    callbacks.append(Remember(work.task, work.study.cache_path, one_machine=work.study.one_machine, sharers=sharers))
    if not work.study.one_machine:
        callbacks.append(NodeWatch(roster, work.study, limited, partial(say, console)))
    if work.waiting and stop.reason is None:  # the preparation may have taken the time budget
        try:
            progress.begin()
            session.start(work.single_core_trials)
            is_stub = trainable is not train_trial  # which touches no file
            with nullcontext() if is_stub else _supplied(work, roster, console) as line:
                tuner = build_tuner(
                    work.task,
                    work.study,
                    run_dir=work.folder.path,
                    num_trials=len(work.waiting),
                    searcher=limited,
                    scheduler=scheduler,
                    stop=stop,
                    callbacks=callbacks,
                    trainable=trainable,
                    line=line,
                    places=places,
                    name_of=shown_name if work.trackers else None,
                    length=work.length,
                    cuts=work.cuts,
                )
                fit(tuner, stop, one_node=work.study.one_machine)
        finally:
            progress.close()
            watchdog.close()
            roster.close()
    if stop.crash is not None:
        note_crash(work.folder, stop.crash)
        say_crash(stop.crash)
    monitor.prune()  # a worker may have written its last weights after its trial had ended for the driver
    work.folder.clear_ray()


def _supplied(work: Workload, roster: Roster, console: Console) -> AbstractContextManager[SupplyLine | None]:
    """The way to the driver's disk for nodes of a cluster that do not see it; on one machine there is none."""
    if work.study.one_machine:
        return nullcontext()
    from search.machine.supply import supplied

    return supplied(roster, work.folder.path, work.study.cache_path, work.task, partial(say, console))


@contextmanager
def crashes_noted(folder: RunFolder, way_on: str) -> Iterator[None]:
    """While inside, an exception that is no user's mistake is written into the events of the run before it goes on.

    Args:
        folder: Of the run.
        way_on: The command that goes on with it, which is said.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        note_crash(folder, error)
        fault = "" if isinstance(error, OSError) else "this is a fault of the program. "
        say_error(f"{fault}What was trained is kept; go on with: {way_on}")
        raise


def note_crash(folder: RunFolder, error: BaseException) -> None:
    """Appends the traceback of a driver that crashed to the events of its run."""
    trace = "".join(traceback.format_exception(error))
    with suppress(OSError):  # the disk may be full: what is said next says more
        folder.append_event(DRIVER, CRASHED, f"{type(error).__name__}: {error}", traceback=trace)
