"""What a search leaves to answer with: the folder `model` of its run, picked by validation.

The trials whose weights were kept are put together where that is a gain on people who did not choose; else the best of
them answers alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from subprocess import Popen
from threading import Thread

import numpy as np
from rich.console import Console

from results.records.answers import TrialAnswers, ValidationAnswers, load_answers
from results.records.found import Found
from results.records.record import BestTrial, SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from results.statistics.bootstrap import score_interval
from results.statistics.chosen_best import corrected_score
from results.statistics.ensemble import Selection, select
from results.statistics.measure import Measure
from search.lengths import long_together
from search.model_limits import may_answer_together, second_view
from search.terminal import warn
from trainables.atomic import TORN, torn_name
from trainables.checkpoints import BEST
from trainables.config import TrialConfig
from trainables.parts.registry import decision_of, in_use
from trainables.report import TrialStatus
from trainables.saved.model_description import made_with_model, model_in
from trainables.saved.save_found import FoundMember, begin_saving, end_saving
from trainables.second_view import NONE

FIT_TO_ANSWER = 0.75
"""Share of the best score that a trial must have to answer with the best: what the time cut off after an epoch or two
knows nothing, and a weight that it is given is noise."""
LONG = 15
"""Epochs that a trial must have trained for the plain mean of such trials to be tried: of 6 they gained nothing, of 20
and 30 they did (docs/score.md)."""
NEARLY_AS_GOOD = 0.95
"""Share of the best score that such a trial must have: what it takes from the mean is half of what it lacks, and two
networks gain about .02 together."""


def find_model(
    run: SearchRun,
    folder: RunFolder,
    best: BestTrial,
    trials: Sequence[TrialHistory],
    *,
    single: bool,
    mirror: bool = True,
) -> Found:
    """Judges the best score and chooses which trials are to answer; writes it down as `found.json`.

    Args:
        run: The search.
        folder: Its folder.
        best: Its best trial.
        trials: All of its trials.
        single: Whether the best one shall answer alone.
        mirror: Whether what answers may be asked for a second view of each picture.

    Raises:
        UserError: The split cannot be read.
        OSError: Neither can it, or `found.json` cannot be written.
    """
    answers = load_answers(folder, trials, run.task.classes)
    measure = Measure(run.task.metric)
    interval, corrected = _honest(answers, best, measure)
    there = sorted((trial for trial in trials if _has_weights(folder, trial)), key=_score, reverse=True)
    allowed, chosen_among = may_answer_together(run, there)
    shares, selection = _choose(answers, allowed, measure, length=run.task.epochs, single=single)
    members = sorted((trial for trial in there if trial.trial_id in shares), key=lambda each: -shares[each.trial_id])
    second = second_view(run, [trial.config for trial in members]) if mirror and members else NONE
    scored = [trial for trial in trials if trial.best is not None and trial.status != TrialStatus.FAILED]
    found = Found(
        trial_id=best.trial_id,
        val_interval=interval,
        val_corrected=corrected,
        people=len(set(answers.groups)),
        trials=len(scored),
        epochs=sum(len(trial.reports) for trial in scored),
        members=[
            {
                "trial_id": trial.trial_id,
                "backbone": trial.config.backbone,
                "share": shares[trial.trial_id],
                "val_score": _score(trial),
            }
            for trial in members
        ],
        selection=None if selection is None else selection.to_json(),
        model_bytes=sum(_weights(folder, trial).stat().st_size for trial in members),
        time_factor=_time_factor(members, there) * (2 if second else 1),
        second_view=second,
        chosen_among=chosen_among,
    )
    found.save(folder.found_json)
    return found


@contextmanager
def leaving_model(
    run: SearchRun,
    folder: RunFolder,
    found: Found | None,
    trials: Sequence[TrialHistory],
    console: Console,
    *,
    beside_training: bool = False,
) -> Iterator[None]:
    """Saves what was found as a model that predict, evaluate and export_onnx take.

    It is saved in a process of its own while the inside runs, and is there as soon as that is done. The folder is
    replaced as a whole, so nothing lies in it that was made from another model. What fails becomes a warning.
    """
    if found is None or not found.members:
        yield
        if found is not None:
            warn(console, "no trial's weights were kept, so there is no model: --keep says how many are")
        return
    configs = {trial.trial_id: trial.config for trial in trials}
    members = [
        FoundMember(
            trial_id=member["trial_id"],
            config=configs[member["trial_id"]],
            checkpoint=(folder.refit if member["trial_id"] in found.refit_epochs else folder).checkpoints
            / member["trial_id"],
            share=member["share"],
        )
        for member in found.members
    ]
    record = {
        "run": run.name,
        "picked_by": "validation",
        **found.to_json(),
        "config": asdict(members[0].config),
        "split_hash": run.split_hash,
        "versions": run.versions,
    }
    for torn in folder.path.glob(f"{folder.model.name}{TORN}"):  # of a process that was killed while it wrote
        shutil.rmtree(torn, ignore_errors=True)
    draft, saving, problems = torn_name(folder.model), None, list[Exception]()
    prior = load_answers(folder, (), run.task.classes).prior.tolist() if found.tau else ()

    def settle(process: Popen[str]) -> None:
        try:
            end_saving(process)
            _put_in_place(draft, folder)
            if found.refit_epochs:
                shutil.rmtree(folder.refit.checkpoints, ignore_errors=True)
        except Exception as error:
            problems.append(error)

    try:
        saving = begin_saving(
            draft,
            members,
            run.task,
            record,
            tau=found.tau,
            prior=prior,
            second_view=found.second_view,
            beside_training=beside_training,
        )
    except Exception as error:
        problems.append(error)
    settling = Thread(target=settle, args=(saving,), name="model", daemon=True)
    if saving is not None:
        settling.start()
    try:
        yield
        if saving is not None:
            settling.join()
        for problem in problems:
            warn(console, f"the model {folder.model} could not be written: {problem}")
    finally:
        if saving is not None:
            if saving.poll() is None:
                saving.kill()
            settling.join()
        shutil.rmtree(draft, ignore_errors=True)


def _honest(
    answers: ValidationAnswers, best: BestTrial, measure: Measure
) -> tuple[dict[str, float | None] | None, dict[str, float | None] | None]:
    """The best score's interval over people, and what picking it is worth; None each without its answers."""
    by_id = {each.trial.trial_id: each for each in answers.trials}
    if best.trial_id not in by_id:
        return None, None
    classes = len(answers.prior)
    chosen = by_id[best.trial_id].chosen[best.report.epoch - 1]
    counts = measure.by_group(answers.labels.tolist(), chosen.tolist(), answers.groups.tolist(), classes)
    interval = score_interval(counts, measure.score)
    every = [each.chosen for each in answers.trials]
    return interval.to_json(), corrected_score(answers.labels, answers.groups, every, classes, measure).to_json()


def _choose(
    answers: ValidationAnswers, there: Sequence[TrialHistory], measure: Measure, *, length: int, single: bool
) -> tuple[dict[str, float], Selection | None]:
    """The share of each trial that is to answer, of those whose weights are there, and how it was chosen."""
    kept = {each.trial.trial_id: each for each in answers.trials}
    fit = [trial for trial in there if _score(trial) >= FIT_TO_ANSWER * _score(there[0])]
    able = [kept[trial.trial_id] for trial in fit if trial.trial_id in kept]
    if not able or able[0].trial.trial_id != there[0].trial_id:  # none, or the best is of before answers were kept
        return ({there[0].trial_id: 1.0} if there else {}), None
    units = [[each] for each in able] if single else trainings_of_one(able, length)
    selection = select(
        np.stack([np.mean([each.probabilities for each in unit], axis=0) for unit in units]),
        answers.labels,
        answers.groups,
        answers.prior,
        single=single,
        whole=[len(unit) * is_fit_for_the_mean(unit[0].trial, _score(there[0])) for unit in units],
        measure=measure,
    )
    if decision_of(in_use()) is not None:  # the answers have been decided on by the user's own rule
        selection = replace(selection, tau=0.0)
    shares = {
        each.trial.trial_id: share / len(unit)
        for unit, share in zip(units, selection.weights, strict=True)
        for each in unit
        if share > 0
    }
    return shares, selection


def trainings_of_one(able: Sequence[TrialAnswers], length: int) -> list[list[TrialAnswers]]:
    """The trials by configuration, in the order of the first of each: trainings of one configuration answer as one.

    They are equally good on people never seen, and better together; which of them a few validation people prefer is
    luck. What was trained for too short a time (`search.lengths.long_together`) stands alone.

    Args:
        able: The trials that may answer.
        length: Epochs of a whole training.
    """
    units: dict[TrialConfig | str, list[TrialAnswers]] = {}
    for each in able:
        is_long = each.trial.reports[-1].epoch >= long_together(length)
        units.setdefault(each.trial.config if is_long else each.trial.trial_id, []).append(each)
    return list(units.values())


def is_fit_for_the_mean(trial: TrialHistory, best: float) -> bool:
    """Whether a trial may answer in the plain mean of several, of which the best has this score."""
    return trial.reports[-1].epoch >= LONG and _score(trial) >= NEARLY_AS_GOOD * best


def _score(trial: TrialHistory) -> float:
    return trial.best.val_score if trial.best is not None else -1.0


def _weights(folder: RunFolder, trial: TrialHistory) -> Path:
    return folder.checkpoints / trial.trial_id / BEST


def _has_weights(folder: RunFolder, trial: TrialHistory) -> bool:
    return trial.status != TrialStatus.FAILED and trial.best is not None and _weights(folder, trial).is_file()


def _time_factor(members: Sequence[TrialHistory], there: Sequence[TrialHistory]) -> float:
    """How many times as long the members take as the best trial alone, by their speed in training."""
    if not members:
        return 0.0
    alone = _seconds_per_picture(there[0])
    return sum(map(_seconds_per_picture, members)) / alone if alone else float(len(members))


def _seconds_per_picture(trial: TrialHistory) -> float:
    speeds = [report.images_per_second for report in trial.reports if report.images_per_second > 0]
    return 1 / (sum(speeds) / len(speeds)) if speeds else 0.0


def _put_in_place(draft: Path, folder: RunFolder) -> None:
    shutil.copyfile(folder.split_csv, RunFolder(draft).split_csv)  # which pictures it has seen
    before = torn_name(folder.model)
    if folder.model.exists():
        known, new = model_in(folder.model), model_in(draft)
        if known is not None and new is not None and known.what_answers == new.what_answers:
            for made in made_with_model(folder.model):
                made.rename(draft / made.name)
        folder.model.rename(before)
    draft.rename(folder.model)
    shutil.rmtree(before, ignore_errors=True)
