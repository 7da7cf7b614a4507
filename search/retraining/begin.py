"""Begins a re-training: which search, which candidates, which pictures and weights, on which machine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from results.export import is_stale
from results.records.found import load_found
from results.records.record import load_record
from results.records.run_folder import RunFolder
from results.records.shelf import record_of
from results.records.trials import TrialHistory
from results.statistics.ranking import candidates
from search.checks import check_device, check_disk, refuse_unwritable
from search.hold import hold
from search.machine.free_memory import device_memory
from search.machine.memory_needs import Sizing, facts_of, most_networks
from search.machine.ray_session import RaySession
from search.own_parts import use_parts_of_run, with_source
from search.retraining.flags import RetrainFlags
from search.retraining.origin import Source, from_record, from_run, open_pictures, weights_to_start_from
from search.retraining.pick import settled_pick
from search.retraining.plan import Retraining
from search.study import AskedStudy
from search.terminal import doing
from spaces import space_name
from trainables.config import TaskConfig
from trainables.data.manifest import DataConfig
from trainables.errors import UserError
from trainables.machine.hardware import device_of_trials


def begin_retraining(
    config: RetrainFlags,
    asked: AskedStudy,
    data: DataConfig,
    session: RaySession,
    stack: ExitStack,
    console: Console,
) -> Retraining:
    """Checks everything that can be checked, and makes the folder of the re-training.

    Args:
        config: What to train again.
        asked: The machine and the places, as flags of a search.
        data: Where the pictures are, if that has changed.
        session: The machine.
        stack: Holds the folder until it ends.
        console: For the progress.

    Raises:
        UserError: Something asked for cannot be had.
    """
    places = asked.places
    refuse_unwritable(places)
    is_stale(records_dir=places.records_dir, readme=places.readme_path, timezone=places.timezone)  # raises if broken
    source = _source(config, asked, data.data)
    source = replace(source, task=with_source(_as_long_as_any(source.task, source.trials), asked.search))
    use_parts_of_run(source.task.parts, RunFolder(source.run_dir))
    pick = settled_pick(source, config.pick, console)
    listed, control = candidates(source.trials, source.default, config.top_k, config.trial or pick)
    seeds = _seeds(config, source.task.seed)
    final_seeds = config.final_seeds or _trainings_in_model(source)
    doing(console, "opening the decoded pictures")
    cache_path, split = open_pictures(source, data, places.cache_path, console)
    if not config.no_final and not (split.table["split"] == "test").any():
        raise UserError("the split has no test side to score on: rank only, by --no-final")
    backbones = list(dict.fromkeys(candidate.config.backbone for candidate in listed))
    doing(console, "looking for the weights of each backbone")
    files = weights_to_start_from(source, backbones, asked.search.weights, places.cache_path)
    task, cluster = source.task, session.cluster
    asked = asked.replace(
        epochs=task.epochs, image_size=task.image_size, batch_size=task.batch_size, precision=task.precision
    )
    session.look_at_nodes(asked, console, math.inf)
    session.look_for_weights(files.values())
    settle = partial(asked.settle, cluster.num_cpus, cluster.num_gpus)
    study = settle(rooms=session.rooms())
    if config.device == "cuda" and not study.gpus_per_trial:
        raise UserError("--device cuda: there is no GPU here")
    logs = RunFolder(source.run_dir).retrained
    folder = logs.path
    folder.mkdir(parents=True, exist_ok=True)
    stack.enter_context(hold(folder, "trained again"))
    check_device(study)
    doing(console, "measuring the networks: size, memory, speed")
    count = most_networks({candidate.config.formulation for candidate in listed}, task.attributes)
    facts = facts_of(backbones, study)
    sizing = Sizing(study, facts, len(split.table), count)
    study = settle(trials_that_fit=sizing.trials_in(device_memory(study)), rooms=session.rooms(sizing.trials_on))
    most_models = 2 + (config.final_on == "all")  # the pick's, the default's, everyone's
    kept = replace(study, keep=most_models * final_seeds, trials=len(seeds) * len(listed))
    check_disk(kept, facts.known.values(), count)
    split.save(logs.split_csv)
    task = replace(
        task,
        cache_path=str(cache_path),
        split_path=str(logs.split_csv),
        checkpoint_dir=str(logs.checkpoints),
        answers_dir=str(logs.answers),
        device=device_of_trials(study.gpus_per_trial),
        num_threads=study.cpus_per_trial,
        weights=files,
        compile=False,  # as exact, and there may be no compiler here
    )
    return Retraining(
        source=source,
        candidates=listed,
        control=control,
        task=task,
        split=split,
        study=study,
        session=session,
        folder=folder,
        seeds=seeds,
        folds=config.folds,
        pick=pick,
        final_seeds=final_seeds,
        final_seeds_open=config.final_seeds is None,
        mirror=_may_mirror(config, source),
    )


def _trainings_in_model(source: Source) -> int:
    """Trainings of one configuration that answer together in the model of the search; 1 where it left none.

    It is 1, too, where what a model may cost is limited: nobody knows yet which network the re-training picks.
    """
    found = load_found(RunFolder(source.run_dir).found_json)
    if found is None or source.study.cost.are_asked:
        return 1
    configs = {trial.trial_id: trial.config for trial in source.trials}
    members = Counter(configs.get(member["trial_id"]) for member in found.members)
    return max(members.values(), default=1)


def _may_mirror(config: RetrainFlags, source: Source) -> bool:
    """Whether nobody said that each picture is to be answered alone: here, for the search, or by picking a speed."""
    speed = (config.pick or "").replace(" ", "").startswith("ms=")
    return not (config.no_mirror or source.study.run.no_mirror or speed)


def _source(config: RetrainFlags, asked: AskedStudy, data: Path | None) -> Source:
    """The search whose best are trained again: of several of a space that on these pictures."""
    if config.run is not None:
        return from_run(asked.places.runs_dir, config.run)
    return from_record(_record(config, asked, data), asked)


def run_of_record(config: RetrainFlags, asked: AskedStudy, data: Path | None) -> str:
    """The name of the run whose best are trained again where no run is named.

    Args:
        config: What to train again.
        asked: The space, and the places.
        data: Where the pictures are, if that is said.

    Raises:
        UserError: There is no such record, or it is broken; or there are several.
    """
    return load_record(_record(config, asked, data)).run


def _record(config: RetrainFlags, asked: AskedStudy, data: Path | None) -> Path:
    """The record whose search is trained again."""
    space = asked.search.space
    records_dir, name = asked.places.records_dir, space_name(space)
    record = config.record or record_of(records_dir, name, data) or records_dir / f"{name}.json"
    if not record.exists():
        raise UserError(f"{record}: no such record; search first (search/run.py --space {space}), or give --run")
    return record


def _as_long_as_any(task: TaskConfig, trials: Sequence[TrialHistory]) -> TaskConfig:
    """The task, with as many epochs as any trial has trained: in a time budget one may go on beyond its full length."""
    longest = max((trial.reports[-1].epoch for trial in trials if trial.reports), default=0)
    return replace(task, epochs=max(longest, task.epochs))


def _seeds(config: RetrainFlags, seed_of_search: int) -> list[int]:
    """One per training of a candidate; on the split of the search none may be that of the search."""
    first = seed_of_search + 1 if config.seed is None else config.seed
    seeds = [first + number for number in range(config.folds or config.seeds or 3)]
    if config.folds is None and seed_of_search in seeds:
        raise UserError(f"--seed {first}: {seed_of_search} is the seed of the search, whose luck it would repeat")
    return seeds
