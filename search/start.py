"""Starts a run: its folder, the weights, the task that all trials share, and the record of it all."""

from __future__ import annotations

import json
import math
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from results.export import is_stale
from results.records.record import SearchRun
from results.records.run_folder import RunFolder, address_of
from search.checks import (
    check_device,
    check_disk,
    proposals,
    refuse_absent_trackers,
    refuse_formulations,
    refuse_short_budget,
    refuse_taken_name,
    refuse_unwritable,
    weights_of_space,
)
from search.engine.portfolio import first_points
from search.hold import hold
from search.lengths import SETTLED_BY_LENGTHS, suit_lengths
from search.machine.answering_limits import Priced, most_kept, price_networks, with_room
from search.machine.forecast import (
    epoch_seconds,
    is_foreseeable,
    refuse_long_epochs,
    refuse_spent_budget,
)
from search.machine.free_memory import device_memory
from search.machine.memory_needs import (
    LEFT_OUT,
    BackboneFacts,
    Sizing,
    facts_of,
    leave_out_too_large,
    long_first,
    most_networks,
)
from search.machine.provenance import provenance
from search.machine.ray_session import RaySession
from search.open_run import OpenRun, settle_on, space_of_run, workers_to_come
from search.own_parts import parts_in_words, refuse_unknown_parts, try_parts, use_own_parts
from search.prepare import (
    Prepared,
    data_facts,
    prepare_data,
    refuse_leaks,
    say_mirror_classes,
    seen_by_weights,
)
from search.refit_time import (
    epochs_each,
    is_worth_it,
    longer_with_validation,
    may_refit,
    refits_without_budget,
    seconds_kept_back,
)
from search.stop import StopRequest
from search.study import AskedStudy, SettledStudy
from search.terminal import doing, say
from spaces import Space, fixed_settings, get_space
from trainables.atomic import write_whole
from trainables.config import TaskConfig
from trainables.data.manifest import DataConfig
from trainables.errors import UserError
from trainables.free_names import numbered
from trainables.machine.hardware import device_of_trials
from trainables.networks.weights import PACKAGES, ResolvedWeights, check_weights_once
from trainables.parts.registry import in_use

STARTING = ".starting-"
LEFTOVER_SECONDS = 3600
"""A folder of a run that starts is renamed within a second; one this old was left by a kill."""


def begin_run(
    asked: AskedStudy,
    data: DataConfig,
    session: RaySession,
    stack: ExitStack,
    console: Console,
    stop: StopRequest | None = None,
) -> OpenRun:
    """Checks everything that can be checked, and makes the folder of a new run.

    What is known without the pictures is checked before the first of them is decoded, and so is what their classes
    rule out. Then Ray starts beside, so that its workers import what a trial needs while pictures are decoded.

    Args:
        asked: How to search.
        data: Which pictures.
        session: The machine.
        stack: Holds the run until it ends.
        console: For the progress.
        stop: Knows the time budget; by default there is none.

    Raises:
        UserError: Something asked for cannot be had.
    """
    stop = stop or StopRequest()
    refuse_short_budget(asked.search.time_budget_seconds)
    refuse_unwritable(asked.places)
    refuse_absent_trackers(asked.track)
    flags = asked.search
    space = get_space(flags.space, flags.backbone_names, flags.formulations, flips=flags.flips)
    parts = use_own_parts(asked.search, space)
    if parts is not None:
        say(console, parts_in_words(parts))
    proposed = proposals(space)
    refuse_unknown_parts(proposed)
    session.look_at_nodes(asked, console, stop.seconds_left)
    settle = partial(settle_on, asked, session, space)
    study = settle()
    is_stale(records_dir=study.records_dir, readme=study.readme_path, timezone=study.timezone)  # raises if broken
    refuse_taken_name(study.name, study.runs_dir)
    check_device(study)
    weights = weights_of_space(space, study) if study.weights != "auto" else None
    workers = workers_to_come(asked, study, session)
    free = device_memory(study)  # before Ray has any
    prepared = prepare_data(
        data,
        study.split,
        seed=study.seed,
        image_size=study.image_size,
        cache_path=study.cache_path,
        console=console,
        check=lambda manifest: refuse_formulations(space, manifest, study.weight_of_attribute),
        seconds_left=lambda: stop.seconds_left,
        beside=None if study.cost.are_asked else session.starting(workers, console),  # whose workers disturb a timing
    )
    doing(console, "looking for the same picture on two sides")
    by_picture = study.split.split_by == "picture"
    leaks = refuse_leaks(prepared, allowed=study.split.allow_leak, by_picture=by_picture)
    if flags.flip == "auto" and (not space.own or any(config.flip > 0 for config in proposed)):
        doing(console, "looking for classes that are mirror images of each other")
        said = say_mirror_classes(prepared, space.own)
        leaks = [*leaks, *filter(None, [said])]
        if said and not space.own:
            asked, space = asked.replace(flip="never"), space.fixing(fixed_settings(flips=False))
            settle = partial(settle_on, asked, session, space)
            study = settle()
    if parts is not None:
        doing(console, "trying your own parts on two pictures")
        try_parts(_task(study, prepared, RunFolder(study.runs_dir), {}), space)
    weights, priced = _priced(space, study, prepared, weights, console)
    refuse_spent_budget(stop)
    session.start(workers, console)
    doing(console, "looking for the weights of each backbone")
    weights = weights or weights_of_space(space, study)
    session.look_for_weights(weights.files.values())
    leaks = [*leaks, *seen_by_weights(weights.files, prepared)]
    doing(console, "measuring the networks: size, memory, speed")
    facts = facts_of(priced.backbones if priced else weights.backbones, study)
    num_networks = most_networks(space.formulations, prepared.manifest.attributes)
    sizing = Sizing(study, facts, len(prepared.cache.rows), num_networks)
    study = settle(trials_that_fit=sizing.trials_in(free), trials_in=sizing.trials_on)
    run, run_dir, study = start_run(study, data, space, prepared, leaks, weights, facts, free, stop, priced)
    stack.enter_context(hold(run_dir))
    return OpenRun(
        run=run,
        folder=RunFolder(run_dir),
        study=study,
        space=space_of_run(run, study),
        facts=facts,
        warnings=run.data["warnings"],
        single_core_trials=workers,
        refit_seconds=stop.kept_back,
    )


def _priced(
    space: Space, study: SettledStudy, prepared: Prepared, weights: ResolvedWeights | None, console: Console
) -> tuple[ResolvedWeights | None, Priced | None]:
    """What the networks cost to answer, and the weights that name them, where that was asked for.

    Before Ray starts, whose workers would be timed along.
    """
    if not study.cost.are_asked:
        return weights, None
    doing(console, "looking for the weights of each backbone")
    weights = weights or weights_of_space(space, study)
    doing(console, "measuring the time that each network takes for one picture")
    manifest = prepared.manifest
    return weights, price_networks(space, weights.backbones, len(manifest.classes), manifest.attributes, study)


def start_run(
    study: SettledStudy,
    data: DataConfig,
    space: Space,
    prepared: Prepared,
    leaks: Sequence[str],
    weights: ResolvedWeights,
    facts: BackboneFacts,
    device_memory_bytes: int | None,
    stop: StopRequest,
    priced: Priced | None = None,
) -> tuple[SearchRun, Path, SettledStudy]:
    """Makes the folder of a new run with `run.json` and `split.csv`.

    Args:
        study: Settled.
        data: As asked for.
        space: As asked for; the run's `weights` name the backbones that it goes on with.
        prepared: The pictures.
        leaks: What was said of them: the same picture twice, or classes that are mirror images of each other.
        weights: Those of the space's backbones that have them.
        facts: Of these backbones.
        device_memory_bytes: Free memory of one device (`search.machine.free_memory.device_memory`).
        stop: Knows the time budget.
        priced: What the networks cost to answer, where that was asked for.

    Returns:
        The run, its folder, and the study with the lengths of its trials.

    Raises:
        UserError: There is a run of this name, no backbone fits into memory, or no epoch into the time budget; or what
            fits has nothing to weigh.
        WeightsError: Weights are broken, or do not fit their backbone.
    """
    backbones, too_large, priced = _trainable(space, study, prepared, weights, facts, device_memory_bytes, priced)
    files = {backbone: file for backbone, file in weights.files.items() if backbone in backbones}
    for backbone, file in files.items():
        others = [*space.backbones, *PACKAGES]
        check_weights_once(backbone, file, others, study.cache_path, image_size=study.image_size)
    now = datetime.now().astimezone()
    name = study.name or _free_name(study.runs_dir, f"{space.name}-{now:%Y%m%d-%H%M%S}")
    run_dir = study.runs_dir / name
    refuse_taken_name(name, study.runs_dir)  # again, it has been a while
    run = SearchRun(
        name=name,
        space=space.name,
        started=now.isoformat(timespec="seconds"),
        options=json.loads(json.dumps({**study.options, **asdict(data)}, default=str)),
        task=_task(study, prepared, RunFolder(run_dir), files),
        data={
            **data_facts(prepared, data, study.split, study.seed),
            **({} if study.flips else {"flips": False}),
            "warnings": [*prepared.warnings, *leaks],
        },
        split_hash=prepared.split.hash(prepared.manifest.root),
        weights={backbone: weights.sources[backbone] for backbone in backbones},
        weights_note="; ".join(filter(None, [weights.note, too_large, priced.left_out if priced else ""])),
        costs=priced.costs.to_json() if priced else {},
        **provenance(),
        trials_asked=study.trials,
        points=[],
        history="",
    )
    space = space_of_run(run, study)
    run = replace(run, points=[asdict(space.starting_points[0])])  # the default, by which epochs are timed
    refuse_long_epochs(run, study, facts.known, stop)
    run, study = _with_lengths(run, study, space, facts, stop)
    _make_folder(run, run_dir, prepared, data.corrections)
    return run, run_dir, study


def _with_lengths(
    run: SearchRun, study: SettledStudy, space: Space, facts: BackboneFacts, stop: StopRequest
) -> tuple[SearchRun, SettledStudy]:
    """The run with its epochs, its trials, and what it tries first; the space is that of its backbones."""
    has_budget = math.isfinite(stop.seconds_left)
    known = epoch_seconds(run, study, facts.known) if has_budget and is_foreseeable(run, study) else None
    default = space.starting_points[0].backbone
    suit = partial(
        suit_lengths,
        study,
        train_pictures=run.data["sides"]["train"]["pictures"],
        epoch_seconds=known and known[0],
        default=default,
        most_trials=space.num_configs,
    )
    refits = refits_without_budget(study)
    suited = suit(seconds_left=stop.seconds_left)
    longer, each = longer_with_validation(run), epochs_each(run, suited.epochs)
    if for_the_end := seconds_kept_back(suited, stop.seconds_left, longer, each):
        shorter = suit(seconds_left=stop.seconds_left - for_the_end)
        if is_worth_it(suited, shorter):
            stop.keep_back(for_the_end)
            suited, refits = shorter, True
    study = suited
    points, history = first_points(space, study, run)
    if len(points) >= study.trials:  # all that is tried is known
        points = long_first(points[: study.trials], facts.known)
    return (
        replace(
            run,
            options={**run.options, **{name: study.options[name] for name in SETTLED_BY_LENGTHS}},
            task=replace(run.task, epochs=study.epochs, num_threads=study.cpus_per_trial),
            trials_asked=study.trials,
            trials_open=study.fills_its_budget,
            epochs_open=study.goes_on,
            refits=refits,
            own_seeds=True,
            points=points,
            history=history,
        ),
        study,
    )


def _trainable(
    space: Space,
    study: SettledStudy,
    prepared: Prepared,
    weights: ResolvedWeights,
    facts: BackboneFacts,
    device_memory_bytes: int | None,
    priced: Priced | None,
) -> tuple[tuple[str, ...], str, Priced | None]:
    """The backbones that memory and disk have room for, a sentence about the others, and what they cost to answer.

    Raises:
        UserError: None has, or one of a user's own space has not; or those that have cost the same.
    """
    count = most_networks(space.formulations, prepared.manifest.attributes)
    wanted = priced.backbones if priced else weights.backbones
    backbones, too_large = leave_out_too_large(wanted, facts, study, device_memory_bytes, count)
    if too_large and space.own:
        raise UserError(
            f"{study.space} proposes what cannot be trained here: {too_large.removesuffix(LEFT_OUT)}. Take it out of "
            "the file, or give another --image-size, --batch-size or --concurrency"
        )
    priced = priced and with_room(priced, backbones, too_large, study.cost)
    keep = most_kept(study, priced.costs if priced else None)
    known = [facts.known[backbone] for backbone in backbones]
    check_disk(replace(study, keep=keep), known, count, trains_on=may_refit(study))
    return backbones, too_large, priced


def _task(study: SettledStudy, prepared: Prepared, folder: RunFolder, files: Mapping[str, str]) -> TaskConfig:
    """What all trials of the run share."""
    return TaskConfig(
        cache_path=str(prepared.cache.path),
        split_path=str(folder.split_csv),
        checkpoint_dir=str(folder.checkpoints),
        answers_dir=str(folder.answers),
        classes=prepared.manifest.classes,
        attributes=prepared.manifest.attributes,
        image_size=study.image_size,
        epochs=study.epochs,
        batch_size=study.batch_size,
        seed=study.seed,
        compile=study.compile,
        precision=study.precision,
        num_threads=study.cpus_per_trial,
        device=device_of_trials(study.gpus_per_trial),
        weights=dict(files),
        attribute_weights=dict(study.weight_of_attribute),
        metric=study.metric,
        parts=parts.to_task() if (parts := in_use()) is not None else {},
    )


def _free_name(runs_dir: Path, name: str) -> str:
    """The name, or the first of name-2, name-3, ... that is free: two searches may start in one second.

    Runs in a bucket have four random digits in it, as those that other machines start are not all here.
    """
    if address_of(runs_dir) is not None:
        name = f"{name}-{secrets.token_hex(2)}"
    return next(free for free in numbered(name) if not (runs_dir / free).exists())


def _make_folder(run: SearchRun, run_dir: Path, prepared: Prepared, corrections: Path | None) -> None:
    """Makes the run's folder, there whole or not at all, so that what has a folder can be resumed."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    for leftover in run_dir.parent.glob(f"{STARTING}*"):  # of a process that was killed just here
        if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=run_dir.parent, prefix=STARTING, ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary) / "run"
        prepared.split.save(RunFolder(folder).split_csv)
        run.save(RunFolder(folder).run_json)
        if run.task.parts:
            write_whole(RunFolder(folder).parts_py, run.task.parts["source"].encode())
        if corrections is not None:
            write_whole(RunFolder(folder).corrections_csv, corrections.expanduser().read_bytes())
        try:
            folder.rename(run_dir)
        except OSError as error:
            raise UserError(
                f"the run {run.name!r} was made by another process just now: give another --name"
            ) from error
