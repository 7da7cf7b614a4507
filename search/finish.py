"""What a search says when it starts and when it ends, and the record and table it leaves."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console

from results.collect import best_trial, load_trials
from results.export import export_best
from results.record import SearchRun
from search.prepare import Prepared
from search.study import StudyConfig
from trainables.data.split import render_split


def say_start(run: SearchRun, run_dir: Path, prepared: Prepared, console: Console) -> None:
    """Prints what is searched on which pictures, and every warning, before the first trial."""
    task, manifest = run.task, prepared.manifest
    _say(console, f"Run {run.name} in {run_dir}")
    _say(console, f"Data: {manifest.layout} {run.data['source']}, {len(task.classes)} classes")
    if manifest.corrected_rows:
        _say(console, f"Corrections changed {manifest.corrected_rows} rows")
    if manifest.skipped:
        _warn(console, f"{len(manifest.skipped)} bad pictures left out (names in {run_dir / 'run.json'})")
    _say(console, render_split(prepared.split))
    for warning in filter(None, [manifest.group_warning, *prepared.split.warnings, run.weights_note]):
        _warn(console, warning)
    _say(
        console,
        f"Search: {run.trials_asked} trials of up to {task.epochs} epochs at {task.image_size} px, batches of "
        f"{task.batch_size}, seed {task.seed}, {run.hardware}",
    )
    _say(console, f"Watch it: tensorboard --logdir {shlex.quote(str(run_dir.parent))}")


def finish(run: SearchRun, run_dir: Path, study: StudyConfig, console: Console, ended_early: str | None) -> int:
    """Writes the record and the table from what there is, and says where everything is.

    Returns:
        The exit code: 0 if there is a best trial, 1 if not.
    """
    trials = load_trials(run_dir)
    for trial in trials:
        if trial.status == "failed":
            _warn(console, f"trial {trial.trial_id} ({trial.config.backbone}) failed: {trial.reason}")
    done = sum(trial.status in ("finished", "stopped", "failed") for trial in trials)
    if ended_early and done < run.trials_asked:
        _warn(console, f"the search was ended by {ended_early} before all {run.trials_asked} trials were done")
    best = best_trial(run_dir)
    if best is None:
        _warn(console, f"no trial has a score, the README is left as it was. What happened: {run_dir}/events.jsonl")
        return 1
    readme = study.readme.expanduser().resolve()
    said = export_best(best, records_dir=readme.parent / "results" / "best", readme=readme, timezone=study.timezone)
    _say(
        console,
        f"Best: trial {best.trial_id}, {best.config.backbone}, validation macro-F1 {best.report.val_macro_f1:.4f} "
        f"in epoch {best.report.epoch} of {best.epochs_trained}",
    )
    if said:
        _say(console, said)
    _say(console, f"Table: {readme}\nRecord: {readme.parent / 'results' / 'best' / f'{run.space}.json'}")
    _say(console, f"Curves: tensorboard --logdir {shlex.quote(str(run_dir / 'tensorboard'))}")
    _say(console, f"Every epoch: {run_dir / 'trials.jsonl'}")
    return 0


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _warn(console: Console, text: str) -> None:
    console.print(f"WARNING: {text}", style="bold yellow", highlight=False, markup=False, soft_wrap=True)
