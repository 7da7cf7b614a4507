"""The two stages after a search: rank its best again, then train the pick on train and val and score it once."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas
from rich.console import Console
from rich.table import Table

from results.export import export_retrained
from results.pages.report import write_report
from results.records.best import wall_seconds
from results.records.cost import device_seconds, energy_joules
from results.records.experiments import note_retrained
from results.records.retrained import RetrainedModel
from results.records.run_folder import RunFolder
from results.records.scorings import note_scoring, side_hash
from results.records.trials import TrialHistory, load_trials
from results.statistics.bootstrap import Interval, score_interval
from results.statistics.held_out import TestScore, score_test
from results.statistics.measure import Measure
from results.statistics.ranking import Candidate, Ranked, rank
from search.machine.provenance import provenance
from search.machine.ray_session import RaySession
from search.retraining.origin import Source
from search.retraining.pick import picked_first
from search.retraining.trainings import Job, run_jobs
from search.stop import StopRequest
from search.study import SettledStudy
from search.terminal import is_quiet, say, say_if_it_fails, say_result, warn
from trainables.atomic import write_whole
from trainables.checkpoints import BEST
from trainables.config import TaskConfig
from trainables.csv_text import csv_text
from trainables.data.folds import split_into_folds
from trainables.data.split import Split, load_split
from trainables.data.whole_batches import images_per_epoch
from trainables.metric_names import in_words
from trainables.report import TrialStatus
from trainables.saved.model_description import DESCRIPTION, ModelError, read_description

CONTROL = "control"
"""Folder of the default configuration's final model, beside the pick's."""
DERIVED = ("model.onnx", "evaluation", "out_of_fold.csv", "test_predictions.csv")
"""What lies beside a model and was made with it."""


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What a re-training starts from."""

    source: Source
    """The search."""
    candidates: Sequence[Candidate]
    """What is ranked, the default configuration among them."""
    control: Candidate
    """The default configuration."""
    task: TaskConfig
    """What all trainings share: the task of the search, on this machine."""
    split: Split
    """The split of the search."""
    study: SettledStudy
    """Retraining; how many trainings at a time, where the records are."""
    session: RaySession
    """The machine."""
    folder: Path
    """`retrained` in the folder of the run."""
    seeds: list[int]
    """One a training of each candidate; the first is that of the final ones."""
    folds: int | None
    """Folds of train and val people; None to train everything on the same split."""
    pick: str | None = None
    """The trial that becomes the model, however it ranks; None for the one that ranks best."""


def rank_again(retraining: Retraining, stop: StopRequest, console: Console) -> list[Ranked] | None:
    """Trains every candidate with every seed, or in every fold, and ranks them by their mean.

    None, with a word to the user, if that was interrupted or nothing can be ranked.
    """
    listed = retraining.candidates
    how = f"{len(retraining.seeds)} seeds" if retraining.folds is None else f"{retraining.folds} folds"
    names = ", ".join(f"{candidate.name} ({candidate.config.backbone})" for candidate in listed)
    say(console, f"Ranks {names} over {how}, {retraining.task.epochs} epochs each, in {retraining.folder}")
    if retraining.folds is not None:
        for number, fold in enumerate(split_into_folds(retraining.split, retraining.folds, retraining.seeds[0])):
            fold.save(_fold_path(retraining, number))
    long_first = sorted(listed, key=lambda candidate: epoch_seconds(retraining.source.trials, candidate), reverse=True)
    jobs = {candidate.name: _trainings(retraining, candidate) for candidate in long_first}
    order = [job for column in zip(*jobs.values(), strict=True) for job in column]  # one of each, then the next
    done = _run(retraining, order, stop, console)
    if stop.reason is not None:
        warn(console, f"{stop.reason}: the same command goes on where this ended")
        return None
    trainings = {name: [done[job.name] for job in each if job.name in done] for name, each in jobs.items()}
    ranking, failed = rank(listed, trainings)
    for name, reason in failed.items():
        warn(console, f"{name} is left out, a training of it failed: {reason}")
    if not ranking:
        warn(console, f"no candidate could be trained. What happened: {RunFolder(retraining.folder).events_jsonl}")
        return None
    if not is_quiet(console):
        console.print(_table(ranking, how))
    if retraining.pick is None:
        return ranking
    return picked_first(ranking, retraining.pick) or None


def _run(
    retraining: Retraining, jobs: Sequence[Job], stop: StopRequest, console: Console, *, keep: int = 0
) -> dict[str, TrialHistory]:
    return run_jobs(
        jobs,
        retraining.task,
        retraining.study,
        retraining.folder,
        retraining.session,
        stop,
        console,
        keep=keep,
    )


def epoch_seconds(trials: Sequence[TrialHistory], candidate: Candidate) -> float:
    """Seconds of an epoch of a candidate in the search; infinite where it was not trained there."""
    seconds = [report.seconds for trial in trials if trial.config == candidate.config for report in trial.reports]
    return sum(seconds) / len(seconds) if seconds else math.inf


def train_finals(
    retraining: Retraining, finals: Sequence[Ranked], stop: StopRequest, console: Console
) -> list[Job] | None:
    """Trains on train and val for the epochs that the ranking found best; the weights stay in `checkpoints`.

    None, with a word to the user, if that was interrupted or failed.
    """
    jobs = [final_job(retraining, ranked) for ranked in finals]
    return train_jobs(retraining, jobs, "train and val", stop, console)


def train_jobs(
    retraining: Retraining, jobs: list[Job], where: str, stop: StopRequest, console: Console
) -> list[Job] | None:
    """Runs final trainings, on the sides that `where` names; as `train_finals` otherwise."""
    logs = RunFolder(retraining.folder)
    for job in jobs:
        if not (logs.checkpoints / job.name / BEST).exists():
            logs.forget_trial(job.name)  # its weights were cleared away after an earlier re-training
    say(console, f"Trains on {where}: {', '.join(job.name for job in jobs)}")
    done = _run(retraining, jobs, stop, console, keep=len(jobs))
    if stop.reason is not None:
        warn(console, f"{stop.reason}: the same command goes on where this ended")
        return None
    for job in jobs:
        if job.name not in done or done[job.name].status != TrialStatus.FINISHED:
            reason = done[job.name].reason if job.name in done else "it did not start"
            warn(console, f"{job.name} failed: {reason}. The same command tries again")
            return None
    return jobs


def score_finals(retraining: Retraining, ranking: Sequence[Ranked], jobs: Sequence[Job]) -> RetrainedModel:
    """Saves the final models, scores them on the test side, and writes down that this was done.

    Args:
        retraining: What it started from.
        ranking: All candidates, the pick first.
        jobs: The final training of the pick and, unless that is the pick, of the default.
    """
    from trainables.saved.final_model import answer_side, save_trained

    rows = retraining.split.table[retraining.split.table["split"] == "test"]
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    answers, models = [], []
    shutil.rmtree(retraining.folder / CONTROL, ignore_errors=True)
    before = _known_sha256(retraining.folder)
    for job, target in zip(jobs, (retraining.folder, retraining.folder / CONTROL), strict=False):
        task = replace(retraining.task, **job.task)
        checkpoint = RunFolder(retraining.folder).checkpoints / job.name
        models.append(save_trained(checkpoint, job.config, task, target, {"run": retraining.source.name}))
    if models[0].weights_sha256 != before:
        _clear_derived(retraining.folder)
    is_default = ranking[0].candidate.config == retraining.source.default
    test_side = side_hash(zip(rows["path"], rows["label"], rows["group"], strict=True))
    times = note_scoring(  # before it is scored: a kill in between must not hide it
        retraining.study.records_dir.parent / "test_scores.csv",
        date=now,
        test_side=test_side,
        weights_sha256=models[0].weights_sha256,
        run=retraining.source.name,
        model=jobs[0].name,
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
    record = _record(retraining, ranking, jobs[0], score, now, test_side, times, models[0].weights_sha256)
    described = replace(models[0], record=record.to_json())
    write_whole(retraining.folder / DESCRIPTION, described.to_json().encode())
    return record


def _known_sha256(folder: Path) -> str:
    """Hash of the weights that lie in the folder; empty where there are none."""
    try:
        return read_description(folder / DESCRIPTION).weights_sha256
    except (ModelError, OSError):
        return ""


def _record(
    retraining: Retraining,
    ranking: Sequence[Ranked],
    job: Job,
    score: TestScore,
    date: str,
    test_side: str,
    times_scored: int,
    weights_sha256: str,
) -> RetrainedModel:
    pick = ranking[0]
    jobs = {
        job.name: job
        for ranked in ranking
        for job in (*_trainings(retraining, ranked.candidate), final_job(retraining, ranked))
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
        task=replace(retraining.task, **job.task),
        seeds=retraining.seeds,
        folds=retraining.folds,
        ranking=[ranked.to_json() for ranked in ranking],
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
        weights_sha256=weights_sha256,
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


def _trainings(retraining: Retraining, candidate: Candidate) -> list[Job]:
    """A candidate's trainings; a name stands for all that makes up the numbers of one."""
    if retraining.folds is None:
        return [Job(f"{candidate.name}-seed-{seed}", candidate.config, {"seed": seed}) for seed in retraining.seeds]
    return [
        Job(
            f"{candidate.name}-fold-{number}-of-{retraining.folds}-seed-{seed}",
            candidate.config,
            {
                "seed": seed,
                "split_path": str(_fold_path(retraining, number)),
                "predictions_dir": str(RunFolder(retraining.folder).predictions),
            },
        )
        for number, seed in enumerate(retraining.seeds)
    ]


def final_job(
    retraining: Retraining, ranked: Ranked, sides: Sequence[str] = ("train", "val"), word: str = "final"
) -> Job:
    """The training of a candidate on some sides together, for the epochs that the ranking found best."""
    seed = retraining.seeds[0]
    name = f"{ranked.candidate.name}-{word}-{ranked.epoch}-epochs-seed-{seed}"
    own = {"seed": seed, "train_on": tuple(sides), "validate_on": (), "last_epoch": ranked.epoch}
    return Job(name, ranked.candidate.config, own)


def _out_of_fold(retraining: Retraining, pick: Ranked) -> Interval:
    """Macro-F1 over all people of train and val, each answered by the fold's network that had not seen them."""
    tables, answers = [], []
    for number, job in enumerate(_trainings(retraining, pick.candidate)):
        path = RunFolder(retraining.folder).predictions / job.name / f"{pick.epoch}.npy"
        table = load_split(_fold_path(retraining, number)).table
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


def _fold_path(retraining: Retraining, number: int) -> Path:
    return retraining.folder / "folds" / f"{number}-of-{retraining.folds}-seed-{retraining.seeds[0]}.csv"


def _table(ranking: Sequence[Ranked], how: str) -> Table:
    table = Table("trial", "backbone", "search", f"mean of {how}", "std", "epoch", box=None)
    for ranked in ranking:
        search = ranked.candidate.search_score
        table.add_row(
            ranked.candidate.name,
            ranked.candidate.config.backbone,
            "–" if search is None else f"{search:.4f}",
            f"{ranked.mean:.4f}",
            f"{ranked.std:.4f}",
            str(ranked.epoch),
        )
    return table


def export(retraining: Retraining, result: RetrainedModel, console: Console) -> str:
    """Writes record, table, the line among the experiments and the run's report; says what became of the record."""
    study, source = retraining.study, retraining.source
    said = export_retrained(result, records_dir=study.records_dir, readme=study.readme_path, timezone=study.timezone)
    score, experiments = result.test["macro_f1"], study.records_dir.parent / "experiments.csv"
    ends = (score["value"], score["low"], score["high"])
    with say_if_it_fails(console, f"{experiments} could not be written"):
        note_retrained(experiments, source.name, source.started, result.trial_id, *ends)
    if source.run is not None:
        with say_if_it_fails(console, f"the report of {source.run_dir} could not be written"):
            write_report(source.run_dir)
    return said


def summarize(retraining: Retraining, result: RetrainedModel, said: str, console: Console) -> None:
    """Says what came out of it, and where it is."""
    score = Interval.from_json(result.test["macro_f1"])
    other = ""
    if "score" in result.test:
        other = f", {in_words(result.task.metric)} {Interval.from_json(result.test['score'])},"
    alone = result.test["groups"] == result.test["pictures"]
    whose = "" if alone else f" of {result.test['groups']} groups"
    say_result(
        console,
        f"Pick: {result.trial_id}, {result.config.backbone}, {result.epochs} epochs on train and val. Test macro-F1 "
        f"{score}{other} on {result.test['pictures']} pictures{whose} never seen",
    )
    search = result.ranking[0]["search"]
    before = "" if search is None else f"; the search had said {search:.3f}"
    say(console, f"Validation said {result.val_macro_f1:.3f}, {result.gap:+.3f} against the test{before}")
    say_result(console, f"Against the default configuration: {result.verdict}")
    if result.test["missing"]:
        warn(console, f"the test side has no picture of {', '.join(result.test['missing'])}: they are left out")
    if alone:
        warn(console, "every picture is its own group: the interval takes them for different people")
    if result.times_scored > 1:
        warn(
            console,
            f"{result.times_scored} models have been scored on this test side by now: the more, the less it is a "
            "test. Who chooses between them by it needs new people for an honest score",
        )
    say(console, f"{said}\nTable: {retraining.study.readme_path}\nModel: {retraining.folder}")


def _clear_derived(folder: Path) -> None:
    """Takes away what was made from the model that lay in the folder before."""
    for name in DERIVED:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Deletes what only the trainings needed."""
    shutil.rmtree(RunFolder(folder).checkpoints, ignore_errors=True)
