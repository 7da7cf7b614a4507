"""Shows the runs there are, compares two, opens a report, deletes what nobody needs.

    python scripts/runs.py                  # all runs: state, scores, trials, time, size, how to go on
    python scripts/runs.py show NAME
    python scripts/runs.py compare A B      # how they went, and what their winners do differently
    python scripts/runs.py rm NAME          # asks first, and says what else goes with it
    python scripts/runs.py open NAME        # the report, in a browser
    python scripts/runs.py studies [A B]    # these runs', or all runs' Optuna studies in one file for optuna-dashboard

The list takes a second for a hundred runs, and writes runs/index.html on the way, which shows the same in a browser.
"""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from results.pages.run_index import write_run_index
from results.records.cost import duration
from results.records.presence import who_is_at
from results.records.progress import best_so_far, default_of, knobs, shown
from results.records.run_folder import RUNS, RunFolder, load_run
from results.records.scorings import readme_of
from results.records.summary import RunState, RunSummary, run_names, summaries, summary
from results.records.trials import TrialHistory, load_trials, score_of, state_shown
from scripts.terminal import run_command
from search.flags import help_default, refuse_path_as_name
from search.remote_storage import folder_to_read
from search.remove_run import remove_run, what_is_lost
from search.terminal import say, say_if_it_fails
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.report import TrialStatus
from trainables.sizes import size_in_words

Action = Literal["list", "show", "compare", "rm", "open", "studies"]
NAMES: dict[str, int] = {"list": 0, "show": 1, "compare": 2, "rm": 1, "open": 1}
"""How many runs each action is about; one that is missing takes any number."""
COLOURS = {
    RunState.HERE: "bold cyan",
    RunState.ELSEWHERE: "cyan",
    RunState.FINISHED: "green",
    RunState.TIME_USED: "green",
    RunState.INTERRUPTED: "yellow",
    RunState.FAILED: "red",
    RunState.UNREADABLE: "red",
}
BLOCKS = "▁▂▃▄▅▆▇█"
LEADERS_SHOWN = 10
WIDE = 110
"""Columns of a terminal from which on the list also names the data."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Show the runs there are: list, show NAME, compare A B, rm NAME, open, studies."""

    action: Annotated[tyro.conf.Positional[Action], tyro.conf.arg(metavar="WHAT")] = "list"
    """What to do: list, show, compare, rm, open or studies."""
    names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN")] = ()
    """The runs to do it with."""
    storage: Path = RUNS
    """Folder of the runs; or s3://bucket/folder and the like, from where what is shown is copied."""
    readme: Annotated[Path | None, help_default("that of the run's search; else README.md")] = None
    """The page with the table, whose records rm looks at."""
    yes: bool = False
    """Delete without asking."""

    def __post_init__(self) -> None:
        if len(self.names) != NAMES.get(self.action, len(self.names)):
            wanted = {0: "no name", 1: "the name of one run", 2: "the names of two runs"}[NAMES[self.action]]
            raise UserError(f"{self.action} takes {wanted}, not {len(self.names)}: python scripts/runs.py --help")
        for name in self.names:
            refuse_path_as_name(name)


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and does it; a user's mistake is one message and exit code 2."""
    return run_command(Options, runs, args, prog="scripts/runs.py")


def runs(options: Options) -> int:
    """Does what was asked for."""
    console = Console()
    storage, mirror = folder_to_read(options.storage)
    if mirror is not None and options.action == "rm":
        raise UserError(
            f"a run in a bucket is deleted with the bucket's own tools: {mirror.address}/{options.names[0]}, and its "
            f"copy here: {storage / options.names[0]}"
        )
    if options.action == "list":
        _list(storage, console)
    elif options.action == "show":
        _show(storage / options.names[0], console)
    elif options.action == "compare":
        _compare(storage / options.names[0], storage / options.names[1], console)
    elif options.action == "open":
        _open(storage / options.names[0], console)
    elif options.action == "studies":
        _studies(storage, options.names, console)
    else:
        return _remove(storage / options.names[0], options, console)
    return 0


def _list(storage: Path, console: Console) -> None:
    rows = summaries(storage)
    if not rows:
        say(console, f"No run in {storage}. Start one: python search/run.py --space efficientnet")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    is_wide = console.width >= WIDE
    for name in ("run", "state", "space", "data")[: 4 if is_wide else 3]:
        table.add_column(name, overflow="fold", no_wrap=name in ("state", "space"))
    for name in ("best val", "test [95%]", "trials", "time", "size"):
        table.add_column(name, justify="right", no_wrap=name != "test [95%]")
    for row in rows:
        table.add_row(
            Text(row.name),
            Text(row.state, style=COLOURS[row.state]),
            Text(row.space),
            *([Text(row.data)] if is_wide else []),
            row.best_in_words or _score(row.best),
            str(row.test) if row.test else "",
            row.trials_in_words.replace(" of ", "/"),
            duration(row.seconds) if row.started else "",
            size_in_words(row.size_bytes),
        )
    console.print(table)
    for row in rows:
        if row.state in (RunState.FAILED, RunState.UNREADABLE):
            say(console, f"{row.name} {row.state}: {row.problem}")
        elif row.state in (RunState.INTERRUPTED, RunState.TIME_USED):
            say(console, f"Go on with {row.name}: {row.next_command(storage)}")
    total = size_in_words(sum(row.size_bytes for row in rows))
    say(console, f"{len(rows)} run{'s' * (len(rows) > 1)}, {total}. More of one: python scripts/runs.py show NAME")
    with say_if_it_fails(console, "the page of all runs could not be written"):
        say(console, f"The same in a browser: {write_run_index(storage, rows)}")


def _show(run_dir: Path, console: Console) -> None:
    row = _row(run_dir)
    if row.state == RunState.UNREADABLE:
        raise UserError(row.problem)
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _facts(row):
        facts.add_row(Text(name, style="dim"), Text(value))
    console.print(facts)
    trials = load_trials(run_dir)
    console.print(_leaderboard(trials, is_searched=who_is_at(RunFolder(run_dir).presence) is not None))
    winner, default = _winner(trials), default_of(load_run(run_dir))
    if winner is not None and default is not None:
        console.print(_knob_table(default, winner.config, ("default", f"trial {winner.trial_id}"), every=True))
    if command := row.next_command(run_dir.parent):
        say(console, f"How to go on: {command}")


def _compare(first: Path, second: Path, console: Console) -> None:
    rows = [_row(run_dir) for run_dir in (first, second)]
    for row in rows:
        if row.state == RunState.UNREADABLE:
            raise UserError(row.problem)
    table = Table("", *(escape(row.name) for row in rows), box=box.SIMPLE_HEAD, pad_edge=False)
    for (name, one), (_, other) in zip(*map(_facts, rows), strict=True):
        table.add_row(name, Text(one), Text(other), style="" if one == other else "bold")
    console.print(table)
    loaded = [load_run(run_dir) for run_dir in (first, second)]
    if loaded[0].split_hash != loaded[1].split_hash:
        say(console, "Other pictures, or other sides: the two scores cannot be compared.")
    if rows[0].metric != rows[1].metric:
        say(console, "Other metrics: the two scores cannot be compared.")
    trials = [load_trials(run_dir) for run_dir in (first, second)]
    curves = []
    for run_dir, ones in zip((first, second), trials, strict=True):
        failed = {trial.trial_id for trial in ones if trial.status == TrialStatus.FAILED}
        curves.append(best_so_far(RunFolder(run_dir).epochs(), failed))
    _print_curves([row.name for row in rows], curves, console)
    winners = [_winner(ones) for ones in trials]
    one, other = winners
    if one is not None and other is not None:
        if one.config == other.config:
            say(console, "The best trials of both have the same configuration.")
            return
        heads = (f"{first.name}, {one.trial_id}", f"{second.name}, {other.trial_id}")
        console.print(_knob_table(one.config, other.config, heads, every=False))


def _open(run_dir: Path, console: Console) -> None:
    run = load_run(run_dir)
    path = RunFolder(run_dir).report_html
    if not path.is_file():
        from results.pages.report import write_report  # heavy, and a search has written it
        from search.own_parts import with_parts_of

        with with_parts_of(run):
            write_report(run_dir)
    say(console, str(path))
    if any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")):
        webbrowser.open(path.as_uri())


def _studies(storage: Path, names: Sequence[str], console: Console) -> None:
    """Writes the file that one dashboard shows several runs from."""
    for name in names:
        _row(storage / name)
    from search.combine_studies import combine_studies  # with Optuna, which a list does without

    path, counts, left_out = combine_studies(storage, list(dict.fromkeys(names)) or run_names(storage))
    for name, reason in left_out.items():
        say(console, f"{name} is left out: {reason}")
    trials = sum(counts.values())
    say(console, f"{len(counts)} studies with {trials} trials, as they are now: {path}")
    say(console, f"See and compare them: optuna-dashboard {shlex.quote(str(path))}")


def _remove(run_dir: Path, options: Options, console: Console) -> int:
    row = _row(run_dir)
    if row.state.is_running:
        raise UserError(f"{row.name} is {row.state}: stop it first")
    readme = options.readme
    with contextlib.suppress(UserError, OSError):  # what is broken can be deleted, too
        readme = readme or readme_of(run_dir)
    readme = readme or Path("README.md")
    for sentence in what_is_lost(run_dir, readme.expanduser().resolve().parent / "results" / "best"):
        say(console, sentence)
    if not options.yes:
        if not sys.stdin.isatty():
            raise UserError("there is nobody to ask: give --yes to delete it")
        try:
            typed = input(f"Delete {row.name}? Type its name: ").strip()
        except EOFError:  # Ctrl-D
            typed = ""
        if typed != row.name:
            say(console, "Nothing was deleted.")
            return 1
    remove_run(run_dir)
    say(console, f"{row.name} is deleted")
    with say_if_it_fails(console, "the page of all runs could not be written"):
        write_run_index(run_dir.parent)
    return 0


def _row(run_dir: Path) -> RunSummary:
    row = summary(run_dir) if run_dir.is_dir() else None
    if row is None:
        there = ", ".join(run_names(run_dir.parent)) or "none"
        raise UserError(f"there is no run {run_dir.name!r} in {run_dir.parent}: there is {there}")
    return row


def _facts(row: RunSummary) -> list[tuple[str, str]]:
    """What a row of the list says, and some more, as names and values."""
    where = f", process {row.presence.pid} on {row.presence.host}" if row.presence else ""
    best = f"{row.best_in_words} by {row.best_trial}, {row.backbone}" if math.isfinite(row.best) else "none yet"
    return [
        ("run", row.name),
        ("state", row.state + (f" ({row.problem})" if row.problem else "") + where),
        ("space", row.space),
        ("data", f"{row.data}, {row.pictures:,} pictures, {row.classes} classes"),
        ("best validation score", best),
        ("test macro-F1 [95%]", f"{row.test} by {row.test.trial_id}" if row.test else "not re-trained yet"),
        ("trials", f"{row.trials_in_words}: " + ", ".join(f"{number} {end}" for end, number in row.ends)),
        ("time", duration(row.seconds)),
        ("size", size_in_words(row.size_bytes)),
        ("began", row.started.replace("T", " ")),
    ]


def _leaderboard(trials: Sequence[TrialHistory], *, is_searched: bool) -> Table:
    """The best trials; of a search that was killed none runs any more."""
    scored = sorted(_scored(trials), key=lambda trial: -score_of(trial.best) if trial.best else 0.0)
    table = Table("trial", "backbone", "best", "epoch", "lr", "dropout", "state", box=box.SIMPLE_HEAD, pad_edge=False)
    for trial in scored[:LEADERS_SHOWN]:
        if trial.best is not None:
            epochs = f"{trial.best.epoch}/{trial.reports[-1].epoch}"
            config = trial.config
            table.add_row(
                trial.trial_id, config.backbone, _score(score_of(trial.best)), epochs, shown(config.lr),
                shown(config.dropout), state_shown(trial.status, is_searched=is_searched),
            )  # fmt: skip
    return table


def _knob_table(first: TrialConfig, second: TrialConfig, heads: tuple[str, str], *, every: bool) -> Table:
    """Settings of two configurations beside each other, the differences in bold."""
    table = Table("setting", *map(escape, heads), "", box=box.SIMPLE_HEAD, pad_edge=False)
    for knob in knobs(first, second):
        if every or knob.differs:
            style = "bold" if knob.differs else "dim"
            table.add_row(
                knob.name, Text(shown(knob.first)), Text(shown(knob.second)), "differs" * knob.differs, style=style
            )
    return table


def _print_curves(names: Sequence[str], curves: Sequence[list[tuple[int, float]]], console: Console) -> None:
    """The best score so far over the epochs spent, both on one scale."""
    spent = max((curve[-1][0] for curve in curves if curve), default=0)
    if not spent:
        return
    width = min(60, max(10, console.width - 40))
    scores = [score for curve in curves for _, score in curve]
    low, high = min(scores), max(scores)
    say(console, f"Best so far over {spent} epochs spent, {low:.4f} to {high:.4f}:")
    for name, curve in zip(names, curves, strict=True):
        line = ""
        for column in range(width):
            reached = [score for epochs, score in curve if epochs <= (column + 1) * spent / width]
            over = not curve or curve[-1][0] < column * spent / width
            share = (reached[-1] - low) / (high - low or 1.0) if reached else 0.0
            line += BLOCKS[round(share * (len(BLOCKS) - 1))] if reached and not over else " "
        console.print(Text(f"{line} {name} {_score(curve[-1][1]) if curve else 'no score'}"))


def _winner(trials: Sequence[TrialHistory]) -> TrialHistory | None:
    return max(_scored(trials), key=lambda trial: score_of(trial.best) if trial.best else -1.0, default=None)


def _scored(trials: Sequence[TrialHistory]) -> list[TrialHistory]:
    return [trial for trial in trials if trial.best is not None and trial.status != TrialStatus.FAILED]


def _score(score: float) -> str:
    return f"{score:.4f}" if math.isfinite(score) else ""


if __name__ == "__main__":
    sys.exit(main())
