"""The best trial of a run, at its best epoch and not its last, and how long the run took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from results.records.cost import search_cost
from results.records.front import answering_record
from results.records.record import TRIAL_ENDS, BestTrial
from results.records.run_folder import Line, RunFolder, load_run
from results.records.trials import TrialHistory, is_mark, score_of, statuses_of, trials_of, used_its_time
from trainables.report import TrialStatus

PAUSE_SECONDS = 600.0
"""A stretch this long in which nothing was reported and no epoch ran lies between a kill and a resume, not in
the search; decoding or loading weights in between takes less."""


def best_trial(run_dir: Path) -> BestTrial | None:
    """The best trial of a run at its best epoch: that whose best epoch has the highest score, the first of equals.

    A trial that failed, by diverging say, does not count, whatever it had reached before.

    Returns:
        The record, without the paths of this machine; None if no epoch of the run has a finite score.

    Raises:
        RunError: There is no such run, or a line of it is corrupt.
        RecordError: `run.json` is corrupt.
    """
    run = load_run(run_dir).portable()
    folder = RunFolder(run_dir)
    epochs, events = folder.epochs(), folder.events()
    trials = trials_of(epochs, events)
    scored = [
        (trial, best) for trial in trials if trial.status != TrialStatus.FAILED and (best := trial.best) is not None
    ]
    if not scored:
        return None
    trial, report = max(scored, key=lambda pair: score_of(pair[1]))
    cost = search_cost(run, trials)
    return BestTrial(
        run=run.name,
        space=run.space,
        date=run.started,
        trial_id=trial.trial_id,
        config=trial.config,
        report=report,
        epochs_trained=trial.reports[-1].epoch,
        task=run.task,
        data=run.data,
        split_hash=run.split_hash,
        weights=run.weights.get(trial.config.backbone, "random"),
        weights_note=run.weights_note,
        history=run.history,
        trials=_counts(None if run.trials_open and used_its_time(run, events) else run.trials_asked, trials, events),
        wall_seconds=seconds_at_work(run.started, epochs, events),
        device_seconds=cost.device_seconds,
        seed=run.task.seed,
        versions=run.versions,
        commit=run.commit,
        hardware=trial.hardware or run.hardware,
        search_epochs=cost.epochs,
        epochs_saved=cost.epochs_saved,
        images_trained=cost.images_trained,
        energy_joules=cost.energy_joules,
        compile_seconds=cost.compile_seconds,
        node=trial.node or None,
        nodes=nodes_of(trials) or None,
        answering=answering_record(run, trials, trial.trial_id),
    )


def nodes_of(trials: Sequence[TrialHistory]) -> dict[str, dict[str, Any]]:
    """The machines that trials were on, by name: each with its hardware and the number of its trials."""
    counts = Counter((trial.node, trial.hardware) for trial in trials if trial.node)
    return {node: {"hardware": hardware, "trials": count} for (node, hardware), count in sorted(counts.items())}


def wall_seconds(folder: Path, names: Collection[str]) -> float:
    """Seconds from the first event of some trials of a folder to their last report, without long pauses."""
    run = RunFolder(folder)
    epochs, events = ([line for line in lines if line.trial_id in names] for lines in (run.epochs(), run.events()))
    return seconds_at_work(min(event.time for event in events).isoformat(), epochs, events) if events else 0.0


def _counts(asked: int | None, trials: Sequence[TrialHistory], events: Sequence[Line]) -> dict[str, int]:
    """How many trials there are in each state that is an end; those that no line gives a configuration of count too.

    Args:
        asked: How many there were to be; None where as many were to be as the time had room for.
        trials: Those with a configuration.
        events: Of the run.
    """
    status = {trial_id: status for trial_id, (status, _) in statuses_of((), events).items()}
    status |= {trial.trial_id: trial.status for trial in trials}
    by_status = Counter(status.values())
    return {
        "asked": len(status) if asked is None else asked,
        **{str(end): by_status[end] for end in TRIAL_ENDS},
        "total": len(status),
    }


def seconds_at_work(started: str, epochs: Sequence[Line], events: Sequence[Line]) -> float:
    """Seconds from the start to the last report, less the pauses of `PAUSE_SECONDS` and more."""
    total, reached = 0.0, datetime.fromisoformat(started).timestamp()
    for end, seconds in sorted(_moments(epochs, events)):
        idle = end - seconds - reached
        if idle >= PAUSE_SECONDS:
            reached += idle
        total += max(0.0, end - reached)
        reached = max(reached, end)
    return round(total, 3)


def _moments(epochs: Sequence[Line], events: Sequence[Line]) -> Iterator[tuple[float, float]]:
    """When something was reported, and how many seconds of work that closed."""
    for line in epochs:
        yield line.time.timestamp(), float(line.values["seconds"] or 0)
    for event in events:
        if not is_mark(event):
            yield event.time.timestamp(), 0.0
