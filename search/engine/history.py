"""What earlier searches learned: a store of their trials, and the few configurations that a new search tries first.

The store is one file of JSON lines, one line a trial, only ever appended to; a search reads it once, at its start.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from search.engine.curves import extended_values
from trainables.report import TrialStatus

FILE_NAME = "history.jsonl"
LOCK_SECONDS = 30.0
"""How long another process may hold the file, for what is written in milliseconds."""
CANDIDATES_PER_STUDY = 6
TREES = 100
ABSENT = -1e9
"""Stands for a parameter that a configuration does not have; below any value, so one split of a tree sets it apart."""

Config = Mapping[str, Any]
Study = Sequence[tuple[Config, Sequence[float]]]


@dataclass(frozen=True, kw_only=True)
class HistoryTrial:
    """One trial of a finished search, as a line of the history."""

    study: str
    """Identifier of the search; the trials of one search are compared with each other only."""
    space: str
    """Name of the search space."""
    config: dict[str, Any]
    """What was searched."""
    values: list[float]
    """The metric after each epoch; NaN where it was no number."""
    state: TrialStatus = TrialStatus.FINISHED
    """How it ended."""
    metric: str = "val_macro_f1"
    """Name of the metric."""
    mode: str = "max"
    """Whether the metric is better when larger (max) or smaller (min)."""
    epochs: int | None = None
    """Epochs that a trial of the search had at most."""
    seconds: float | None = None
    """Cost of the trial."""
    data: dict[str, Any] = field(default_factory=dict)
    """Facts of the data: num_classes, num_images, imbalance (largest over smallest class), image_size and the like."""


def append_trials(path: Path | str, trials: Iterable[HistoryTrial]) -> int:
    """Appends the trials of a search to a history, all of them or none, and returns how many were new.

    Trials of a study that the history already holds are left out, so that a search may be written more than once.

    Args:
        path: The file, or a folder that holds or will hold `history.jsonl`.
        trials: Trials of any number of searches.

    Raises:
        OSError: It cannot be written, or another process holds it for too long.
    """
    file = history_path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock", timeout=LOCK_SECONDS):
        known = {_identity(line) for line in _read_lines(file)}
        lines = []
        for trial in trials:
            line = json.loads(json.dumps(_strict(asdict(trial))))
            if _identity(line) not in known:
                known.add(_identity(line))
                lines.append(json.dumps(line, allow_nan=False, sort_keys=True))
        if not lines:
            return 0
        text = "".join(f"{line}\n" for line in lines).encode()
        with file.open("ab+") as stream:
            end = stream.seek(0, os.SEEK_END)
            if end and _last_byte(stream, end) != b"\n":  # an append was cut off: close its line, readers skip it
                text = b"\n" + text
            try:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(end)
                raise
    return len(lines)


def load_history(
    path: Path | str, space: str, *, exclude: Iterable[str] = (), metric: str | None = None
) -> list[list[tuple[dict[str, Any], list[float]]]]:
    """Reads the studies of a space, in the order in which they were first written.

    Lines that cannot be read (an append that was cut off) are skipped, and so is a trial as it was when the time cut it
    short, where it has gone on since; a history that does not exist is empty.

    Args:
        path: The file, or the folder of `history.jsonl`.
        space: Name of the space.
        exclude: Identifiers of studies to leave out, such as the search's own.
        metric: Leave out studies of another metric.

    Returns:
        Studies for `build_portfolio`: for each trial its configuration and the metric after each epoch.
    """
    left_out = set(exclude)
    studies: dict[str, list[tuple[dict[str, Any], list[float]]]] = {}
    for line in _without_beginnings(_read_lines(history_path(path))):
        if line["space"] != space or line["study"] in left_out or metric not in (None, line.get("metric")):
            continue
        values = [math.nan if value is None else float(value) for value in line["values"]]
        if line.get("state") == TrialStatus.FAILED:  # whatever it had reached before: nobody wants to start from it
            values = [math.nan]
        studies.setdefault(line["study"], []).append((line["config"], values))
    return list(studies.values())


def _without_beginnings(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines without those that another line of the same trial goes on from."""
    longer: dict[str, list[list[Any]]] = {}
    for line in lines:
        longer.setdefault(_key([line["study"], line["config"]]), []).append(line["values"])

    def has_gone_on(line: Mapping[str, Any]) -> bool:
        values = line["values"]
        others = longer[_key([line["study"], line["config"]])]
        return any(len(other) > len(values) and other[: len(values)] == values for other in others)

    return [line for line in lines if line.get("state") != TrialStatus.INTERRUPTED or not has_gone_on(line)]


def history_path(path: Path | str) -> Path:
    """The history's file for a path that names it or its folder."""
    path = Path(path)
    return path if path.suffix and not path.is_dir() else path / FILE_NAME


def build_portfolio(studies: Sequence[Study], size: int, *, mode: str = "max") -> list[dict[str, Any]]:
    """Picks configurations that together did well over all earlier studies, the most useful one first.

    Candidates are the best few of each study. A candidate's score in a study is its value there at full length, from
    0 for the study's median to 1 for its best; where it was not tried, a random forest fitted on that study says what
    it would have reached. Each pick is the one that raises the mean over studies of the best score picked so far most.

    Args:
        studies: Each a sequence of `(config, values)`, the values being the metric after each epoch.
        size: How many configurations at most.
        mode: "max" or "min".

    Returns:
        At most `size` different configurations; none if there is no study with a finite value.
    """
    if mode not in ("max", "min"):
        raise ValueError(f"mode is {mode!r}: it must be max or min")
    sign = 1.0 if mode == "max" else -1.0
    scored = []
    for study in studies:
        scores = _scores([[sign * value for value in values] for _, values in study])
        if len(scores):
            scored.append(([dict(config) for config, _ in study], scores))
    candidates = _candidates(scored)
    if not candidates:
        return []
    columns = _columns(config for configs, _ in scored for config in configs)
    table = np.array([_in_study(candidates, configs, scores, columns) for configs, scores in scored])
    return [candidates[index] for index in _greedy_cover(table, size)]


def _scores(curves: Sequence[Sequence[float]]) -> np.ndarray:
    """`(trials,)` scores, 0 the median and 1 the best; a trial without a finite value is as bad as the worst."""
    values = extended_values(curves)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.empty(0)
    values = np.where(np.isfinite(values), values, finite.min())
    best, median = values.max(), np.median(values)
    scale = best - median
    return np.maximum((values - median) / scale, -1.0) if scale > 0 else (values >= best).astype(float)


def _candidates(scored: Sequence[tuple[list[dict[str, Any]], np.ndarray]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for configs, scores in scored:
        own: dict[str, dict[str, Any]] = {}
        for index in np.argsort(-scores, kind="stable"):
            own.setdefault(_key(configs[index]), configs[index])
            if len(own) == CANDIDATES_PER_STUDY:
                break
        found |= {key: config for key, config in own.items() if key not in found}
    return list(found.values())


def _in_study(
    candidates: Sequence[Config], configs: Sequence[Config], scores: np.ndarray, columns: Mapping[Any, int]
) -> np.ndarray:
    """`(candidates,)` scores in one study: what was measured there, else what a forest says."""
    measured: dict[str, float] = {}
    for config, score in zip(configs, scores, strict=True):
        measured[_key(config)] = max(float(score), measured.get(_key(config), -math.inf))
    seed = zlib.crc32("".join(sorted(measured)).encode())
    from sklearn.ensemble import RandomForestRegressor  # two seconds, and a first search has no history

    forest = RandomForestRegressor(TREES, min_samples_leaf=2, max_features=0.7, random_state=seed, n_jobs=1)
    predicted = forest.fit(_encode(configs, columns), scores).predict(_encode(candidates, columns))
    return np.array([measured.get(_key(config), guess) for config, guess in zip(candidates, predicted, strict=True)])


def _greedy_cover(table: np.ndarray, size: int) -> list[int]:
    """Columns of `table (studies, candidates)`, each the one that raises the mean of the row maxima most."""
    picked: list[int] = []
    best = np.full(len(table), -math.inf)
    while len(picked) < min(size, table.shape[1]):
        gains = np.maximum(table, best[:, None]).mean(axis=0)
        order = sorted(
            (index for index in range(table.shape[1]) if index not in picked),
            key=lambda index: (-round(gains[index], 12), -round(table[:, index].mean(), 12), index),
        )
        picked.append(order[0])
        best = np.maximum(best, table[:, order[0]])
    return picked


def _columns(configs: Iterable[Config]) -> dict[Any, int]:
    """A column for each numeric field and for each value of any other field."""
    seen: dict[str, list[Any]] = {}
    for config in configs:
        for name, value in config.items():
            seen.setdefault(name, []).append(value)
    keys: list[Any] = []
    for name in sorted(seen):
        if all(_is_number(value) or value is None for value in seen[name]):
            keys.append(name)
        else:
            keys += [(name, text) for text in sorted({repr(value) for value in seen[name]})]
    return {key: column for column, key in enumerate(keys)}


def _encode(configs: Sequence[Config], columns: Mapping[Any, int]) -> np.ndarray:
    encoded = np.full((len(configs), len(columns)), ABSENT)
    for row, config in enumerate(configs):
        for key, column in columns.items():
            if isinstance(key, tuple):
                if key[0] in config:
                    encoded[row, column] = float(repr(config[key[0]]) == key[1])
            elif config.get(key) is not None:
                encoded[row, column] = float(config[key])
    return encoded


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _key(config: Any) -> str:
    return json.dumps(config, sort_keys=True, default=repr)


def _identity(line: Mapping[str, Any]) -> str:
    return json.dumps([line["study"], line["config"], line["values"]], sort_keys=True)


def _strict(value: Any) -> Any:
    """The value with numbers that are not finite as None, for strict JSON."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _last_byte(stream: Any, end: int) -> bytes:
    stream.seek(end - 1)
    return stream.read(1)


def _read_lines(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    lines = []
    for text in file.read_bytes().split(b"\n"):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and {"study", "space", "config", "values"} <= line.keys():
            lines.append(line)
    return lines
