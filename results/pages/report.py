"""Writes one page about a run: what was searched, what won, what matters, what failed and what it cost.

It takes a few seconds. The page holds all it needs, plotly.js too (4.5 MB), so it opens without a network and can
be mailed. A search writes it when it ends; `scripts/report.py` writes it for a run that was interrupted or still runs.
"""

from __future__ import annotations

import math
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

from results.pages.found_section import found_section
from results.pages.template import render_template
from results.records.best import best_trial
from results.records.cost import duration, energy_in_words, search_cost
from results.records.progress import shown
from results.records.record import TRIAL_ENDS, BestTrial, SearchRun
from results.records.run_folder import RunFolder, load_run
from results.records.summary import RUNS
from results.records.trials import TrialHistory, load_trials
from results.statistics.bootstrap import Interval
from trainables.atomic import write_whole
from trainables.metric_names import in_words
from trainables.report import TrialStatus
from trainables.saved.model_description import DESCRIPTION
from trainables.strict_json import RecordError, load_object

LEADERS_SHOWN = 50
"""Rows of the leaderboard."""
FAILURES_SHOWN = 50
"""Rows of the failures."""
PARAMS_SHOWN = 4
"""Hyper-parameters in the leaderboard."""
USUAL_PARAMS = ("lr", "dropout", "optimizer", "weight_decay")
"""Hyper-parameters in the leaderboard while it cannot be told which matter."""
OPTIONS_SHOWN = (
    "space", "backbones", "formulation", "attribute_weights", "data", "path_column", "label_column", "group_column",
    "label_names", "attributes", "group_regex", "corrections", "skip_bad", "strict", "max_picture_gb", "trials",
    "epochs", "image_size", "batch_size", "seed", "val_share", "test_share", "split_by", "allow_leak", "weights",
    "concurrency", "cpus_per_trial", "gpus_per_trial", "compile", "grace_period",
    "reduction_factor", "time_budget", "history",
)  # fmt: skip
"""Options of a search that say what it does, in the order of the command line shown."""
OPTIONS_NOT_SHOWN = {
    "name": "another run needs another name",
    "resume": "a run that went on is done again in one go",
    "add_trials": "--trials says how many there are in all",
    "keep": "how many weights stay on disk changes no number",
    "single": "what the model is made of changes no trial",
    "storage": "a place on one machine",
    "readme": "a place on one machine",
    "cache_dir": "a place on one machine",
    "address": "a place on one network",
    "timezone": "how the table writes its dates",
}
"""Options that the command line goes without, and why."""
AUTO = ("history", "formulation")
"""Options that go without saying where they are left at auto."""


def write_report(run_dir: Path) -> Path:
    """Writes `report.html` into the folder of a run, whole or not at all.

    Raises:
        RunError: There is no such run, or a line of it is corrupt.
        RecordError: `run.json` is corrupt.
        OSError: A file cannot be read or written.
    """
    path = RunFolder(run_dir).report_html
    # The name of a picture may hold bytes that are not UTF-8, which stand in a text as lone surrogates.
    write_whole(path, render_report(run_dir).encode(errors="backslashreplace"))
    return path


def render_report(run_dir: Path) -> str:
    """The page as HTML.

    Raises:
        RunError: There is no such run, or a line of it is corrupt.
        RecordError: `run.json` is corrupt.
        OSError: A file cannot be read.
    """
    run = load_run(run_dir)
    trials = load_trials(run_dir)
    best = best_trial(run_dir)

    from results.pages.report_figures import curves_figure, plotly_js, study_figures
    from results.pages.report_winner import winner_parts

    metric = in_words(run.task.metric)
    figures, ranked = study_figures(run_dir, metric)
    params = [name for name in ranked or USUAL_PARAMS if name != "backbone"][:PARAMS_SHOWN]
    curves = curves_figure(trials, best.trial_id if best else None, metric)
    winner = winner_parts(run, best, trials, run_dir)
    drawn = (curves, *figures, winner["best_so_far"], winner["losses"])
    return render_template(
        "report.html.j2",
        run=run,
        best=best,
        metric=metric,
        started=datetime.fromisoformat(run.started).isoformat(" ", "minutes"),
        plotly_js=plotly_js() if any(figure.html for figure in drawn) else "",
        curves=curves,
        study_figures=figures,
        params=params,
        retrained=_retrained(run_dir),
        warnings=_warnings(run),
        searched=_searched(run, trials),
        **found_section(RunFolder(run_dir)),
        **_progress(run, trials, run_dir),
        **_sides(run),
        **_leaders(trials, params, metric),
        **_errors(best, run_dir),
        **winner,
        **_failures(trials, run_dir),
        **_cost(run, trials, best),
        search_command=search_command(run),
        retrain_command=shlex.join(["python", "scripts/retrain.py", "--run", run.name, *_storage_flag(run_dir)]),
        provenance=[
            ("versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
            ("commit", run.commit or "not in a repository"),
            ("hardware", run.hardware),
            ("split", run.split_hash),
        ],
    )


def _progress(run: SearchRun, trials: list[TrialHistory], run_dir: Path) -> dict[str, Any]:
    done = sum(trial.status.is_over for trial in trials)
    if done >= run.trials_asked:
        return {"status": f"complete, {done} trials", "resume_command": ""}
    command = ["python", "search/run.py", "--resume", run.name, *_storage_flag(run_dir)]
    status = f"not complete, {done} of {run.trials_asked} trials are done"
    return {"status": status, "resume_command": shlex.join(command)}


def _warnings(run: SearchRun) -> list[str]:
    warnings = [run.weights_note] if run.weights_note else []
    if run.options.get("split_by") == "picture":
        warnings.append("Split by picture: the same people may stand on several sides, so all scores are flattered.")
    if skipped := len(run.data.get("skipped") or ()):
        warnings.append(f"{skipped} bad pictures were left out; run.json names them.")
    return [*warnings, *run.data.get("warnings", ())]


def _searched(run: SearchRun, trials: list[TrialHistory]) -> list[tuple[str, object]]:
    data, task = run.data, run.task
    states = [trial.status for trial in trials]
    ended = ", ".join(f"{states.count(state)} {state}" for state in TRIAL_ENDS)
    source = ", ".join(str(data[name]) for name in ("layout", "source") if data.get(name))
    groups = data.get("groups")
    classes = ", ".join(task.classes[:30]) + (", …" if len(task.classes) > 30 else "")
    rows: list[tuple[str, object]] = [
        ("space", run.space),
        ("backbones", ", ".join(run.weights) or "unknown"),
        ("trials", f"{run.trials_asked} asked, {len(trials)} begun: {ended}"),
        ("epochs of a trial that is not stopped", task.epochs),
        ("image size", f"{task.image_size} px"),
        ("batch", f"{task.batch_size} pictures"),
        ("seed", task.seed),
        ("data", source),
        ("pictures", _count(data.get("pictures"))),
        ("groups (people)", "unknown: each picture counts as its own" if groups is None else _count(groups)),
        (f"{len(task.classes)} classes", classes),
        ("imbalance", _imbalance(data)),
        ("weights", "; ".join(f"{backbone}: {words}" for backbone, words in run.weights.items()) or "random"),
        ("began from", run.history),
    ]
    if data.get("corrected"):
        rows.append(("corrected", f"{data['corrected']} rows"))
    return rows


def _imbalance(data: dict[str, Any]) -> str:
    ratio = data.get("imbalance")
    return "unknown" if ratio is None else f"the largest class has {ratio:g} times the pictures of the smallest"


def _sides(run: SearchRun) -> dict[str, Any]:
    sides = run.data.get("sides") or {}
    total = sum(side["pictures"] for side in sides.values()) or 1
    rows = [
        {
            "name": name,
            "cells": (
                _count(side["pictures"]),
                f"{side['pictures'] / total:.0%}",
                _count(side["groups"]),
                f"{side['classes']} of {len(run.task.classes)}",
            ),
        }
        for name, side in sides.items()
    ]
    by_picture = run.options.get("split_by") == "picture"
    whose = "Pictures were dealt out one by one." if by_picture else "All pictures of a group are on one side."
    return {
        "sides": rows,
        "sides_words": f"{whose} Trials learn from train and are compared on val; no trial sees test.",
    }


def _leaders(trials: list[TrialHistory], params: list[str], metric: str) -> dict[str, Any]:
    from results.pages.report_figures import COLOURS, NOT_ENDED

    scored = [trial for trial in trials if trial.best is not None and trial.status != TrialStatus.FAILED]
    scored.sort(key=lambda trial: -trial.best.val_score if trial.best else 0)
    rows = [
        {
            "trial_id": trial.trial_id,
            "backbone": trial.config.backbone,
            "score": f"{trial.best.val_score:.4f}",
            "epochs": f"{trial.best.epoch}/{trial.reports[-1].epoch}",
            "state": trial.status,
            "colour": COLOURS.get(trial.status, COLOURS[NOT_ENDED]),
            "time": duration(_seconds(trial)),
            "params": [shown(getattr(trial.config, name, "")) for name in params],
        }
        for trial in scored[:LEADERS_SHOWN]
        if trial.best is not None
    ]
    words = (
        f"The best {len(rows)} of {len(scored)} trials with a score"
        if len(scored) > len(rows)
        else "All trials with a score"
    )
    words += f", by validation {metric} in the best epoch (epoch: best/trained; time: h:mm:ss). "
    words += "Differences in the third digit are often chance."
    return {"leaders": rows, "leaders_words": words}


def _errors(best: BestTrial | None, run_dir: Path) -> dict[str, Any]:
    """The winner's confusion matrix."""
    from results.pages.report_figures import draw_confusion

    if best is None:
        return {"confusion": None, "confusion_words": ""}
    path = RunFolder(run_dir).confusion_csv(best.trial_id)
    confusion, words = None, "The run kept no confusion matrix of this trial."
    if path.is_file():
        try:
            confusion = draw_confusion(path)
        except (ValueError, OSError) as error:
            words = f"Its confusion matrix cannot be shown: {error}"
    return {"confusion": confusion, "confusion_words": words}


def _failures(trials: list[TrialHistory], run_dir: Path) -> dict[str, Any]:
    failed = [trial for trial in trials if trial.status == TrialStatus.FAILED]
    last_lines = _last_lines(RunFolder(run_dir)) if failed else {}
    rows = [
        {
            "trial_id": trial.trial_id,
            "backbone": trial.config.backbone,
            "epochs": len(trial.reports),
            "reason": trial.reason or "unknown",
            "last_line": last_lines.get(trial.trial_id, ""),
        }
        for trial in failed[:FAILURES_SHOWN]
    ]
    for row in rows:
        if str(row["last_line"]) in str(row["reason"]):
            row["last_line"] = ""
    words = f"{len(failed)} of {len(trials)} trials failed" + (
        f", the first {len(rows)} of them:" if len(failed) > len(rows) else ":"
    )
    return {"failures": rows, "failures_words": words}


def _last_lines(folder: RunFolder) -> dict[str, str]:
    """The last line of each failed trial's traceback, by trial."""
    found = {}
    for event in folder.events():
        words = str(event.values.get("traceback") or "").strip().splitlines()
        if words and event.values.get("event") == TrialStatus.FAILED:
            found[event.trial_id] = words[-1].strip()
    return found


def _cost(run: SearchRun, trials: list[TrialHistory], best: BestTrial | None) -> dict[str, Any]:
    cost = search_cost(run, trials)
    epochs = cost.epochs
    pictures = {name: side["pictures"] for name, side in (run.data.get("sides") or {}).items()}
    time: list[tuple[str, object]] = [
        ("device time, all epochs added up", duration(cost.device_seconds)),
        ("epochs trained", _count(epochs)),
    ]
    if best is not None:
        time.insert(0, ("wall time, without long pauses", duration(best.wall_seconds)))
    if cost.compile_seconds:
        time.append(("of the device time, compiling", duration(cost.compile_seconds)))
    time.append(("energy of the GPUs", energy_in_words(cost.energy_joules)))
    savings = []
    ended = [trial for trial in trials if trial.status in (TrialStatus.FINISHED, TrialStatus.STOPPED)]
    if ended:
        whole = run.task.epochs * len(ended)
        saved = cost.epochs_saved
        savings.append(
            f"Early stopping saved {_count(saved)} of the {_count(whole)} epochs ({saved / whole:.0%}) that it "
            "takes to train to the end every trial that finished or was stopped. What the history of earlier searches "
            "saved is not known: that takes the same search without it."
        )
    if "train" in pictures:
        time.append(("images trained", _count(cost.images_trained)))
        seen = (pictures["train"] + pictures.get("val", 0)) * epochs
        avoided = seen - sum(pictures.values())
        if avoided > 0:
            savings.append(
                f"The cache saved {_count(avoided)} of {_count(seen)} decodings: each picture was decoded at most once "
                "for the whole search, instead of once in every epoch of every trial."
            )
    return {"time": time, "savings": savings}


def _retrained(run_dir: Path) -> list[str]:
    """What came of training the winner again, if that was done."""
    path = RunFolder(run_dir).retrained.path / DESCRIPTION
    if not path.is_file():
        return []
    try:
        record = load_object(path)["record"]
        sentences = []
        if test := record.get("test"):
            score = Interval.from_json(test["macro_f1"])
            low, high = ("?" if math.isnan(end) else f"{end:.4f}" for end in (score.low, score.high))
            sentences.append(
                f"Re-trained, {record['trial_id']} has macro-F1 {score.value:.4f} on the test side (95% interval "
                f"{low} to {high}), {record['test']['groups']} groups never seen; validation had said "
                f"{record['val_macro_f1']:.4f}."
            )
        if record.get("verdict"):
            sentences.append(f"Against the default configuration: {record['verdict']}.")
        return sentences
    except (RecordError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"{path} cannot be read ({type(error).__name__}: {error})."]


def search_command(run: SearchRun) -> str:
    """The command line that does a search again."""
    now = {"trials": run.trials_asked, "epochs": run.task.epochs, "image_size": run.task.image_size}
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


def _storage_flag(run_dir: Path) -> list[str]:
    return [] if run_dir.parent == RUNS.resolve() else ["--storage", str(run_dir.parent)]


def _seconds(trial: TrialHistory) -> float:
    return sum(report.seconds for report in trial.reports if math.isfinite(report.seconds))


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "unknown" if value is None else str(value)
