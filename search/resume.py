"""Goes on with a run after whatever ended it; its logs are the one source that everything is rebuilt from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from results.export import is_stale
from results.records.found import found_before
from results.records.record import SearchRun
from results.records.run_folder import RunFolder, load_run
from results.records.trials import TrialHistory, load_trials, num_over
from search.checks import absent_trackers, check_device, refuse_short_budget, refuse_unwritable
from search.flags import PlaceFlags, flag
from search.hold import hold
from search.machine.address import given_address
from search.machine.forecast import refuse_spent_budget
from search.machine.free_memory import device_memory
from search.machine.memory_needs import Sizing, facts_of, most_networks
from search.machine.ray_session import RaySession
from search.open_run import OpenRun, settle_on, space_of_run, workers_to_come
from search.own_parts import use_parts_of_run
from search.prepare import prepare_data
from search.refit_time import seconds_kept_back_again
from search.stop import StopRequest
from search.study import AskedStudy, SettledStudy
from search.terminal import doing, warn
from spaces import space_name
from trainables.data.manifest import DataConfig
from trainables.errors import UserError
from trainables.machine.hardware import device_of_trials
from trainables.networks.weights import files_of_here, refuse_changed_files
from trainables.report import TrialStatus
from trainables.settings import restore

FREE = (
    *("resume", "add_trials", "retry_failed", "time_budget", "storage", "readme", "timezone", "address", "name"),
    *("concurrency", "cpus_per_trial", "gpus_per_trial", "wait_for_nodes", "keep", "single", "no_mirror", "no_refit"),
    *("wandb", "mlflow", "cache_dir"),
)
"""Flags that may differ from those the run was started with: they change nothing about its trials."""
Options = tuple[AskedStudy, DataConfig]


def saved_options(places: PlaceFlags, name: str, *, with_budget: bool = False) -> tuple[AskedStudy, DataConfig]:
    """The settings of a run, ready to go on with.

    Args:
        places: Where runs are.
        name: Of the run.
        with_budget: Whether its time budget holds anew, unless trials were added that were to be done without one.

    Raises:
        RunError: There is no such run.
    """
    places = places.absolute()
    run = load_run(places.runs_dir / name)
    with_budget = with_budget and not run.options.get("add_trials")
    study = AskedStudy.restored(run.options).replace(
        resume=name,
        storage=places.storage,  # where it was found, should the folder of the runs have moved
        trials=run.trials_asked,
        time_budget=run.options.get("time_budget") if with_budget else None,
        add_trials=0,
        retry_failed=False,
        address=given_address(None) or run.options.get("address"),  # a head that died has moved
    )
    return study, restore(DataConfig, run.options)


def with_kept_corrections(data: DataConfig, folder: RunFolder) -> DataConfig:
    """The pictures of a run with its own copy of the corrections that it began with, whose file may be gone."""
    if data.corrections is None or not folder.corrections_csv.is_file():
        return data
    return replace(data, corrections=folder.corrections_csv)


def refuse_contradictions(saved: Options, asked: Options) -> None:
    """Checks flags given with --resume against the settings of the run; the file of a space may have moved.

    Raises:
        UserError: A flag asks for something else; names both values.
    """
    contradictions = [
        f"{flag(name)} {_shown(new)}, the run has {_shown(old)}"
        for (name, old), new in zip(_flags(saved).items(), _flags(asked).values(), strict=True)
        if name not in FREE and old != new and not (name == "space" and space_name(str(old)) == space_name(str(new)))
    ]
    if contradictions:
        raise UserError(
            "a run goes on with its own settings: "
            + "; ".join(contradictions)
            + ". Leave the flags out, or start a new run"
        )


def resume_run(
    asked: AskedStudy,
    data: DataConfig,
    session: RaySession,
    stack: ExitStack,
    console: Console,
    stop: StopRequest | None = None,
) -> OpenRun:
    """Reads a run's logs, repairs what a kill left torn, and extends the run if asked to.

    What is asked for is written down once all of it has been checked.

    Args:
        asked: The settings of the run, and what may differ from them.
        data: Its pictures.
        session: The machine.
        stack: Holds the run until it ends.
        console: For the progress.
        stop: Knows the time budget; by default there is none.

    Raises:
        RunError: The run's files cannot be read; names file, line and way out.
        UserError: The decoded pictures are gone and the pictures have changed, or the run cannot go on here.
    """
    refuse_short_budget(asked.search.time_budget_seconds)
    refuse_unwritable(asked.places)
    asked = _without_absent_trackers(asked, console)
    folder = RunFolder(asked.places.runs_dir / (asked.run.resume or ""))
    saved = load_run(folder.path)
    stack.enter_context(hold(folder.path))
    use_parts_of_run(saved.task.parts, folder)
    space = space_of_run(saved, asked.search)
    session.look_at_nodes(asked, console, (stop or StopRequest()).seconds_left)
    weights = files_of_here(saved.task.weights, saved.weights, asked.search.weights, asked.places.cache_path)
    session.look_for_weights([file for file in weights.values() if Path(file).is_file()])
    study = settle_on(asked, session, space)
    is_stale(records_dir=study.records_dir, readme=study.readme_path, timezone=study.timezone)  # raises if broken
    doing(console, "reading the run, measuring its networks")
    free = device_memory(study)
    num_networks = most_networks(space.formulations, saved.task.attributes)
    facts = facts_of(saved.weights, study)
    sizing = Sizing(study, facts, saved.data["pictures"], num_networks)
    workers = workers_to_come(asked, study, session)
    study = settle_on(asked, session, space, trials_that_fit=sizing.trials_in(free), trials_in=sizing.trials_on)
    check_device(study)
    refuse_other_device(saved, study)
    folder.cut_torn_lines()
    folder.clear_ray()
    task = replace(
        saved.task,
        cache_path=_decoded(saved, study, with_kept_corrections(data, folder), console),
        split_path=str(folder.split_csv),
        checkpoint_dir=str(folder.checkpoints),
        answers_dir=str(folder.answers),
        weights=weights,
    )
    trials = tuple(load_trials(folder.path))
    if asked.run.retry_failed:
        trials = _offer_again(folder, trials)
    run = _extended(saved, asked.run.add_trials, len(trials), asked.search.time_budget)
    run = replace(run, task=task)
    if run.trials_asked > num_over(trials):
        refuse_spent_budget(stop or StopRequest())
        refuse_changed_files(weights, saved.weights)
        session.start(workers)  # what refuses a resume does so before it counts
    run.save(folder.run_json)
    study = replace(study, trials_open=run.trials_open, epochs_open=run.epochs_open)
    if not study.goes_on:
        trials = _ended_beyond_their_length(folder, trials, run.task.epochs)
    if stop is not None:
        stop.keep_back(seconds_kept_back_again(run, study, stop.seconds_left, found_before(folder), trials))
    return OpenRun(
        run=run,
        folder=folder,
        study=study,
        space=space,
        facts=facts,
        earlier=trials,
        single_core_trials=workers,
        refit_seconds=0.0 if stop is None else stop.kept_back,
    )


def _without_absent_trackers(asked: AskedStudy, console: Console) -> AskedStudy:
    """The settings without trackers that are not here: what goes on has no other way out."""
    for name, why in absent_trackers(asked.track).items():
        warn(console, f"{why}. The run goes on without it")
        asked = asked.replace(**{name: None})
    return asked


def _extended(run: SearchRun, add: int, begun: int, time_budget: str | None = None) -> SearchRun:
    """The run with more trials; where a time budget was to decide, as many more than have begun.

    Args:
        run: As it was.
        add: How many more.
        begun: Trials that have begun.
        time_budget: What was given with them; a run that had one has this from now on, or none that ends it.
    """
    if not add:
        return run
    options = run.options
    if options.get("time_budget") is not None:  # which stays: proposals are by seconds (`search.engine.engine`)
        changed = {"add_trials": add} if time_budget is None else {"add_trials": 0, "time_budget": time_budget}
        options = {**options, **changed}
    asked = (begun if run.trials_open else run.trials_asked) + add
    return replace(run, options=options, trials_asked=asked, trials_open=False)


def _offer_again(folder: RunFolder, trials: Sequence[TrialHistory]) -> tuple[TrialHistory, ...]:
    """Has the trials that failed go on as if they had been interrupted; what diverged would diverge again.

    Returns:
        The trials as they are now.
    """
    for trial in trials:
        if trial.status == TrialStatus.FAILED and not trial.has_diverged:
            folder.append_event(
                trial.trial_id, TrialStatus.INTERRUPTED, f"offered again, it had failed: {trial.reason}"
            )
    return tuple(load_trials(folder.path))


def _ended_beyond_their_length(
    folder: RunFolder, trials: Sequence[TrialHistory], epochs: int
) -> tuple[TrialHistory, ...]:
    """Ends the trials that went on beyond their full length until something ended them; they have nothing left to do.

    Returns:
        The trials as they are now.
    """
    going_on = [trial for trial in trials if not trial.status.is_over and trial.reports]
    beyond = {trial.trial_id: epoch for trial in going_on if (epoch := trial.reports[-1].epoch) >= epochs}
    for trial_id, epoch in beyond.items():
        folder.append_event(trial_id, TrialStatus.FINISHED, f"it had come to epoch {epoch} of {epochs}")
    return tuple(load_trials(folder.path) if beyond else trials)


def _decoded(run: SearchRun, study: SettledStudy, data: DataConfig, console: Console) -> str:
    """The folder of the decoded pictures of a run; they are decoded again if they are gone.

    Raises:
        UserError: They are gone, and the pictures have changed.
    """
    saved = Path(run.task.cache_path)
    is_here = (saved / "meta.json").exists()
    if is_here and (study.one_machine or saved.parent == study.cache_path):  # nodes look in the folder that is given
        return run.task.cache_path
    prepared = prepare_data(
        data, study.split, seed=study.seed, image_size=study.image_size, cache_path=study.cache_path, console=console
    )
    if prepared.cache.path.name.partition("-")[0] != saved.name.partition("-")[0]:  # which is a hash of the pictures
        decoded = f"its decoded ones are {'not seen by every node' if is_here else 'no longer'} in {saved}"
        raise UserError(
            f"the pictures of the run {run.name} have changed since it began, and {decoded}: bring the pictures back, "
            "or start a new run"
        )
    return str(prepared.cache.path)


def refuse_other_device(run: SearchRun, study: SettledStudy) -> None:
    """Makes sure that a run goes on as it began: on GPUs, or without.

    Args:
        run: As it was started.
        study: Settled for the machine at hand.

    Raises:
        UserError: It would not; names the way out.
    """
    began, here = run.task.device == "cuda", bool(study.gpus_per_trial)
    if run.task.device == "mps" and not here and device_of_trials(0) != "mps":
        raise UserError(f"the run {run.name} was begun on the GPU of a Mac: resume it on one")
    if began and not here:
        raise UserError(
            f"the run {run.name} was begun on a GPU, and there is none for it here: resume it where there is"
        )
    if here and not began:
        raise UserError(f"the run {run.name} was begun without a GPU: go on with it by --gpus-per-trial 0")


def _flags(options: Options) -> dict[str, Any]:
    study, data = options
    return {**study.flat(), **{entry.name: getattr(data, entry.name) for entry in fields(data)}}


def _shown(value: Any) -> str:
    return "nothing" if value is None or value == "" else str(value)
