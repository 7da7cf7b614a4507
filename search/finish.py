"""What a search says when it starts and when it ends, and the record and table it leaves."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from results.export import export_best
from results.records.best import best_trial
from results.records.cost import cost_in_words, duration
from results.records.experiments import append_experiment
from results.records.record import SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from search.callbacks.monitor import Monitor
from search.engine.portfolio import remember
from search.machine.forecast import Forecast
from search.machine.memory_needs import largest_trial
from search.study import ROOT, StudyConfig
from trainables.data.split import load_split, render_split
from trainables.report import TrialStatus


def say_start(
    run: SearchRun, run_dir: Path, study: StudyConfig, warnings: Sequence[str], num_earlier: int, console: Console
) -> None:
    """Prints what is searched on which pictures, and every warning, before the first trial."""
    task, data, folder = run.task, run.data, RunFolder(run_dir)
    say(console, f"Run {run.name} in {run_dir}")
    say(console, f"Data: {data['layout']}, {data['source']}, {len(task.classes)} classes")
    if data["corrected"]:
        say(console, f"Corrections changed {data['corrected']} rows")
    say(console, render_split(load_split(folder.split_csv)))
    skipped = [f"{len(data['skipped'])} bad pictures left out, named in {folder.run_json}"] if data["skipped"] else []
    for warning in filter(None, [*skipped, *warnings, run.weights_note]):
        warn(console, warning)
    say(
        console,
        f"Search: space {run.space}, {run.trials_asked} trials of up to {task.epochs} epochs at {task.image_size} px, "
        f"batches of {task.batch_size}, seed {task.seed}, {run.hardware}",
    )
    if largest := largest_trial(run):
        say(console, largest)
    say(console, at_a_time(study))
    say(console, f"Starts from {run.history}")
    if num_earlier:
        say(console, f"Goes on after {num_earlier} trials that are there already")
    say(console, f"Watch it: tensorboard --logdir {shlex.quote(str(run_dir.parent))}")


def at_a_time(study: StudyConfig) -> str:
    """How many trials run at the same time, and what each has of the machine."""
    trials, cores = study.num_concurrent, study.cpus_per_trial or 1
    parts = [f"{cores} core{'s' * (cores > 1)}"]
    if study.gpus:
        whole = abs(1 / study.gpus - round(1 / study.gpus)) < 1e-9
        share = f"1/{round(1 / study.gpus)}" if whole else f"{study.gpus:g}"
        parts.append(f"{share} of a GPU" if study.gpus < 1 else f"{study.gpus:g} GPU")
    return f"At a time: {trials} trial{'s' * (trials > 1)} with {' and '.join(parts)}{' each' * (trials > 1)}"


def say_forecast(forecast: Forecast | None, time_budget_seconds: float | None, console: Console) -> None:
    """Prints how long it will take, as far as that is known; `Forecast` says how it is known."""
    if forecast is None:
        return
    ends = ""
    if time_budget_seconds is not None and time_budget_seconds < forecast.high:
        ends = f"; the time budget may end it after {duration(time_budget_seconds)}"
    say(console, f"Forecast: {forecast}{ends}")


def finish(
    run: SearchRun, run_dir: Path, study: StudyConfig, monitor: Monitor, console: Console, ended_early: str | None
) -> int:
    """Writes the record and the table from what there is, and says where everything is.

    Returns:
        The exit code: 0 if there is a best trial, 1 if not.
    """
    from results.pages.report import write_report  # heavy to import, and not needed before

    folder = RunFolder(run_dir)
    monitor.prune()  # a worker may have written its last weights after its trial had ended for the driver
    folder.clear_ray()
    trials = load_trials(run_dir)
    for trial in trials:
        if trial.status == TrialStatus.FAILED:
            warn(console, f"trial {trial.trial_id} ({trial.config.backbone}) failed: {trial.reason}")
    done = sum(trial.status.is_over for trial in trials)
    if done < run.trials_asked:
        warn(
            console,
            f"{done} of {run.trials_asked} trials are done ({ended_early or 'interrupted'}). Go on with: "
            f"python search/run.py --resume {run.name}{_storage_flag(run_dir)}",
        )
    best = best_trial(run_dir)
    said, report = None, None
    if best is not None:
        said = export_best(best, records_dir=study.records_dir, readme=study.readme_path, timezone=study.timezone)
        with say_if_it_fails(console, "results/experiments.csv could not be written"):
            append_experiment(study.records_dir.parent / "experiments.csv", best)
    with say_if_it_fails(console, f"the report of {run_dir} could not be written"):
        report = write_report(run_dir)
    with say_if_it_fails(console, f"the history {study.history_path} could not be written"):
        remember(run, trials, study)
    if best is None:
        warn(console, f"no trial has a score, the README is left as it was. What happened: {folder.events_jsonl}")
        return 1
    say(
        console,
        f"Best: trial {best.trial_id}, {best.config.backbone}, validation macro-F1 {best.report.val_macro_f1:.4f} "
        f"in epoch {best.report.epoch} of {best.epochs_trained}",
    )
    say(console, cost_in_words(best))
    if said:
        say(console, said)
    say(console, f"Table: {study.readme_path}\nRecord: {study.records_dir / f'{run.space}.json'}")
    say(console, f"Curves: tensorboard --logdir {shlex.quote(str(folder.tensorboard))}")
    say(console, f"Every epoch: {folder.trials_jsonl}")
    if report is not None:
        say(console, f"Report: {report}")
    storage = _storage_flag(run_dir)
    say(console, f"How good it really is: python scripts/retrain.py --run {run.name}{storage}")
    return 0


@contextmanager
def say_if_it_fails(console: Console, what: str) -> Iterator[None]:
    """For what must not cost the result: an exception becomes a warning."""
    try:
        yield
    except Exception as error:
        warn(console, f"{what}: {error}")


def _storage_flag(run_dir: Path) -> str:
    return "" if run_dir.parent == ROOT / "runs" else f" --storage {shlex.quote(str(run_dir.parent))}"


def say(console: Console, text: str) -> None:
    """Prints a line as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def warn(console: Console, text: str) -> None:
    """Prints a line that stands out."""
    console.print(f"WARNING: {text}", style="bold yellow", highlight=False, markup=False, soft_wrap=True)
