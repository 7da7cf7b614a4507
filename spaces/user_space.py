"""A user's own space, `--space path/to/file.py:function`: found, loaded, and checked before a search depends on it."""

from __future__ import annotations

import difflib
import inspect
import json
import pickle
import re
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FixedTrial

from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.parts.loading import read_source, run_source
from trainables.parts.registry import Parts, line_of

SAMPLES = 100
"""Drawn for the check; a mistake behind a condition that is rarer than this may stay unseen."""

POINTS = "STARTING_POINTS"
"""Name in the user's file of the configurations to try first, should there be any: a list of `TrialConfig`."""

FIELDS = [field.name for field in fields(TrialConfig)]

_files: dict[str, Parts] = {}
"""Files that have been run, by path, with the parts in them."""


@dataclass(frozen=True)
class UserSpace:
    """A function in a user's file; pickled as its path and name, and loaded from there when it is first called."""

    path: str
    """Absolute."""
    function: str

    def __call__(self, trial: optuna.Trial) -> TrialConfig:
        """Proposes a configuration."""
        return getattr(self.module, self.function)(trial)

    @property
    def module(self) -> ModuleType:
        """What running the file made; run when it is first asked for."""
        if self.path not in _files:
            load_user_space(self.where)
        return _files[self.path].module

    @property
    def parts(self) -> Parts:
        """The user's own parts in the same file, should there be any."""
        self.module  # noqa: B018 - runs the file
        return _files[self.path]

    @property
    def where(self) -> str:
        """File and function, for messages."""
        return f"{self.path}:{self.function}"


@dataclass(frozen=True)
class Found:
    """What sampling a user's space tells of it."""

    backbones: tuple[str, ...]
    formulations: tuple[str, ...]
    """Those it proposes itself; empty if it leaves them to `--formulation`."""
    points: tuple[TrialConfig, ...]


def is_user_space(asked: str) -> bool:
    """Whether `--space` names a file."""
    return ":" in asked or "/" in asked or asked.endswith(".py")


def user_space_name(asked: str) -> str:
    """`<file>-<function>`, which names records and history; no built-in space has a dash."""
    path, _, function = asked.rpartition(":")
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{Path(path).stem}-{function}")
    return name if name[0].isalnum() else f"space-{name}"


def absolute_space(asked: str) -> str:
    """The same space wherever it is read: a file by its absolute path."""
    if not is_user_space(asked):
        return asked
    path, colon, function = asked.rpartition(":") if ":" in asked else (asked, "", "")
    return f"{Path(path).expanduser().resolve()}{colon}{function}"


def load_user_space(asked: str) -> UserSpace:
    """Loads the file anew and finds the function.

    Raises:
        UserError: There is no such file or function, or the file does not run.
    """
    path, _, function = absolute_space(asked).rpartition(":") if ":" in asked else (absolute_space(asked), "", "")
    if not Path(path).is_file():
        raise UserError(
            f"--space {asked}: there is no file {path}. Give the path of a Python file and the name of a function in "
            "it, as in my_spaces.py:mine, also to a run that goes on, if its file has moved"
        )
    file = _run_file(path)
    module = file.module
    loaded = getattr(module, function, None) if function else None
    if not callable(loaded):
        there = [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        ]
        close = difflib.get_close_matches(function, there, n=1, cutoff=0.5)
        what = f"{path} has no function {function!r}" if function else f"--space {asked} names no function of {path}"
        guess = f": did you mean {close[0]!r}?" if close else "."
        listed = ", ".join(there) or "none; write one that takes a trial and returns a TrialConfig"
        raise UserError(f"{what}{guess} Functions there: {listed}. Give {path}:{[*close, *there, 'mine'][0]}")
    _files[path] = file
    return UserSpace(path, function)


def check_user_space(space: UserSpace) -> Found:
    """Draws samples and holds them against what a search and its records rely on.

    Raises:
        UserError: A sample breaks a rule; names file, function, the rule and the way out.
    """
    study = _scratch_study()
    configs: list[TrialConfig] = []
    seen: dict[str, dict[Any, None]] = {"backbone": {}, "formulation": {}}  # as sets that keep their order
    for number in range(SAMPLES):
        trial = study.ask()
        config = _sample(space, trial, number)
        _check_sample(space, trial, config)
        configs.append(config)
        for name, values in seen.items():
            distribution = trial.distributions.get(name)
            if isinstance(distribution, CategoricalDistribution):
                values |= dict.fromkeys(distribution.choices)
            elif name == "backbone" or config.formulation != "joint":
                values[getattr(config, name)] = None
    _check_pickle(space, configs[0])
    points = _points(space) or (configs[0],)
    return Found(tuple(seen["backbone"]), tuple(seen["formulation"]), points)


def _run_file(path: str) -> Parts:
    """Runs a file as a module, without an import's cache beside it, which may be out of date."""
    return run_source(read_source(Path(path)), path, folder=Path(path).parent)


def _scratch_study() -> optuna.Study:
    """A study of random samples, made without the line that Optuna logs for it."""
    storage, verbosity = InMemoryStorage(), optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage.create_new_study([StudyDirection.MAXIMIZE], "check")
    finally:
        optuna.logging.set_verbosity(verbosity)
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.load_study(study_name="check", storage=storage, sampler=sampler)


def _sample(space: UserSpace, trial: optuna.Trial, number: int) -> TrialConfig:
    try:
        config = space(trial)
    except Exception as error:
        line = line_of(error, space.path)
        why = f"{type(error).__name__}{f' in line {line}' if line else ''}: {error}"
        if "dynamic value space" in str(error) or "different distribution kind" in str(error):
            why += (
                " One name has the same choices in every trial, and is always a choice or always a number; only "
                "numeric ranges may differ"
            )
        if isinstance(error, TypeError) and (unknown := re.search(r"TrialConfig.*unexpected.*'(\w+)'", str(error))):
            close = difflib.get_close_matches(unknown[1], FIELDS, n=1)
            why += f": did you mean {close[0]!r}?" if close else "."
            why += f" Fields of TrialConfig: {', '.join(FIELDS)}"
        raise UserError(f"{space.where} fails on sample {number} ({trial.params}): {why}") from error
    if not isinstance(config, TrialConfig):
        raise UserError(
            f"{space.where} returns {type(config).__name__}: it must return a TrialConfig "
            "(from trainables.config import TrialConfig)"
        )
    return config


def _check_sample(space: UserSpace, trial: optuna.Trial, config: TrialConfig) -> None:
    for name, value in trial.params.items():
        if name not in FIELDS:
            close = difflib.get_close_matches(name, FIELDS, n=1)
            guess = f": did you mean {close[0]!r}?" if close else "."
            raise UserError(
                f"{space.where} suggests {name!r}, which is no field of TrialConfig{guess} A suggested name is the "
                f"field it fills. Fields: {', '.join(FIELDS)}"
            )
        if getattr(config, name) != value:
            raise UserError(
                f"{space.where} suggests {name}={value!r} and returns {name}={getattr(config, name)!r}: return what "
                "was suggested as it is, or records could not be replayed"
            )
    if (again := _replayed(space, config)) != config:
        raise UserError(
            f"{space.where} does not return the same when it gets the same values again "
            f"({_difference(again, config)}): let every value that varies come from "
            "trial.suggest_*, and every condition from such a value"
        )
    for name, value in asdict(config).items():
        if type(value) not in (str, int, float):
            raise UserError(
                f"{space.where} returns {name}={value!r} of type {type(value).__name__}: records hold plain str, "
                "int and float"
            )


def _replayed(space: UserSpace, config: TrialConfig) -> TrialConfig | Exception:
    """What the space makes of the values of a configuration, or how it fails on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=r"(?s).*out of the range of the distribution")  # Optuna's
        try:
            return space(FixedTrial(asdict(config)))  # type: ignore[arg-type]
        except Exception as error:
            return error


def _difference(again: TrialConfig | Exception, config: TrialConfig) -> str:
    if not isinstance(again, TrialConfig):
        return f"{type(again).__name__}: {again}" if isinstance(again, Exception) else type(again).__name__
    return ", ".join(
        f"{name}={getattr(config, name)!r}, then {getattr(again, name)!r}"
        for name in FIELDS
        if getattr(again, name) != getattr(config, name)
    )


def _points(space: UserSpace) -> tuple[TrialConfig, ...]:
    points = getattr(space.module, POINTS, ())
    if isinstance(points, TrialConfig) or not isinstance(points, Iterable):
        raise UserError(
            f"{space.path}: {POINTS} is {type(points).__name__}: it must be a list, as in [TrialConfig(...)]"
        )
    points = tuple(points)  # of a generator, there is one look
    for number, point in enumerate(points):
        if not isinstance(point, TrialConfig):
            raise UserError(f"{space.path}: {POINTS}[{number}] is {type(point).__name__}: it must be a TrialConfig")
        if (again := _replayed(space, point)) != point:
            raise UserError(
                f"{space.path}: {POINTS}[{number}] does not lie in {space.function} ({_difference(again, point)}): "
                "take a value of each range, and for what is not suggested the value that the function returns"
            )
    return points


def _check_pickle(space: UserSpace, config: TrialConfig) -> None:
    again: UserSpace = pickle.loads(pickle.dumps(space))
    if _replayed(again, config) != config or json.loads(json.dumps(asdict(config))) != asdict(config):
        raise UserError(f"{space.where} does not survive being pickled: let it depend on nothing but its trial")
