"""The second stage of a re-training: the pick is trained on train and val, and scored once on people never seen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas
from rich.console import Console

from results.records.best import wall_seconds
from results.records.cost import device_seconds, energy_joules
from results.records.retrained import RetrainedModel
from results.records.run_folder import RunFolder
from results.records.scorings import note_scoring, side_hash
from results.records.trials import TrialHistory, load_trials
from results.statistics.bootstrap import Interval, score_interval
from results.statistics.held_out import TestScore, score_test
from results.statistics.measure import Measure
from results.statistics.ranking import Ranked, best_first
from search.machine.provenance import provenance
from search.model_limits import second_view
from search.retraining.plan import Retraining, final_jobs, fold_path, ranking_jobs, run
from search.retraining.replaced import EVERYONE, trial_of
from search.retraining.trainings import Job
from search.stop import StopRequest
from search.terminal import say, warn
from trainables.atomic import write_whole
from trainables.checkpoints import BEST
from trainables.csv_text import csv_text
from trainables.data.split import load_split
from trainables.data.whole_batches import images_per_epoch
from trainables.report import TrialStatus
from trainables.saved.model_description import DESCRIPTION, ModelDescription, made_with_model, model_in
from trainables.second_view import NONE

CONTROL = "control"
"""Folder of the default configuration's final model, beside the pick's."""
ANSWERS = ("out_of_fold.csv", "test_predictions.csv")
"""What a re-training puts beside its model, made with it."""


def train_finals(
    retraining: Retraining,
    finals: Sequence[Ranked],
    seconds: Callable[[Ranked], float],
    stop: StopRequest,
    console: Console,
) -> list[list[Job]] | None:
    """Trains on train and val for the epochs that the ranking found best; the weights stay in `checkpoints`.

    Args:
        retraining: What it started from.
        finals: The pick and the default.
        seconds: How long a training of one takes; long ones begin first, so that no core waits for the last.
        stop: Asked after every epoch.
        console: For the progress.

    Returns:
        The trainings of each, one a final seed. None, with a word to the user, if that was interrupted or failed.
    """
    jobs = {ranked.candidate.name: final_jobs(retraining, ranked) for ranked in finals}
    long_first = sorted(finals, key=seconds, reverse=True)
    every = [job for ranked in long_first for job in jobs[ranked.candidate.name]]
    return list(jobs.values()) if train_jobs(retraining, every, "train and val", stop, console) else None


def train_jobs(retraining: Retraining, jobs: Sequence[Job], where: str, stop: StopRequest, console: Console) -> bool:
    """Runs final trainings, on the sides that `where` names; if not all are done, a word to the user says why."""
    logs = RunFolder(retraining.folder)
    for job in jobs:
        if not (logs.checkpoints / job.name / BEST).exists():
            logs.forget_trial(job.name)  # its weights were cleared away after an earlier re-training
    say(console, f"Trains on {where}: {', '.join(job.name for job in jobs)}")
    done = run(retraining, jobs, stop, console, keep=len(jobs))
    if stop.reason is not None:
        warn(console, f"{stop.reason}: the same command goes on where this ended")
        return False
    for job in jobs:
        if job.name not in done or done[job.name].status != TrialStatus.FINISHED:
            reason = done[job.name].reason if job.name in done else "it did not start"
            warn(console, f"{job.name} failed: {reason}. The same command tries again")
            return False
    return True


def save_final(
    retraining: Retraining, jobs: Sequence[Job], folder: Path, record: Mapping[str, object]
) -> ModelDescription:
    """Saves the network of a final training as a model; of several as one that answers with their mean.

    Args:
        retraining: What it started from.
        jobs: The trainings, whose weights are in `checkpoints`.
        folder: Where the model goes.
        record: What its description says of how it was made.
    """
    from trainables.saved.final_model import save_trained, save_trained_together
    from trainables.saved.save_found import FoundMember

    source, second = retraining.source, NONE
    if retraining.mirror:
        second = second_view(source.run, [job.config for job in jobs], source.study.cost)
    task, checkpoints = replace(retraining.task, **jobs[0].task), RunFolder(retraining.folder).checkpoints
    if len(jobs) == 1:
        return save_trained(checkpoints / jobs[0].name, jobs[0].config, task, folder, record, second_view=second)
    members = [
        FoundMember(trial_id=job.name, config=job.config, checkpoint=checkpoints / job.name, share=1 / len(jobs))
        for job in jobs
    ]
    return save_trained_together(members, None, task, folder, record, second_view=second)


def score_finals(retraining: Retraining, ranking: Sequence[Ranked], jobs: Sequence[Sequence[Job]]) -> RetrainedModel:
    """Saves the final models, scores them on the test side, and writes down that this was done.

    Args:
        retraining: What it started from.
        ranking: All candidates, the pick first.
        jobs: The final trainings of the pick and, unless that is the pick, of the default.
    """
    from trainables.saved.final_model import answer_side

    rows = retraining.split.table[retraining.split.table["split"] == "test"]
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    answers, models = [], []
    shutil.rmtree(retraining.folder / CONTROL, ignore_errors=True)
    before = model_in(retraining.folder)
    for each, target in zip(jobs, (retraining.folder, retraining.folder / CONTROL), strict=False):
        models.append(save_final(retraining, each, target, {"run": retraining.source.name}))
        if target == retraining.folder:  # at once: a kill later on must not leave what was made with another
            _clear_derived(target, before, models[0], ranking[0].candidate.name)
    is_default = ranking[0].candidate.config == retraining.source.default
    test_side = side_hash(zip(rows["path"], rows["label"], rows["group"], strict=True))
    times = note_scoring(  # before it is scored: a kill in between must not hide it
        retraining.study.records_dir.parent / "test_scores.csv",
        date=now,
        test_side=test_side,
        weights_sha256=models[0].weights_sha256,
        run=retraining.source.name,
        model=jobs[0][0].name,
    )
    for target in (retraining.folder, retraining.folder / CONTROL)[: len(jobs)]:
        # The driver of a cluster need not have the GPU that its workers have.
        device = "cpu" if retraining.task.device == "cpu" else "auto"
        answers.append(answer_side(target, replace(retraining.task, device=device), "test"))
    score = score_test(
        answers[0],
        answers[-1] if len(jobs) > 1 or is_default else "see events.jsonl",
        list(rows["label"]),
        list(rows["group"]),
        retraining.task.classes,
        Measure(retraining.task.metric),
    )
    _save_answers(retraining, rows, answers[0], retraining.folder / "test_predictions.csv")
    record = _record(retraining, ranking, jobs[0][0], score, now, test_side, times, models[0])
    described = replace(models[0], record=record.to_json())
    write_whole(retraining.folder / DESCRIPTION, described.to_json().encode())
    return record


def _record(
    retraining: Retraining,
    ranking: Sequence[Ranked],
    job: Job,
    score: TestScore,
    date: str,
    test_side: str,
    times_scored: int,
    model: ModelDescription,
) -> RetrainedModel:
    pick = ranking[0]
    jobs = {
        job.name: job
        for ranked in ranking
        for job in (*ranking_jobs(retraining, ranked.candidate), *final_jobs(retraining, ranked))
    }
    trials = [trial for trial in load_trials(retraining.folder) if trial.trial_id in jobs]
    reports = [report for trial in trials for report in trial.reports]
    out_of_fold = None if retraining.folds is None else _out_of_fold(retraining, pick).to_json()
    return RetrainedModel(
        run=retraining.source.name,
        space=retraining.source.space,
        date=date,
        trial_id=pick.candidate.name,
        config=pick.candidate.config,
        is_default=pick.candidate.config == retraining.source.default,
        epochs=pick.epoch,
        networks=retraining.final_seeds,
        task=replace(retraining.task, **job.task),
        seeds=retraining.seeds,
        folds=retraining.folds,
        ranking=[ranked.to_json() for ranked in best_first(ranking)],
        val_macro_f1=pick.mean,
        out_of_fold=out_of_fold,
        test=score.to_json(),
        gap=pick.mean - score.score.value,
        default_test=score.default.to_json(),
        difference=score.difference.to_json(),
        verdict=score.verdict,
        test_side=test_side,
        times_scored=times_scored,
        data=retraining.source.facts,
        split_hash=retraining.source.split_hash,
        weights=retraining.source.weights.get(pick.candidate.config.backbone, "random"),
        weights_sha256=model.weights_sha256,
        second_view=model.second_view,
        wall_seconds=wall_seconds(retraining.folder, jobs),
        device_seconds=device_seconds(reports),
        images_trained=_images_trained(retraining, jobs, trials),
        energy_joules=energy_joules(reports),
        **provenance(),
    )


def _images_trained(retraining: Retraining, jobs: Mapping[str, Job], trials: Sequence[TrialHistory]) -> int:
    """Pictures of all epochs of the trainings, each on its own sides."""
    trained = 0
    for trial in trials:
        task = replace(retraining.task, **jobs[trial.trial_id].task)
        sides = load_split(Path(task.split_path)).table["split"]
        trained += len(trial.reports) * images_per_epoch(int(sides.isin(task.train_on).sum()), task.batch_size)
    return trained


def _out_of_fold(retraining: Retraining, pick: Ranked) -> Interval:
    """Macro-F1 over all people of train and val, each answered by the fold's network that had not seen them."""
    tables, answers = [], []
    for number, job in enumerate(ranking_jobs(retraining, pick.candidate)):
        path = RunFolder(retraining.folder).predictions / job.name / f"{pick.epoch}.npy"
        table = load_split(fold_path(retraining, number)).table
        tables.append(table[table["split"] == "val"])
        answers.append(np.load(path))
    rows, probabilities = pandas.concat(tables), np.concatenate(answers)
    _save_answers(retraining, rows, probabilities, retraining.folder / "out_of_fold.csv")
    classes, measure = list(retraining.task.classes), Measure(retraining.task.metric)
    truth = [classes.index(label) for label in rows["label"]]
    counts = measure.by_group(truth, probabilities.argmax(1).tolist(), list(rows["group"]), len(classes))
    return score_interval(counts, measure.score)


def _save_answers(retraining: Retraining, rows: pandas.DataFrame, probabilities: np.ndarray, path: Path) -> None:
    """Writes `path,group,label,answer,probability`, whole or not at all."""
    best = probabilities.argmax(1)
    table = rows[["path", "group", "label"]].assign(
        answer=[retraining.task.classes[index] for index in best],
        probability=probabilities[np.arange(len(best)), best].round(4),
    )
    rows = [list(table.columns), *table.itertuples(index=False)]
    write_whole(path, csv_text(rows).encode(errors="surrogateescape"))


def _clear_derived(folder: Path, before: ModelDescription | None, model: ModelDescription, pick: str) -> None:
    """Takes away what was made from the model that lay in the folder before.

    Args:
        folder: Of the model.
        before: What described the one before; None where there was none.
        model: The one that lies there now.
        pick: Its trial; the model of all people stays where it is of the same one.
    """
    is_same = before is not None and before.what_answers == model.what_answers
    derived = [] if is_same else [*made_with_model(folder), *(folder / name for name in ANSWERS)]
    if trial_of(model_in(folder / EVERYONE)) not in (None, pick):
        derived.append(folder / EVERYONE)
    for path in derived:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
