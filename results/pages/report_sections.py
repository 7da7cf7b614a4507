"""The tables of a run's report: what was searched on which pictures, who leads, what failed, and what it cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from results.records.cost import duration, energy_in_words, search_cost
from results.records.progress import shown
from results.records.record import TRIAL_ENDS, BestTrial, SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from trainables.report import TrialStatus

LEADERS_SHOWN = 50
"""Rows of the leaderboard."""
FAILURES_SHOWN = 50
"""Rows of the failures."""


def searched_part(run: SearchRun, trials: list[TrialHistory]) -> list[tuple[str, object]]:
    """Names and values of what was searched, on which pictures."""
    data, task = run.data, run.task
    states = [trial.status for trial in trials]
    ended = ", ".join(f"{states.count(state)} {state}" for state in TRIAL_ENDS)
    source = ", ".join(str(data[name]) for name in ("layout", "source") if data.get(name))
    groups = data.get("groups")
    classes = ", ".join(task.classes[:30]) + (", …" if len(task.classes) > 30 else "")
    asked = "as many as the time has room for" if run.trials_open else f"{run.trials_asked} asked"
    rows: list[tuple[str, object]] = [
        ("space", run.space),
        ("backbones", ", ".join(run.weights) or "unknown"),
        ("trials", f"{asked}, {len(trials)} begun: {ended}"),
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


def sides_part(run: SearchRun) -> dict[str, Any]:
    """How many pictures, groups and classes each side has."""
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


def leaders_part(trials: list[TrialHistory], params: list[str], metric: str = "macro-F1") -> dict[str, Any]:
    """The best trials, with these of their hyper-parameters."""
    from results.pages.report_figures import COLOURS, state_of

    scored = [trial for trial in trials if trial.best is not None and trial.status != TrialStatus.FAILED]
    scored.sort(key=lambda trial: -trial.best.val_score if trial.best else 0)
    rows = [
        {
            "trial_id": trial.trial_id,
            "backbone": trial.config.backbone,
            "score": f"{trial.best.val_score:.4f}",
            "epochs": f"{trial.best.epoch}/{trial.reports[-1].epoch}",
            "state": state_of(trial),
            "colour": COLOURS[state_of(trial)],
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


def failures_part(trials: list[TrialHistory], run_dir: Path) -> dict[str, Any]:
    """The trials that failed, and why."""
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


def cost_part(run: SearchRun, trials: list[TrialHistory], best: BestTrial | None) -> dict[str, Any]:
    """What the search took, and what early stopping and the cache saved."""
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
    if cost.energy_joules is not None:
        time.append(("energy of the GPUs", energy_in_words(cost.energy_joules)))
    savings = []
    ended = [trial for trial in trials if trial.status in (TrialStatus.FINISHED, TrialStatus.STOPPED)]
    if ended:
        whole = sum(max(run.task.epochs, len(trial.reports)) for trial in ended)
        saved = cost.epochs_saved
        savings.append(
            f"Early stopping saved {_count(saved)} of the {_count(whole)} epochs ({saved / whole:.0%}) that "
            "training every finished or stopped trial to its end would take. What the history of earlier searches "
            "saved is not known: to tell, run the same search without it (--history none)."
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


def _seconds(trial: TrialHistory) -> float:
    return sum(report.seconds for report in trial.reports if math.isfinite(report.seconds))


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "unknown" if value is None else str(value)
