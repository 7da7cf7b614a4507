"""How the commands begin and what they show: their flags, how far they are, and a user's mistake in one message."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from search.terminal import Terminal, VoiceFlags, count, exit_code, idle, is_quiet
from trainables.called import as_called

Options = TypeVar("Options")
MARKERS = (tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff)
"""What all command lines have in common: None cannot be typed, and a flag has no opposite."""


def run_command(
    options: type[Options],
    command: Callable[[Options], int | None],
    args: Sequence[str] | None,
    *,
    prog: str,
    markers: tuple[Any, ...] = MARKERS,
) -> int:
    """Parses the command line and does what it asks for.

    Args:
        options: The flags, as a dataclass.
        command: Takes them, and returns the exit code; nothing stands for 0.
        args: The command line; by default that of the process.
        prog: What the help calls the command.
        markers: tyro's.

    Returns:
        The exit code, as `search.terminal.exit_code` has it.
    """
    return exit_code(lambda: command(tyro.cli(options, prog=as_called(prog), args=args, config=markers)))


def at_home(options: Options) -> Options:
    """Flags whose paths begin with ~ as the shell and people mean it; a shell leaves it alone behind `--out=`."""
    changed: dict[str, Any] = {}
    for each in fields(options):  # type: ignore[arg-type]  # it is a dataclass
        value = getattr(options, each.name)
        if isinstance(value, Path):
            changed[each.name] = _at_home(value)
        elif isinstance(value, tuple) and value and all(isinstance(one, Path) for one in value):
            changed[each.name] = tuple(map(_at_home, value))
    return replace(options, **changed)  # type: ignore[type-var]


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # ~ of somebody who is not here
        return path


def voiced(
    voice: VoiceFlags, command: Callable[[Terminal], int | None], started: float, *, stderr: bool = False
) -> int | None:
    """Runs a command with a terminal that shows from its first second what is being done.

    Args:
        voice: How much to say.
        command: Takes the terminal, and returns the exit code.
        started: When the process began, by `time.monotonic`.
        stderr: Whether the signs of life go there, so that the output holds the answer alone.
    """
    console = Terminal(voice, started, stderr=stderr)
    console.doing("starting")
    try:
        return command(console)
    finally:
        console.idle()


@contextmanager
def progress(console: Console | None = None) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function that draws a bar: what is done, how much of it, of how much. Nothing without a terminal.

    Args:
        console: Where to draw, in the place of its spinner; by default the error output.
    """
    console = console or Console(stderr=True)
    idle(console)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    disabled = not console.is_terminal or is_quiet(console)
    with Progress(*columns, console=console, disable=disabled, transient=True) as bars:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if disabled:
                return count(console, what, done, total)
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            return bars.update(tasks[what], completed=done, total=total)

        yield show
