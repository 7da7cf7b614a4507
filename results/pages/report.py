"""Writes one page about a run: what was searched, what won, what matters, what failed and what it cost.

It takes a few seconds. The page holds all it needs, plotly.js too (4.5 MB) and small copies of some pictures, so it
opens without a network and can be mailed. A search writes it when it ends; `scripts/report.py` writes it for a run that
was interrupted or still runs.
"""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

from results.pages.found_section import found_section
from results.pages.front_section import front_section
from results.pages.report_retrained import retrained_part
from results.pages.report_sections import cost_part, failures_part, leaders_part, searched_part, sides_part
from results.pages.template import render_template
from results.records.best import best_trial
from results.records.presence import who_is_at
from results.records.record import SearchRun
from results.records.run_folder import RunFolder, budget_flag, load_run, resume_command, retrain_command
from results.records.trials import TrialHistory, load_trials, num_over, used_its_time
from trainables.atomic import write_whole
from trainables.called import command_as_called
from trainables.metric_names import in_words

PARAMS_SHOWN = 4
"""Hyper-parameters in the leaderboard."""
USUAL_PARAMS = ("lr", "dropout", "optimizer", "weight_decay")
"""Hyper-parameters in the leaderboard while it cannot be told which matter."""
OPTIONS_SHOWN = (
    "space", "parts", "metric", "backbones", "formulation", "attribute_weights", "flip", "data", "path_column",
    "label_column", "group_column", "label_names", "attributes", "group_regex", "corrections", "skip_bad", "strict",
    "max_picture_gb", "trials", "epochs", "image_size", "batch_size", "seed", "val_share", "test_share", "split_by",
    "allow_leak", "weights", "concurrency", "cpus_per_trial", "gpus_per_trial", "compile", "precision", "grace_period",
    "max_parameters", "max_ms", "ms_device", "objective",
    "reduction_factor", "time_budget", "history",
)  # fmt: skip
"""Options of a search that say what it does, in the order of the command line shown."""
OPTIONS_NOT_SHOWN = {
    "name": "another run needs another name",
    "resume": "a run that went on is done again in one go",
    "retry_failed": "a run that went on is done again in one go",
    "wait_for_nodes": "how long it waits for nodes changes no number",
    "add_trials": "--trials says how many there are in all",
    "keep": "how many weights stay on disk changes no number",
    "single": "what the model is made of changes no trial",
    "no_mirror": "what the model is asked changes no trial",
    "no_refit": "what the model learns when all trials have ended changes none",
    "storage": "a place on one machine",
    "readme": "a place on one machine",
    "cache_dir": "a place on one machine",
    "address": "a place on one network",
    "wandb": "who else is told changes no number",
    "mlflow": "who else is told changes no number",
    "timezone": "how the table writes its dates",
}
"""Options that the command line goes without, and why."""
AUTO = ("history", "formulation", "flip")
"""Options that go without saying where they are left at auto."""


def write_report(run_dir: Path, *, with_pictures: bool = True, saves_model: bool = False) -> Path:
    """Writes `report.html` into the folder of a run, whole or not at all.

    Args:
        run_dir: The folder.
        with_pictures: Whether small copies of some pictures go into the page.
        saves_model: Whether what was found is being saved meanwhile.

    Raises:
        RunError: There is no such run, or a line of it is corrupt.
        RecordError: `run.json` is corrupt.
        OSError: A file cannot be read or written.
    """
    path = RunFolder(run_dir).report_html
    # The name of a picture may hold bytes that are not UTF-8, which stand in a text as lone surrogates.
    page = render_report(run_dir, with_pictures=with_pictures, saves_model=saves_model)
    write_whole(path, page.encode(errors="backslashreplace"))
    return path


def render_report(run_dir: Path, *, with_pictures: bool = True, saves_model: bool = False) -> str:
    """The page as HTML; the arguments are those of `write_report`.

    Raises:
        RunError: There is no such run, or a line of it is corrupt.
        RecordError: `run.json` is corrupt.
        OSError: A file cannot be read.
    """
    run = load_run(run_dir)
    trials = load_trials(run_dir)
    best = best_trial(run_dir)

    # plotly, matplotlib and Optuna, which these draw with, are heavy
    from results.pages.report_figures import curves_figure, plotly_js
    from results.pages.report_pictures import confusion_part, pictures_part
    from results.pages.report_study import study_figures
    from results.pages.report_winner import winner_parts
    from results.pages.report_workers import workers_figure

    metric = in_words(run.task.metric)
    figures, ranked = study_figures(run_dir, metric)
    params = [name for name in ranked or USUAL_PARAMS if name != "backbone"][:PARAMS_SHOWN]
    curves = curves_figure(trials, best.trial_id if best else None, metric)
    winner = winner_parts(run, best, trials, run_dir)
    workers = workers_figure(RunFolder(run_dir), trials, run.started)
    drawn = (curves, *figures, winner["best_so_far"], winner["losses"], workers)
    return render_template(
        "report.html.j2",
        run=run,
        best=best,
        metric=metric,
        started=datetime.fromisoformat(run.started).isoformat(" ", "minutes"),
        plotly_js=plotly_js() if any(figure.html for figure in drawn) else "",
        curves=curves,
        study_figures=figures,
        workers=workers,
        params=params,
        warnings=_warnings(run),
        units=run.units,
        searched=searched_part(run, trials),
        **retrained_part(run_dir),
        **found_section(RunFolder(run_dir), run.units, best, is_being_saved=saves_model),
        **front_section(run, trials, RunFolder(run_dir)),
        **_progress(run, trials, run_dir),
        **sides_part(run),
        **leaders_part(trials, params, metric),
        **confusion_part(best, run_dir),
        **pictures_part(run, best, trials, run_dir, with_pictures=with_pictures),
        **winner,
        **failures_part(trials, run_dir),
        **cost_part(run, trials, best),
        search_command=command_as_called(search_command(run)),
        is_pinned=run.epochs_open or run.refits,
        retrain_command=command_as_called(retrain_command(run_dir)),
        pick_command=command_as_called(f"{retrain_command(run_dir)} --pick TRIAL"),
        provenance=[
            ("versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
            ("commit", run.commit or "not in a repository"),
            ("hardware", run.hardware),
            ("split", run.split_hash),
        ],
    )


def _progress(run: SearchRun, trials: list[TrialHistory], run_dir: Path) -> dict[str, Any]:
    done = num_over(trials)
    if done >= run.trials_asked:
        return {"status": f"complete, {done} trial{'s' * (done != 1)}", "resume_command": ""}
    count = f"{done}" if run.trials_open else f"{done} of {run.trials_asked}"
    are_done = f"{count} trial{'s are' if count != '1' else ' is'} done"
    presence = who_is_at(RunFolder(run_dir).presence)
    if presence is not None and not presence.is_this_process:  # which holds it: a resume would be refused
        return {"status": f"still being {presence.doing}, {are_done}", "resume_command": ""}
    has_used_it = any(trial.best for trial in trials) and used_its_time(run, RunFolder(run_dir).events())
    budget = (run.options.get("time_budget") or "15m") if has_used_it or run.trials_open else None
    command = command_as_called(resume_command(run_dir) + budget_flag(budget))
    if has_used_it:
        count = f"{len(trials)}" if run.trials_open else count
        status = f"its time budget is used up, {count} trial{'s' * (count != '1')}"
        return {"status": status, "resume_command": command}
    return {"status": f"not complete, {are_done}", "resume_command": command}


def _warnings(run: SearchRun) -> list[str]:
    note = run.weights_note  # of weights that are missing, or of a network, with its name first
    warnings = [f"N{note[1:]}" if note.startswith("no ") else note] if note else []
    if run.options.get("split_by") == "picture":
        warnings.append("Split by picture: the same people may stand on several sides, so all scores are flattered.")
    if skipped := len(run.data.get("skipped") or ()):
        warnings.append(f"Bad pictures left out: {skipped}; run.json names them.")
    return [*warnings, *run.data.get("warnings", ())]


def search_command(run: SearchRun) -> str:
    """The command line that does a search again."""
    now = {
        "trials": None if run.trials_open else run.trials_asked,
        "epochs": run.task.epochs,
        "image_size": run.task.image_size,
    }
    options = {"space": run.space, **run.options, **now, "batch_size": run.task.batch_size, "seed": run.task.seed}
    words = ["python", "search/run.py"]
    for name in OPTIONS_SHOWN:
        value = options.get(name)
        if value is None or value is False or value in ("", [], ()) or (name in AUTO and value == "auto"):
            continue
        words.append("--" + name.replace("_", "-"))
        if isinstance(value, list | tuple):
            words += map(str, value)
        elif value is not True:
            words.append(str(value))
    return shlex.join(words)
