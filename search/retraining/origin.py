"""What is trained again: a run's folder, or the record of a search whose folder is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from results.records.record import BestTrial, SearchRun, load_record, trial_config
from results.records.run_folder import RunError, RunFolder, load_run
from results.records.trials import TrialHistory, load_trials
from search.flags import PlaceFlags
from search.prepare import SPLIT_SETTINGS, prepare_data
from search.resume import saved_options, with_kept_corrections
from search.study import AskedStudy
from spaces import get_space, is_user_space, space_name
from trainables.config import TaskConfig, TrialConfig
from trainables.data.manifest import DataConfig
from trainables.data.split import Split, load_split
from trainables.errors import UserError
from trainables.networks.weights import WeightsError, check_weights, resolve_weights
from trainables.report import TrialStatus

LIMITS = ("max_ms", "max_parameters")
"""Flags, and keys of a record, that limit what a network may cost to answer."""


@dataclass(frozen=True)
class Source:
    """A search as far as re-training needs it."""

    name: str
    """Name of the run."""
    started: str
    """When it began: ISO 8601 with offset."""
    space: str
    run_dir: Path
    """The run's folder; there need not be one yet."""
    run: SearchRun | None
    """The run; None where only its record is left."""
    trials: tuple[TrialHistory, ...]
    """Its trials; of a record the best alone, as if it had trained all its epochs."""
    default: TrialConfig
    """The default configuration of its space."""
    study: AskedStudy
    """The settings of the search that matter to its data and split, and to what its networks may cost."""
    data: DataConfig
    """Its pictures, as they were asked for."""
    task: TaskConfig
    """What its trials shared; of a record without paths."""
    split_hash: str
    weights: dict[str, str]
    """Backbone to words about the weights that its trials started from."""
    facts: dict[str, Any]
    """The pictures, as in `SearchRun.data`."""
    default_fits: bool = True
    """Whether the default configuration is known to be within the limits of the search; where there are none it is."""


def from_run(storage: Path, name: str) -> Source:
    """The search in a run's folder.

    Raises:
        RunError: There is no such run, or it is broken; names the runs there are.
        UserError: Its space is no longer there.
    """
    run_dir = storage / name
    run = load_run(run_dir)
    space = run.options.get("space", run.space)  # the path of a user's own, which is recorded by a name
    if not is_user_space(space):  # of whose file, which may have moved, nothing is needed
        get_space(space)
    study, data = saved_options(PlaceFlags(storage=storage), name)
    if not run.points:
        raise RunError(f"{RunFolder(run_dir).run_json}: points is empty, it must begin with the default configuration")
    return Source(
        name=run.name,
        started=run.started,
        space=run.space,
        run_dir=run_dir,
        run=run,
        trials=tuple(load_trials(run_dir)),
        default=trial_config(run.points[0], f"{RunFolder(run_dir).run_json}: points"),
        study=study,
        data=data,
        task=run.task,
        split_hash=run.split_hash,
        weights=run.weights,
        facts=run.portable().data,
    )


def from_record(path: Path, study: AskedStudy) -> Source:
    """The search behind a record; from its run's folder if that is there, which knows all of its trials.

    Raises:
        RecordError: The record is broken.
        OSError: There is no such file.
        UserError: Its space is no longer there.
    """
    record = load_record(path)
    if RunFolder(study.places.runs_dir / record.run).run_json.exists():
        source = from_run(study.places.runs_dir, record.run)
        if source.split_hash != record.split_hash:
            raise UserError(
                f"{source.run_dir} has the name of the run behind {path}, but is another run (split "
                f"{source.split_hash}, not {record.split_hash}): give --run {record.run} for the run in that folder, "
                "another --storage for that of the record"
            )
        return source
    asked = study.search.space  # of a user's own: its path
    space = asked if space_name(asked) == record.space else record.space
    default, weights = _default(record, study, space)
    return Source(
        name=record.run,
        started=record.date,
        space=record.space,
        run_dir=study.places.runs_dir / record.run,
        run=None,
        trials=(
            TrialHistory(
                trial_id=record.trial_id,
                config=record.config,
                reports=(record.report,),
                status=TrialStatus.FINISHED,
                reason=None,
            ),
        ),
        default=default,
        study=study.replace(
            space=space, image_size=record.task.image_size, **_split_settings(record), **_cost_settings(record)
        ),
        data=DataConfig(),
        task=record.task,
        split_hash=record.split_hash,
        weights={default.backbone: weights, record.config.backbone: record.weights},
        facts=record.data,
        default_fits=_is_within_limits(default, record),
    )


def open_pictures(source: Source, asked: DataConfig, cache_dir: Path, console: Console) -> tuple[Path, Split]:
    """Cache and split of the search: its own if they are there, else made again below `cache_dir` and compared.

    Returns:
        The folder of the picture cache, and the split.

    Raises:
        DataError: Something is wrong with the pictures.
        UserError: They are not those of the search.
    """
    default = DataConfig()
    given = {field.name: getattr(asked, field.name) for field in fields(asked)}
    given = {name: value for name, value in given.items() if value != getattr(default, name)}
    split_path, cache_path = RunFolder(source.run_dir).split_csv, Path(source.task.cache_path)
    if not given and source.run is not None and split_path.exists() and (cache_path / "meta.json").exists():
        return cache_path, load_split(split_path)
    prepared = prepare_data(
        replace(with_kept_corrections(source.data, RunFolder(source.run_dir)), **given),
        source.study.split,
        seed=source.study.search.seed,
        image_size=source.task.image_size,
        cache_path=cache_dir,
        console=console,
    )
    found = prepared.split.hash(prepared.manifest.root)
    if found != source.split_hash:
        where = prepared.manifest.root if "data" in given else source.facts.get("source", "there")
        raise UserError(
            f"the pictures in {where} do not give the split of the search {source.name} (hash {found}, it was "
            f"{source.split_hash}): name the very same pictures by --data, with the flags that the search had"
        )
    return prepared.cache.path, prepared.split


def weights_to_start_from(source: Source, backbones: Sequence[str], policy: str, cache_dir: Path) -> dict[str, str]:
    """The files of the weights that the search's trials started from, by backbone; random ones are left out.

    Raises:
        WeightsError: They are not to be had, or are others.
    """
    wanted = [name for name in backbones if not source.weights[name].startswith("random")]
    if not wanted:
        return {}
    if policy == "auto":  # the search may have been told
        policy = source.study.search.weights
    found = resolve_weights(wanted, policy, cache_dir)
    for backbone in wanted:
        was, now = source.weights[backbone], found.sources.get(backbone, "none to be had")
        if was.rpartition(":")[2] != now.rpartition(":")[2]:  # the file's hash
            raise WeightsError(
                f"the search started {backbone} from other weights ({was}) than there are here ({now}): "
                "give their folder by --weights"
            )
        check_weights(backbone, found.files[backbone], image_size=source.task.image_size)
    return found.files


def _default(record: BestTrial, study: AskedStudy, name: str) -> tuple[TrialConfig, str]:
    """The default of the record's space, and where its weights come from; from weights if the record's trial was.

    In the record's formulation where the space leaves that open: which others were searched, a record does not say.
    """
    is_open = record.config.formulation in get_space(name).formulations
    formulations = () if is_open else (record.config.formulation,)
    flips = record.data.get("flips", True)
    random = record.weights.startswith("random")
    space = get_space(name, formulations=formulations, flips=flips, pretrained=not random)
    if random:
        return space.starting_points[0], "random"
    found = resolve_weights(space.backbones, study.search.weights, study.places.cache_path)
    narrowed = space if space.own else get_space(name, found.backbones, formulations, flips=flips)
    default = narrowed.starting_points[0]
    return default, found.sources.get(default.backbone, "random")


def _split_settings(record: BestTrial) -> dict[str, Any]:
    settings = record.data.get("split")
    if not isinstance(settings, dict) or settings.keys() != set(SPLIT_SETTINGS):
        raise UserError(
            f"the record of run {record.run} does not say how its pictures were split: search again, or give --run"
        )
    return settings


def _cost_settings(record: BestTrial) -> dict[str, Any]:
    """The limits and the objectives of the search, as flags; none where nobody asked what its networks cost."""
    known = record.answering or {}
    return {name: known[name] for name in ("objective", *LIMITS) if known.get(name) is not None}


def _is_within_limits(config: TrialConfig, record: BestTrial) -> bool:
    """Whether a configuration's network is known to be within the limits of a search, as all are that it trained.

    A record tells of the networks of the best trial and of the front alone.
    """
    known = record.answering or {}
    if all(known.get(name) is None for name in LIMITS):
        return True
    trained = [vars(record.config), *(known.get("front") or ())]
    return any(_network(each) == _network(vars(config)) for each in trained)


def _network(values: Mapping[str, Any]) -> tuple[Any, Any]:
    """What the costs of a configuration depend on."""
    return values.get("backbone"), values.get("formulation")
