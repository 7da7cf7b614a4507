"""Writes what comes with the project about where a search starts, from finished searches.

    python scripts/build_portfolio.py runs/A runs/B ... [--out FILE]

Takes searches of a space whose trials were all trained equally long: the default configuration, and others with the
same backbone that differ from it. Those with the same pictures and seed in the file are replaced, others stay. Prints
each gain, and for each data set what the first pick of the others would have gained there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro

from results.pages.markdown import render_markdown_table
from results.records.answers import load_answers
from results.records.run_folder import RunFolder, load_run
from results.records.trials import load_trials
from results.statistics.measure import MACRO_F1
from scripts.terminal import run_command
from search.engine.shipped import SHIPPED, MeasuredSearch, leave_one_out, load_shipped, situation_of
from trainables.errors import UserError
from trainables.strict_json import save_object


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write where searches start from what others measured."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of finished searches."""
    space: str = "efficientnet"
    """Whose default configuration they began with, where they were of a space of their own."""
    out: Path = SHIPPED
    """The file."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and writes; a user's mistake is one message and exit code 2."""
    return run_command(Options, build, args, prog="scripts/build_portfolio.py")


def build(options: Options) -> None:
    """Measures every search, writes the file, and prints what is in it."""
    measured = [measure(path, options.space) for path in options.runs]
    known = load_shipped(options.out) if options.out.exists() else []
    searches = [each for each in known if not any(_is_of_same(each, new) for new in measured)] + measured
    save_object(options.out, {"searches": [each.to_json() for each in searches]})
    print(render(searches))


def measure(path: Path, space: str) -> MeasuredSearch:
    """What each configuration of a search gained beside its default.

    Raises:
        UserError: The run has no default configuration of full length, or nothing beside it.
    """
    run, trials = load_run(path), load_trials(path)
    default = run.points[0]
    found = load_answers(RunFolder(path), trials, run.task.classes)
    whole = [each for each in found.trials if each.trial.reports[-1].epoch >= run.task.epochs]
    own = [each for each in whole if asdict(each.trial.config) == default]
    others = [each for each in whole if each.trial.config.backbone == default["backbone"] and each not in own]
    if not own or not others:
        raise UserError(f"{path}: it takes a search that trained its default configuration and others to their end")

    def score(probabilities: np.ndarray) -> float:
        return MACRO_F1.score_of(found.labels, probabilities.argmax(1), len(found.prior))

    alone = score(own[0].probabilities)
    return MeasuredSearch(
        space=space,
        data=Path(str(run.data["source"])).name,
        seed=run.task.seed,
        situation=situation_of(run, run.task.epochs),
        gains=tuple(
            (_change(asdict(each.trial.config), default), score(own[0].probabilities + each.probabilities) - alone)
            for each in others
        ),
        where={
            "backbone": default["backbone"],
            "weights": run.portable().weights.get(default["backbone"], "random"),
            "place": run.data.get("place"),
            "started": run.started,
            "commit": run.commit,
            "hardware": run.hardware,
        },
    )


def _is_of_same(one: MeasuredSearch, other: MeasuredSearch) -> bool:
    """Whether both are of the same pictures and seed; data of one name at two places that are noted are two."""
    places = {each.where.get("place") for each in (one, other)} - {None}
    return (one.space, one.data, one.seed) == (other.space, other.data, other.seed) and len(places) < 2


def _change(config: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if value != default.get(name)}


def render(searches: Sequence[MeasuredSearch]) -> str:
    """What each change gained in each search, and what picks gain on data that they do not know."""
    changes = list(dict.fromkeys(_words(change) for search in searches for change, _ in search.gains))
    rows = []
    for search in searches:
        gains = {_words(change): f"{gain:+.3f}" for change, gain in search.gains}
        rows.append((search.data, str(search.seed), *(gains.get(change, "") for change in changes)))
    picked = [
        (search.data, str(search.seed), _words(change), f"{gain:+.3f}", f"{np.mean([g for _, g in search.gains]):+.3f}")
        for search, change, gain in leave_one_out(searches)
    ]
    head = ("data", "seed", "pick of the other data sets", "its gain", "mean of all")
    return "\n\n".join(
        [render_markdown_table(("data", "seed", *changes), rows), render_markdown_table(head, picked)]
        if picked
        else [render_markdown_table(("data", "seed", *changes), rows)]
    )


def _words(change: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(change.items()))


if __name__ == "__main__":
    sys.exit(main())
