"""The commands as functions: `search`, `retrain`, `evaluate` and `predict`, with their flags as keyword arguments."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from macrotune.endings import NOT_BEGUN, in_python, raise_unless_done
from macrotune.keywords import options_of, signature_of
from macrotune.notebook import console_here
from macrotune.outcomes import Evaluated, Retrained, SearchResult
from results.statistics.ranking import best_first
from scripts import evaluate as evaluating
from scripts import predict as predicting
from scripts import retrain as retraining
from search import run as searching
from search.terminal import CRASH, Terminal, VoiceFlags
from trainables.errors import UserError

Outcome = TypeVar("Outcome")


def search(**flags: Any) -> SearchResult | None:
    """Searches the best configuration of a space on your pictures; `macrotune search` with its flags as keywords.

    Such as `search(data="pictures", space="efficientnet", time_budget="15m")`, or `search(resume="NAME")`, which goes
    on with a run. `macrotune search --help` explains each. What is said while it runs goes to the notebook's cell or
    to the terminal.

    Args:
        flags: Flags of the command, with underscores. `space` also takes a function of a file.

    Returns:
        The run with its best trial, its model and its report; None with `check=True`, which only says what would be
        done.

    Raises:
        UserError: What the command refuses, in the same words; nothing has been trained then.
        Interrupted: Ctrl-C, or the notebook's stop button: running trials end with their epoch, all is saved, and the
            message says how to go on.
        RunFailedError: No trial has a score.
    """
    with in_python(NOT_BEGUN):
        options = searching.settled(lambda default: options_of(default, flags, "search"))
        return _aloud(options.voice, partial(_search, options))


def _search(options: searching.Options, console: Terminal) -> SearchResult | None:
    from search.finish import has_best
    from search.pipeline import check
    from search.pipeline import search as run_search

    if options.check:
        check(options.study, options.data, console, console.started)
        return None
    ended = run_search(options.study, options.data, console, console.started)
    code = ended.exit_code
    if code == CRASH and ended.crash is None and has_best(ended.folder):  # its table could not be written, as was said
        code = 0
    raise_unless_done(code, ended.folder.path, ended.way_on, crash=ended.crash)
    return SearchResult(ended.folder.path)


def retrain(**flags: Any) -> Retrained:
    """Trains the winner of a search again and scores it once on people never seen; `macrotune retrain` as a function.

    Args:
        flags: Flags of the command, with underscores, such as `run="NAME"`.

    Returns:
        The pick, its score, and the model.

    Raises:
        UserError: What the command refuses, in the same words.
        Interrupted: Ctrl-C; the same call goes on.
        RunFailedError: A training failed.
    """
    with in_python(NOT_BEGUN):
        options = options_of(retraining.Options(), flags, "retrain")

        def run(console: Terminal) -> Retrained:
            ended = retraining.retrain(options.retrain, options.asked(), options.data.absolute(), console)
            raise_unless_done(ended.exit_code, ended.folder, "the same call")
            return Retrained(ended.folder, ended.result, tuple(best_first(ended.ranking)))

        return _aloud(options.voice, run)


def evaluate(*models: str | Path, **flags: Any) -> Evaluated:
    """Scores models on labelled pictures and writes a report; `macrotune evaluate` as a function.

    Args:
        models: Folders of models or runs; several are averaged.
        flags: Flags of the command, such as `data="pictures"`, or `split="runs/NAME/split.csv"`.

    Returns:
        The scores, and where the report is.

    Raises:
        UserError: What the command refuses, in the same words.
    """
    with in_python():
        default = evaluating.Options(models=tuple(map(Path, models)))
        options = options_of(default, flags, "evaluate")

        def run(console: Terminal) -> Evaluated:
            evaluation, folder = evaluating.evaluate(options, console)
            return Evaluated(folder, evaluation)

        return _aloud(options.voice, run)


def predict(*models: str | Path, data: str | Path, **flags: Any) -> Path:
    """Answers pictures with models into a CSV; `macrotune predict` as a function. `load` answers without a file.

    Args:
        models: Folders of models or runs; several are averaged.
        data: The pictures.
        flags: Other flags of the command, such as `tta=True` or `out="answers.csv"`.

    Returns:
        The CSV.

    Raises:
        UserError: What the command refuses, in the same words.
    """
    with in_python():
        if not isinstance(data, (str, os.PathLike)):
            raise UserError(f"data is {data!r}: give one path. For a list, or pixels: load({models[0]!r}).predict(...)")
        default = predicting.Options(models=tuple(map(Path, models)), data=Path(data))
        options = options_of(default, flags, "predict")
        return _aloud(options.voice, lambda console: predicting.predict(options, console)[0])


def _aloud(voice: VoiceFlags, run: Callable[[Terminal], Outcome]) -> Outcome:
    console = console_here(voice)
    console.doing("starting")
    try:
        return run(console)
    finally:
        console.idle()


def _shown(function: Callable[..., Any], options: type, *first: str, without: tuple[str, ...] = ()) -> None:
    """Gives a function the signature that its flags make, for help and completion."""
    kind = inspect.Parameter.VAR_POSITIONAL
    parameters = [inspect.Parameter(name, kind) for name in first]
    function.__signature__ = signature_of(options, *parameters, without=(*first, *without))  # type: ignore[attr-defined]


_shown(search, searching.Options)
_shown(retrain, retraining.Options)
_shown(evaluate, evaluating.Options, "models")
_shown(predict, predicting.Options, "models")
