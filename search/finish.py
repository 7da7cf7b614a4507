"""How a search ends: the record, the table and the report it leaves, and where everything is."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from results.export import export_all, export_command, keep_record
from results.pages.report import write_report
from results.records.best import best_trial
from results.records.cost import cost_in_words
from results.records.experiments import append_experiment
from results.records.found import MODEL_OF_BEFORE, Found, found_before, is_model_of
from results.records.record import BestTrial
from results.records.run_folder import RunFolder, budget_flag, resume_command, retrain_command
from results.records.shelf import place_of
from results.records.trials import DRIVER, ENDED, TIME_BUDGET, TrialHistory, load_trials, num_over
from search.announce import CURVES_ADDRESS
from search.engine.portfolio import remember
from search.found_model import find_model, leaving_model
from search.found_words import model_in_words, worth_in_words
from search.machine.ray_session import RaySession
from search.open_run import OpenRun
from search.refit import AS_BEFORE, AS_PICKED, as_trained_on_before, is_due, refit
from search.refit_time import names_of
from search.say_front import say_front
from search.stop import StopRequest
from search.terminal import CRASH, doing, idle, say, say_if_it_fails, say_result, warn
from trainables.metric_names import in_words
from trainables.report import TrialStatus
from trainables.saved.model_description import DESCRIPTION

WRITTEN = "what is being written is written to its end"
"""What is said that the first Ctrl-C does meanwhile."""


@dataclass(frozen=True)
class Left:
    """What a search leaves at its end."""

    best: BestTrial | None
    """None where there is no record: no trial has a score, or most have failed."""
    found: Found | None
    """What answers, as it was trained on; None where there is no model."""
    said: str | None
    """What is new in the table; None where record and table could not be written."""
    report: Path | None
    """Its page; None where it could not be written."""
    has_forgotten: bool
    """Whether the model of before had learned from the validation pictures, and this one has not."""
    cut_short: str | None
    """What an interruption left out, in words; None where that is nothing, but for trials."""


def finish(opened: OpenRun, session: RaySession, stop: StopRequest, console: Console) -> int:
    """Trains the model on if time was kept back for it, writes record and table, and says where everything is.

    Returns:
        The exit code: 0 if there is a best trial, 1 if not, if its record could not be written or if the driver
        crashed, 130 after Ctrl-C.
    """
    trials, why = load_trials(opened.folder.path), stop.why
    for trial in trials:
        if trial.status == TrialStatus.FAILED:
            warn(console, f"trial {trial.trial_id} ({trial.config.backbone}) failed: {trial.reason}")
    doing(console, "writing the record, the table and the model")
    stop.what_ends = WRITTEN
    left = _leave(opened, trials, session, stop, console)
    with say_if_it_fails(console, "that the search has ended could not be noted"):
        opened.folder.append_event(DRIVER, ENDED, left.cut_short)
    idle(console)
    _say_what_is_to_do(opened, trials, why, left.cut_short, console)
    if left.has_forgotten:
        warn(
            console,
            "the model of before was trained further with the validation pictures; the one that replaces it was not",
        )
    if left.best is None:
        warn(console, _why_there_is_no_record(opened, trials))
        return stop.exit_code or CRASH
    _say_what_is_left(opened, trials, left, left.best, console)
    if stop.crash is not None:
        return CRASH
    return stop.exit_code or (CRASH if left.said is None else 0)


def _leave(
    opened: OpenRun, trials: Sequence[TrialHistory], session: RaySession, stop: StopRequest, console: Console
) -> Left:
    """Writes record, table, history, model and report; the model's turn comes when all but the last two are there."""
    run, folder, study = opened.run, opened.folder, opened.study
    are_over = num_over(trials) >= run.trials_asked or stop.why == TIME_BUDGET
    best = None if most_failed(trials) else best_trial(folder.path)
    said, report = None, None
    found, earlier, is_saved = None, found_before(folder), False
    if best is not None:
        with say_if_it_fails(console, "the validation answers could not be judged, so there is no model"):
            found = find_model(run, folder, best, trials, single=study.single, mirror=study.mirror)
            best = replace(best, val_interval=found.val_interval, val_corrected=found.val_corrected)
            if study.refit and (as_before := as_trained_on_before(found, earlier, folder)):
                as_before.save(folder.found_json)
                found, is_saved = as_before, is_model_of(as_before, folder)
    is_ready = found is not None and bool(found.refit_epochs) and not is_saved  # a kill came before it was saved
    has_turn = found is not None and not is_ready and is_due(opened, found, stop, num_over(trials))
    picked = found
    with nullcontext() if is_saved else leaving_model(run, folder, found, trials, console, beside_training=has_turn):
        if best is not None:
            said = _exported(best, opened, console)
            with say_if_it_fails(console, "results/experiments.csv could not be written"):
                append_experiment(study.records_dir.parent / "experiments.csv", best)
        with say_if_it_fails(console, f"the history {study.history_path} could not be written"):
            if not most_failed(trials):
                remember(run, trials, study)
        if not has_turn:
            report = _report(folder.path, console, saves_model=True)
        elif found is not None:  # what has been written stays, whatever ends this
            idle(console)
            words = AS_BEFORE if found.refit_epochs else AS_PICKED
            with say_if_it_fails(console, f"the model was not trained further, and {words}"):
                found = refit(opened, found, trials, session, stop, console)
    if found is not None and has_turn:
        doing(console, "writing the model and the report")
        stop.what_ends = WRITTEN
        with nullcontext() if found is picked else leaving_model(run, folder, found, trials, console):
            report = _report(folder.path, console, saves_model=found is not picked)
    if found is not None and picked is not None and found.members and not is_model_of(found, folder):
        # Its saving failed, as was said: what answers is the model of before, or as validation picked it.
        if found.refit_epochs:
            found = picked if picked.refit_epochs and is_model_of(picked, folder) else replace(found, refit_epochs={})
            with say_if_it_fails(console, f"{folder.found_json} could not be written"):
                found.save(folder.found_json)
        report = _report(folder.path, console)
    had_learned = earlier is not None and bool(earlier.refit_epochs)
    has_forgotten = had_learned and found is not None and bool(found.members) and not found.refit_epochs
    has_forgotten = has_forgotten and found is not None and is_model_of(found, folder)
    return Left(best, found, said, report, has_forgotten, _cut_short(opened, found, stop) if are_over else None)


def _exported(best: BestTrial, opened: OpenRun, console: Console) -> str | None:
    """Keeps the record and writes the table; None where one of them could not be written, which is said."""
    study, kept = opened.study, None
    with say_if_it_fails(console, f"record and table could not be written; to try again: {way_on(opened)}"):
        kept = keep_record(best, records_dir=study.records_dir, timezone=study.timezone)
    if kept is None:
        return None
    again = export_command(study.readme_path, study.records_dir, study.timezone)
    with say_if_it_fails(console, f"the record is kept, but the table could not be written; to try again: {again}"):
        export_all(records_dir=study.records_dir, readme=study.readme_path, timezone=study.timezone)
        return kept
    return None


def _cut_short(opened: OpenRun, found: Found | None, stop: StopRequest) -> str | None:
    """What an interruption left out of the model's turn, in words; None where that was not due, or had its time."""
    is_interrupted = bool(stop.exit_code) or stop.why not in (None, TIME_BUDGET)
    if not (is_interrupted and opened.run.refits and opened.study.refit) or found is None:
        return None
    if names_of(found) == set(found.refit_epochs):
        return None
    what = "not all of the model was" if found.refit_epochs else "the model was not"
    return f"{what} trained further ({'interrupted' if stop.why in (None, TIME_BUDGET) else stop.why})"


def _report(run_dir: Path, console: Console, *, saves_model: bool = False) -> Path | None:
    """Writes the report, maybe while the model is saved; None where that failed, which is said."""
    with say_if_it_fails(console, f"the report of {run_dir} could not be written"):
        return write_report(run_dir, saves_model=saves_model)
    return None


def _say_what_is_left(
    opened: OpenRun, trials: Sequence[TrialHistory], left: Left, best: BestTrial, console: Console
) -> None:
    """Says what was found, and where it lies."""
    run, folder, study, found = opened.run, opened.folder, opened.study, left.found
    run_dir = folder.path
    say_result(
        console,
        f"Best: trial {best.trial_id}, {best.config.backbone}, {_score(best)} "
        f"in epoch {best.report.epoch} of {best.epochs_trained}",
    )
    if found is not None and (worth := worth_in_words(found, run.units)):
        say_result(console, worth)
    say(console, cost_in_words(best))
    if left.said:
        say(console, f"{left.said}\nTable: {study.readme_path}\nRecord: {place_of(study.records_dir, best)}")
    say(console, f"Curves: tensorboard --logdir {shlex.quote(str(folder.tensorboard))}, then {CURVES_ADDRESS}")
    say(console, f"Every epoch: {folder.trials_jsonl}")
    if left.report is not None:
        say_result(console, f"Report: {left.report}")
    if found is not None and found.members and (folder.model / DESCRIPTION).is_file():
        is_saved = is_model_of(found, folder)
        words = f"picked by validation: {model_in_words(found, run.units)}" if is_saved else MODEL_OF_BEFORE
        say_result(console, f"Model: {folder.model}, {words}")
        say(console, _how_to_classify(folder))
    retrain = retrain_command(run_dir)
    if study.readme_path not in (Path("README.md").resolve(), run_dir.parent / "README.md"):
        retrain += f" --readme {shlex.quote(str(study.readme_path))}"
    say(console, f"To score it on {run.units} never seen: {retrain}")
    say_front(run, trials, retrain, console)


def _how_to_classify(folder: RunFolder) -> str:
    """What to type to have the model of the search answer, and not that of a re-training of before."""
    if not (folder.retrained.path / DESCRIPTION).is_file():
        return f"To classify pictures: python scripts/predict.py {shlex.quote(str(folder.path))} --data DIR"
    command = f"python scripts/predict.py {shlex.quote(str(folder.model))} --data DIR"
    return f"To classify pictures: {command} ({folder.path} answers with its re-training of before)"


def _why_there_is_no_record(opened: OpenRun, trials: Sequence[TrialHistory]) -> str:
    folder = opened.folder
    if not most_failed(trials):
        return (
            "no trial has a finished epoch with a score: there is no model, and the README is left as it was. What "
            f"happened: {folder.events_jsonl}"
        )
    failed = sum(trial.status == TrialStatus.FAILED for trial in trials)
    return (
        f"{failed} of {_num_come_to_something(trials)} trials failed, which points to the machine or the data rather "
        f"than to the settings: there is no record, and the README is left as it was. What happened: "
        f"{folder.events_jsonl}. Once the cause is fixed: {way_on(opened)} --retry-failed"
    )


def _say_what_is_to_do(
    opened: OpenRun, trials: Sequence[TrialHistory], why: str | None, cut_short: str | None, console: Console
) -> None:
    """Says how to go on with a search that has not done all of its trials, or whose model's turn was cut short."""
    done, asked = num_over(trials), opened.run.trials_asked
    if cut_short:
        warn(console, f"{cut_short}. Go on with: {way_on(opened)}")
    if done >= asked:
        return
    if opened.study.fills_its_budget and why == TIME_BUDGET:
        cut = len(trials) - done
        begun = f"{len(trials)} trial{'s' if len(trials) != 1 else ''}"
        words = f", {cut} of them cut short by it" if cut else ""
        has_epoch = any(report.trained_share == 1 for trial in trials for report in trial.reports)
        early = "" if has_epoch else " before one epoch was whole"
        (say if has_epoch else warn)(
            console,
            f"The time budget is used up{early}: {begun}{words}. To go on: {way_on(opened)}",
        )
        return
    count = (
        f"{done} trial{'s are' if done != 1 else ' is'}" if opened.run.trials_open else f"{done} of {asked} trials are"
    )
    warn(console, f"{count} done ({why or 'interrupted'}). Go on with: {way_on(opened)}")


def _score(best: BestTrial) -> str:
    """The score that it is best by, and macro-F1 where that is another."""
    words = f"validation {in_words(best.task.metric)} {best.report.val_score:.4f}"
    return words if best.task.metric == "macro_f1" else f"{words} (macro-F1 {best.report.val_macro_f1:.4f})"


def most_failed(trials: Sequence[TrialHistory]) -> bool:
    """Whether most of the trials that came to an end failed; one that diverged is an answer about its configuration."""
    failed = [trial for trial in trials if trial.status == TrialStatus.FAILED and not trial.has_diverged]
    return 2 * len(failed) > _num_come_to_something(trials)


def _num_come_to_something(trials: Sequence[TrialHistory]) -> int:
    """Trials that are done, and those that the end of the search cut short behind an epoch that has a score."""
    cut = [trial for trial in trials if trial.status == TrialStatus.INTERRUPTED and trial.best is not None]
    return num_over(trials) + len(cut)


def has_best(folder: RunFolder) -> bool:
    """Whether a search has come to something: a best trial, and no more failures than that."""
    return not most_failed(load_trials(folder.path)) and best_trial(folder.path) is not None


def way_on(opened: OpenRun) -> str:
    """What to type to go on with a search that has not done all of its trials."""
    has_budget = opened.study.fills_its_budget  # it would have as long again all the same
    return resume_command(opened.folder.path) + budget_flag(opened.study.options["time_budget"] if has_budget else None)
