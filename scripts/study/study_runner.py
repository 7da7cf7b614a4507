"""Runs a study: draws the people to hold out, trains every arm with every seed, scores, and writes the page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from results.pages.comparison_report import Page, draw, render
from results.pages.figures import save_png
from results.records.record import without_folders
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory, load_trials
from results.statistics.comparison import Answers, Classes, Compared, compare, measure, measure_named
from scripts.study.pages import page_path
from scripts.study.study_list import Arm, Study
from search.checks import check_disk
from search.machine.memory_needs import facts_of, most_networks
from search.machine.provenance import provenance
from search.machine.ray_session import RaySession
from search.retraining.trainings import Job, run_jobs
from search.stop import StopRequest
from search.study import SettledStudy
from search.terminal import say, warn
from trainables.atomic import write_whole
from trainables.config import TaskConfig, TrialConfig
from trainables.data.cache import ImageCache
from trainables.data.manifest import DataError, Manifest
from trainables.data.split import Split, split_by_group
from trainables.machine.hardware import hardware_in_words
from trainables.networks.known_costs import StepSetting, measure_throughput
from trainables.networks.weights import WeightsError, check_weights, resolve_weights
from trainables.report import TrialStatus
from trainables.strict_json import load_object, save_object

HELD_OUT_SHARE = 0.2
"""Of the pictures, the people that a repeat scores on."""
CLAIMED_SHARE = 0.25
"""Of the other pictures, where an arm has a validation side of its own: a fifth of all."""
SPEED_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all studies of a command share."""

    name: str
    command: str
    base: TrialConfig
    """The default configuration of the backbone's space."""
    held_out: Mapping[int, Split]
    """Seed of a repeat to the people that it holds out, by `held_out_split`."""
    manifest: Manifest
    cache: ImageCache
    source: str
    """The data, in words: a name, not where they lie."""
    place: str
    """Stands for where they lie, as in `Page`."""
    study: SettledStudy
    """Settled."""
    folder: Path
    """Where the trainings are kept."""
    out: Path
    """Where the pages go."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study with the weights that its networks start from."""

    study: Study
    files: Mapping[str, str]
    """Backbone to the file of its weights; one that is not listed starts at random."""
    sources: Mapping[str, str]
    """Backbone to words about its weights."""
    note: str
    """What must be said of them; empty if nothing."""


@dataclass(frozen=True)
class Training:
    """One arm in one repeat."""

    arm: str
    seed: int
    job: Job
    held_out: np.ndarray
    """Which of the answers are about people held out: `(N,) bool`, in the order of the job's answers."""
    labels: np.ndarray
    """Classes of all pictures that are answered: `(N,) int64`."""
    epochs: int


@dataclass(frozen=True)
class Studied:
    """What a study came to."""

    page: Path
    failed: int
    """Trainings that have no score."""


def settle_weights(study: Study, setting: Setting, console: Console) -> Plan:
    """Finds the weights of a study's networks: of all of them or, as arms must start alike, of none.

    Raises:
        WeightsError: A folder lacks some of them, or a file does not fit.
    """
    policy = setting.study.weights
    backbones = list(dict.fromkeys(study.config_of(arm, setting.base).backbone for arm in study.arms))
    found = resolve_weights(backbones, policy, setting.study.cache_path)
    missing = [backbone for backbone in backbones if backbone not in found.files]
    if not missing:
        for backbone in backbones:
            check_weights(backbone, found.files[backbone])
        return Plan(study=study, files=found.files, sources=found.sources, note="")
    random = dict.fromkeys(backbones, "random")
    if policy == "none":
        return Plan(study=study, files={}, sources=random, note="")
    if policy != "auto":
        raise WeightsError(
            f"--weights {policy}: holds no file for {', '.join(missing)}, which the study {study.name} trains, and "
            "arms must start alike: add them, give other --families or another --backbone, or start at random by "
            "--weights none"
        )
    note = f"no pretrained weights can be found here for {', '.join(missing)}, so ALL ARMS START AT RANDOM"
    warn(console, f"{study.name}: {note}")
    return Plan(study=study, files={}, sources=random, note=note)


def run_study(plan: Plan, setting: Setting, session: RaySession, stop: StopRequest, console: Console) -> Studied | None:
    """Trains what is not trained yet, compares, and writes page and figure; None if it was interrupted."""
    backbones = list(plan.sources)
    formulations = {plan.study.config_of(arm, setting.base).formulation for arm in plan.study.arms}
    count = most_networks(formulations, setting.manifest.attributes)
    facts = facts_of(backbones, setting.study).known.values()
    check_disk(replace(setting.study, trials=len(plan.study.arms) * len(setting.held_out)), facts, count)
    epochs, speeds = _epochs(plan, setting)
    trainings = [
        _training(arm, seed, epochs[arm.name], plan, setting) for seed in setting.held_out for arm in plan.study.arms
    ]
    jobs = list({training.job.name: training.job for training in trainings}.values())
    finished = {trial.trial_id for trial in load_trials(setting.folder) if trial.status == TrialStatus.FINISHED}
    for job in jobs:
        if job.name in finished and not _answers_path(job, setting).exists():  # deleted: train it anew
            RunFolder(setting.folder).forget_trial(job.name)
            finished.remove(job.name)
    waiting = sum(job.name not in finished for job in jobs)
    say(console, f"{plan.study.title}: {len(jobs)} trainings, {waiting} of them to be done, in {setting.folder}")
    done = run_jobs(jobs, _task(plan, setting), setting.study, setting.folder, session, stop, console)
    if stop.reason is not None:
        return None
    rows = {}
    for name in plan.study.expanded_measures(tuple(setting.manifest.attributes)):
        scores = _scores(name, plan.study, trainings, done, setting)
        rows[name] = compare(scores, HELD_OUT_SHARE / _trained_share(plan.study), measure_named(name))
    for job in jobs:
        _keep_last_answers(job, setting)
    page = _write(plan, setting, trainings, done, rows, speeds, console)
    return Studied(page, sum(bool(_failure(training, done)) for training in trainings))


def _trained_share(study: Study) -> float:
    """Of the pictures, those that an arm trains on."""
    rest = 1 - HELD_OUT_SHARE
    return rest * (1 - CLAIMED_SHARE) if any(arm.claims_by for arm in study.arms) else rest


def held_out_split(manifest: Manifest, seed: int) -> Split:
    """The people that a repeat holds out are its side `val`; those whom the data name as test stay untouched.

    Raises:
        DataError: Train and held out cannot both have every class.
    """
    table = manifest.table[manifest.table["split"] != "test"]
    if table.empty:
        raise DataError(["all pictures are on the side test, which the studies leave alone"])
    free = replace(manifest, table=table.assign(split=""))
    return split_by_group(free, seed=seed, val_share=HELD_OUT_SHARE, test_share=0)


def claimed_split(manifest: Manifest, held: Split, seed: int, by: Literal["group", "picture"]) -> Split:
    """The same people held out, now as the side `test`, and a side `val` cut out of the others, by group or picture."""
    side = dict(zip(held.table["path"], held.table["split"], strict=True))
    table = manifest.table[manifest.table["path"].isin(list(side))]
    fixed = table.assign(split=["test" if side[path] == "val" else "" for path in table["path"]])
    return split_by_group(replace(manifest, table=fixed), seed=seed, val_share=CLAIMED_SHARE, test_share=0, by=by)


def _epochs(plan: Plan, setting: Setting) -> tuple[dict[str, int], dict[str, float]]:
    """Epochs of each arm and, where they are to take the same time, images a second measured for each."""
    study = plan.study
    first = study.times_epochs * setting.study.epochs
    if not study.equal_time:
        return {arm.name: first for arm in study.arms}, {}
    configs = {arm.name: study.config_of(arm, setting.base) for arm in study.arms}
    by_arm = dict(zip(configs, _speeds(list(configs.values()), plan, setting), strict=True))
    reference = by_arm[study.arms[0].name]
    return {name: max(1, round(first * speed / reference)) for name, speed in by_arm.items()}, by_arm


def _speeds(configs: Sequence[TrialConfig], plan: Plan, setting: Setting) -> list[float]:
    """Images a second of training, the fastest of some rounds, as other work on the machine only slows it down.

    Kept in `speeds.json` in the folder of the trainings: measured anew, they would ask for other epochs after a kill.
    """
    study, path, task = setting.study, setting.folder / "speeds.json", _task(plan, setting)
    size = f"{study.image_size} px, batches of {study.batch_size}, {study.cpus_per_trial} threads, {task.device} of "
    size += hardware_in_words()
    known = load_object(path) if path.exists() else {}
    steps, keys = {}, []
    for config in configs:
        frozen = config.stages_frozen(task)
        keys.append(f"{config.backbone}, {size}" + (f", {frozen} stages frozen" if frozen else ""))
        steps[keys[-1]] = StepSetting(
            config.backbone,
            study.image_size,
            study.batch_size,
            task.device,
            study.cpus_per_trial,
            frozen_stages=frozen,
        )
    missing = [key for key in steps if key not in known]
    for _ in range(SPEED_ROUNDS):
        for key in missing:
            known[key] = max(measure_throughput(steps[key]), known.get(key, 0.0))
    save_object(path, known)
    return [known[key] for key in keys]


def _training(arm: Arm, seed: int, epochs: int, plan: Plan, setting: Setting) -> Training:
    """The training of an arm in a repeat; its name stands for all that makes up its numbers."""
    config = plan.study.config_of(arm, setting.base)
    sides: tuple[str, ...] = ("val",)
    split = setting.held_out[seed]
    if arm.claims_by:
        split, sides = claimed_split(setting.manifest, split, seed, arm.claims_by), ("val", "test")
    task = {"seed": seed, "epochs": epochs, "validate_on": sides}
    what = {
        **task,
        "config": asdict(config),
        "split": split.hash(setting.manifest.root),
        "pictures": setting.cache.path.name,
        "classes": setting.manifest.classes,
        "attributes": setting.manifest.attributes,
        "batch_size": setting.study.batch_size,
        "weights": plan.sources[config.backbone].rpartition(":")[2],  # the file's hash
        **({} if config.sampling == "natural" else {"drawn": "evenly"}),  # trainings of before, with replacement
    }
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    path = setting.folder / "splits" / f"{what['split']}.csv"
    split.save(path)  # anew, as the pictures may have moved since
    answered = [split.table[split.table["split"] == side] for side in sides]
    classes = {name: index for index, name in enumerate(setting.manifest.classes)}
    labels = np.array([classes[label] for rows in answered for label in rows["label"]])
    held_out = np.arange(len(labels)) >= len(labels) - len(answered[-1])  # the last side
    job = Job(f"{config.backbone}-seed-{seed}-{digest}", config, {**task, "split_path": str(path)})
    return Training(arm.name, seed, job, held_out, labels, epochs)


def _task(plan: Plan, setting: Setting) -> TaskConfig:
    return TaskConfig(
        cache_path=str(setting.cache.path),
        split_path="",  # each training has its own
        checkpoint_dir=str(RunFolder(setting.folder).checkpoints),
        classes=setting.manifest.classes,
        attributes=setting.manifest.attributes,
        image_size=setting.study.image_size,
        epochs=setting.study.epochs,
        batch_size=setting.study.batch_size,
        device="cuda" if setting.study.gpus_per_trial else "cpu",
        num_threads=setting.study.cpus_per_trial,
        weights=plan.files,
        predictions_dir=str(RunFolder(setting.folder).predictions),
    )


def _answers_path(job: Job, setting: Setting) -> Path:
    return RunFolder(setting.folder).predictions / job.name / f"{job.task['epochs']}.npy"


def _keep_last_answers(job: Job, setting: Setting) -> None:
    last = _answers_path(job, setting)
    for path in last.parent.glob("*.npy"):
        if path != last:
            path.unlink()


def _scores(
    name: str, study: Study, trainings: Sequence[Training], done: Mapping[str, TrialHistory], setting: Setting
) -> dict[str, list[float]]:
    """Arm to its scores in the order of the seeds; none for an arm of which a training failed."""
    table = setting.manifest.table
    counts = table["label"].value_counts()
    classes = Classes([int(counts.get(label, 0)) for label in setting.manifest.classes], setting.manifest.attributes)
    scores: dict[str, list[float]] = {arm.name: [] for arm in study.arms}
    failed = {training.arm for training in trainings if _failure(training, done)}
    for training in trainings:
        if training.arm in failed:
            continue
        probabilities, held = np.load(_answers_path(training.job, setting)), training.held_out
        own = None if held.all() else Answers(training.labels[~held], probabilities[~held])
        scores[training.arm].append(measure(name, Answers(training.labels[held], probabilities[held]), own, classes))
    return scores


def _failure(training: Training, done: Mapping[str, TrialHistory]) -> str:
    """Why a training has no score; empty if it has one."""
    trial = done.get(training.job.name)
    if trial is None:
        return "it did not start"
    return "" if trial.status == TrialStatus.FINISHED else trial.reason or trial.status


def _write(
    plan: Plan,
    setting: Setting,
    trainings: Sequence[Training],
    done: Mapping[str, TrialHistory],
    rows: Mapping[str, Sequence[Compared]],
    speeds: Mapping[str, float],
    console: Console,
) -> Path:
    seconds: dict[str, list[float]] = {}
    failures: dict[str, list[str]] = {}
    for training in trainings:
        if why := _failure(training, done):
            failures.setdefault(training.arm, []).append(f"seed {training.seed}: {why}")
            warn(console, f"{training.arm}, seed {training.seed}: {why}; the same command tries again")
        else:
            reports = done[training.job.name].reports
            seconds.setdefault(training.arm, []).append(sum(report.seconds for report in reports))
    study, table = plan.study, setting.manifest.table
    path = page_path(setting.out, setting.name, study.name)
    page = Page(
        title=study.title,
        question=study.question,
        reported=study.reported,
        command=setting.command,
        figure=path.with_suffix(".png").name,
        tables={measure_named(name).title: found for name, found in rows.items()},
        epochs={training.arm: training.epochs for training in trainings},
        seconds={arm: float(np.mean(each)) for arm, each in seconds.items()},
        speeds=dict(speeds),
        failures=without_folders(failures),
        settings={
            arm.name: {"backbone": arm.config["backbone"]} if study.equal_time else {**study.base, **arm.config}
            for arm in study.arms
        },
        seeds=list(setting.held_out),
        facts={
            "Data": f"{setting.source}: {len(table):,} pictures, {len(setting.manifest.classes)} classes, "
            + (f"{table['group'].nunique():,} groups (people)" if setting.manifest.has_groups else "no groups"),
            "Network": ", ".join(f"{backbone} ({source})" for backbone, source in plan.sources.items())
            + f" at {setting.study.image_size} px, batches of {setting.study.batch_size}",
            **{name.capitalize(): str(value) for name, value in provenance().items() if name != "versions"},
            "Trainings": f"{setting.study.concurrency} at a time, threads of each: {setting.study.cpus_per_trial}",
        },
        units=setting.manifest.units,
        place=setting.place,
        note=plan.note,
        held_out_share=HELD_OUT_SHARE,
        trained_share=_trained_share(study),
    )
    save_png(draw(page), path.with_name(page.figure))
    write_whole(path, render(page).encode())
    return path
