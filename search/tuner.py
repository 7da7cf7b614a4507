"""Ray Tune put together: our trainable, our searcher, our scheduler, one process a trial at a time."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.trainable import wrap_function

from results.records.run_folder import RunFolder
from results.records.trials import TIME_BUDGET, TrialHistory
from search.callbacks.watchdog import StuckError
from search.engine.scheduler import RungScheduler, trial_name
from search.lengths import PacedLength
from search.machine.free_memory import device_memory
from search.machine.places import Places
from search.machine.ray_shortcuts import shortcuts
from search.stop import SHORTEST_EPOCH, StopRequest
from search.study import SettledStudy
from trainables.classifier import train_trial, wait_until_written
from trainables.config import TaskConfig
from trainables.report import METRIC, MODE, EpochReport, Failure, NotBegun, outcome_of
from trainables.supply.line import SupplyLine

MAX_WORKER_DEATHS = 3
"""How often a trial goes on from its checkpoint after its process or node died."""


MAX_LOSSES = 20
"""How often a trial is handed out again that Ray could not begin; as many in a row speak of the machine."""


SPARE_SAMPLES = 10_000
"""More trials than are ever handed out again."""


LATEST_EPOCHS = 5
"""Of a trial, by which it is told how long one takes."""


FIRST_EPOCHS = 5
"""Latest trials by which it is told how long one takes from its proposal to its first report."""


class Proposer(Protocol):
    """What knows the configurations: by the names that trials have in their run."""

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The configuration of this trial."""

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Takes in an epoch."""

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None, error: bool, reason: str | None, is_done: bool = False
    ) -> None:
        """Takes in the end of a trial, which may be done before its full length."""


def trial_ids(earlier: Sequence[TrialHistory], num_trials: int) -> list[str]:
    """Names of the trials that a search still owes: interrupted ones first, then new ones, 00000, 00001, ..."""
    waiting = [trial.trial_id for trial in earlier if not trial.status.is_over][:num_trials]
    first = max((int(trial.trial_id) + 1 for trial in earlier), default=0)
    return waiting + [f"{first + number:05d}" for number in range(num_trials - len(waiting))]


class NamedSearcher(Searcher):
    """What Ray Tune talks to: gives trials the names they have in their run, and ends when asked to.

    It counts the trials itself. Ray gives up a trial whose worker dies before it has begun, for one with the
    actor of the trial before it; such a trial is handed out again. So is one that `note_lost` names.
    """

    def __init__(self, inner: Proposer, stop: StopRequest, trial_ids: Sequence[str], *, cuts: bool = False) -> None:
        """Takes the trials.

        Args:
            inner: Knows their configurations.
            stop: Asked before each.
            trial_ids: Their names, in the order in which they begin.
            cuts: Whether one is begun that has time for `SHORTEST_EPOCH` alone: it goes on from what others have
                trained, and a part of an epoch is worth something to it.
        """
        super().__init__(metric=METRIC, mode=MODE)
        self._least_share = SHORTEST_EPOCH if cuts else 1.0
        self._inner = inner
        self._stop = stop
        self._trial_ids: dict[str, str] = {}
        self._waiting = list(trial_ids)
        self._live: set[str] = set()
        self._reported: set[str] = set()
        self._deaths: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._lost: set[str] = set()
        self._began: dict[str, float] = {}
        self._first_epochs: deque[float] = deque(maxlen=FIRST_EPOCHS)
        self.handed_out_again: set[str] = set()
        """Ray's names of trials that never began, and whose configuration goes to another."""

    @property
    def live(self) -> Set[str]:
        """Ray's names of the trials that are out."""
        return self._live

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        """The next configuration with its trial_id; FINISHED once the search shall end or has no time for an epoch.

        None, which makes Ray ask again, while a trial that is out may still have to be handed out again.
        """
        if self._stop.reason is not None:
            return Searcher.FINISHED
        if not self._waiting:
            return None if self._live else Searcher.FINISHED
        if self._first_epochs and not self._stop.has_time_for(self._least_share * median(self._first_epochs)):
            return Searcher.FINISHED
        ours = self._waiting.pop(0)
        self._began[trial_id] = time.monotonic()
        self._trial_ids[trial_id] = ours
        self._live.add(trial_id)
        return {**self._inner.suggest(ours), "trial_id": ours}

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Passes an epoch on."""
        self._note_report(trial_id)
        self._inner.on_trial_result(self._trial_ids[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Passes the end of a trial on; one that only ended with the search goes on when the run is resumed."""
        ours = self._trial_ids[trial_id]
        self._live.discard(trial_id)
        if result:  # which is the only one if the trial had a single epoch
            self._note_report(trial_id)
        if trial_id in self._lost:
            self._hand_out_again(trial_id)
            self._losses[ours] += 1
            if self._losses[ours] >= MAX_LOSSES:
                self._stop.ask(f"Ray could not begin the trial {ours} in {MAX_LOSSES} attempts")
        elif error and trial_id not in self._reported and self._deaths[ours] < MAX_WORKER_DEATHS:
            self._deaths[ours] += 1
            self._hand_out_again(trial_id)
        elif ours not in self._stop.ended:
            # What Ray passes of a trial that never reported has no metric.
            outcome = outcome_of(result) if result and METRIC in result else None
            if isinstance(outcome, Failure):
                self._inner.on_trial_complete(ours, None, True, outcome.reason)
            else:
                self._inner.on_trial_complete(ours, result, error, None, ours in self._stop.past_their_best)

    def note_lost(self, trial_id: str) -> None:
        """Says that the next end of this trial is Ray's fault (`LostTrials`): it is handed out again."""
        self._lost.add(trial_id)

    def _hand_out_again(self, trial_id: str) -> None:
        self._waiting.insert(0, self._trial_ids[trial_id])
        self.handed_out_again.add(trial_id)

    def _note_report(self, trial_id: str) -> None:
        if trial_id not in self._reported:
            self._reported.add(trial_id)
            self._first_epochs.append(time.monotonic() - self._began[trial_id])

    def save(self, checkpoint_path: str) -> None:
        """Writes nothing: the run's own logs say everything."""

    def restore(self, checkpoint_path: str) -> None:
        """Reads nothing."""


class StoppableScheduler(FIFOScheduler):
    """ASHA, or nothing, and behind it the request to end: then a trial that might go on ends with its epoch.

    It also says where a trial may be placed, what becomes of one whose node is at fault, whether a trial goes on
    that has come to its full length, and whether one is done before that, as it has long become no better.
    """

    def __init__(
        self,
        inner: RungScheduler | None,
        stop: StopRequest,
        places: Places | None = None,
        length: PacedLength | None = None,
        *,
        cuts: bool = False,
    ) -> None:
        """Takes what decides.

        Args:
            inner: ASHA; None lets all trials train to their end.
            stop: Asked after every epoch.
            places: Of the trials on a cluster.
            length: Says whether a trial goes on that has come to its full length; None if none does.
            cuts: Whether epochs are cut short also where no trial may go on.
        """
        super().__init__()
        self.cuts = cuts or length is not None
        """Whether workers cut short the epoch that the time budget ends in."""
        self._length = length
        self._latest: dict[str, deque[float]] = defaultdict(partial(deque, maxlen=LATEST_EPOCHS))
        """Seconds of each trial's latest epochs."""
        self._inner = inner
        self._stop = stop
        self._places = places

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Places a new trial where no node is known to be at fault."""
        if self._places is not None and trial.status == Trial.PENDING:
            self._places.place(trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Finds out whether the node was at fault that a trial was on; Ray is about to begin it anew, or to give up."""
        if self._places is not None:
            self._places.note_error(trial)
            if trial.status == Trial.ERROR:  # it begins anew
                self._places.place(trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Decides after an epoch whether the trial goes on; a failure is no value and leaves the rungs alone.

        A trial that might go on, but not to its next epoch within the time budget, ends with this one; where epochs
        are cut short, that may be a short one.
        """
        outcome = outcome_of(result)
        if isinstance(outcome, Failure):
            return TrialScheduler.STOP
        if isinstance(outcome, NotBegun):
            self._stop.ended.add(trial_name(trial))
            self._stop.ask(TIME_BUDGET)  # the clock of its node may be ahead of ours
            return TrialScheduler.STOP
        if self._places is not None:
            self._places.note_epoch()
        latest = self._latest[trial_name(trial)]
        is_cut = outcome.report.trained_share < 1  # which was the end: there is no time for another
        latest.append(math.inf if is_cut else outcome.report.seconds - outcome.report.compile_seconds)
        decision = TrialScheduler.CONTINUE
        is_judged = not is_cut or outcome.report.diverged or self._has_its_length(outcome.report)  # else it goes on
        if self._inner is not None and is_judged:
            decision = self._inner.on_trial_result(tune_controller, trial, result)
        is_done = self._is_past_its_best(outcome.report, latest)
        if decision == TrialScheduler.STOP and not is_done and self._goes_on(trial, outcome.report, latest):
            self._stop.going_on.add(trial_name(trial))
            return TrialScheduler.CONTINUE
        if decision == TrialScheduler.CONTINUE and is_done:
            self._stop.past_their_best.add(trial_name(trial))
            return TrialScheduler.STOP
        if decision == TrialScheduler.CONTINUE and not self._has_time(latest[-1]):
            self._stop.ended.add(trial_name(trial))
            return TrialScheduler.STOP
        return decision

    def _has_its_length(self, report: EpochReport) -> bool:
        return self._length is None or report.epoch >= self._length.planned

    def _goes_on(self, trial: Any, report: EpochReport, latest: Sequence[float]) -> bool:
        if self._length is None or not self._has_its_length(report) or report.diverged:
            return False
        backbone, seconds_left = trial.config["backbone"], self._stop.seconds_left
        goes_on = self._length.goes_on(backbone, report.epoch, median(latest), seconds_left)
        return goes_on and self._has_time(latest[-1])

    def _is_past_its_best(self, report: EpochReport, latest: Sequence[float]) -> bool:
        if self._length is None or self._stop.reason is not None:
            return False
        seconds_left = self._stop.seconds_left
        return self._length.is_past_its_best(report.epoch, report.highest_epoch, median(latest), seconds_left)

    def _has_time(self, an_epoch: float) -> bool:
        least = SHORTEST_EPOCH * an_epoch if self.cuts else an_epoch
        return self._stop.reason is None and self._stop.has_time_for(least)


def build_tuner(
    task: TaskConfig,
    study: SettledStudy,
    *,
    run_dir: Path,
    num_trials: int,
    searcher: ConcurrencyLimiter,
    scheduler: RungScheduler | None,
    stop: StopRequest,
    callbacks: Sequence[tune.Callback],
    trainable: Callable[..., None] = train_trial,
    line: SupplyLine | None = None,
    places: Places | None = None,
    name_of: Callable[[Any], str] | None = None,
    length: PacedLength | None = None,
    cuts: bool = False,
) -> tune.Tuner:
    """The Tuner of a settled study that trains `num_trials` trials more, interrupted ones among them.

    Where trials may go on beyond the epochs of the task (`length`), the scheduler decides when they end, and the
    workers know a later end. Then, or where it is asked for (`cuts`), they cut short the epoch that the time budget
    ends in. The searcher limits how many run at a time: Ray's own limit would stand between it and `LostTrials`.

    `line` is for nodes of a cluster that do not see the run's folder. `trainable` takes the place of training where
    only what is around it is looked at (scripts/benchmarks/scale.py), and
    `name_of` says what Ray calls a trial towards callbacks of its own.
    """
    more: dict[str, Any] = {} if line is None else {"line": line}
    if length is not None:
        task = replace(task, epochs=length.end)
    decides = StoppableScheduler(scheduler, stop, places, length, cuts=cuts)
    if decides.cuts:
        more["cuts"] = True
    if study.gpus_per_trial:
        more["free_before"] = device_memory(study)
    shared = {"task": task, "gpu_share": study.gpus_per_trial, "ends_at": stop.ends_at, **more}
    given = tune.with_parameters(trainable, **shared)
    sized = tune.with_resources(given, {"cpu": study.cpus_per_trial, "gpu": study.gpus_per_trial})
    return tune.Tuner(
        named_after(run_dir.name, sized),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=decides,
            num_samples=num_trials + SPARE_SAMPLES,  # the searcher says when all are done
            reuse_actors=True,
            trial_name_creator=name_of,
        ),
        run_config=tune.RunConfig(
            name=RunFolder(run_dir).ray.name,
            storage_path=str(run_dir),
            verbose=0,
            callbacks=list(callbacks),
            failure_config=tune.FailureConfig(max_failures=MAX_WORKER_DEATHS),
        ),
    )


def named_after(run: str, trainable: Callable[..., None]) -> type:
    """The class of the processes that trials run in, by the names that Ray shows: the run's, and the first trial's.

    A process goes on with other trials; which one it is at is in the events of the run.
    """

    def shown(self: Any) -> str:
        return f"{run} from trial {self.config['trial_id']} on" if "trial_id" in (self.config or {}) else run

    def cleanup(self: Any) -> None:
        try:
            base.cleanup(self)  # which tells the trial
        finally:
            wait_until_written()

    base = wrap_function(trainable)
    return type(run.replace(".", "_"), (base,), {"__doc__": base.__doc__, "__repr__": shown, "cleanup": cleanup})


def fit(tuner: tune.Tuner, stop: StopRequest, *, one_node: bool) -> None:
    """Runs the trials; what ends them early is the reason of `stop`, and what was done by then stays done.

    Args:
        tuner: As `build_tuner` makes it.
        stop: Takes the reason.
        one_node: Whether all trials run on one machine.
    """
    try:
        with shortcuts(one_node=one_node):
            tuner.fit()
    except KeyboardInterrupt:  # Ctrl-C for the second time
        stop.ask("Ctrl-C")
    except StuckError:  # its reason is that of `stop` already
        pass
    except Exception as error:  # of Ray or of the driver: as much is saved as if it had been a kill
        stop.note_crash(error)
